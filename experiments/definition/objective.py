"""The objective: what the shares maximise, and the quality that a candidate must keep."""

from typing import Literal, Self

from pydantic import model_validator

from experiments.definition.declared import WIDTHS, Declared, Finite, Positive

ObjectiveKind = Literal["reward_per_cost", "reward", "cheapest_non_inferior", "net_value", "budget"]
_MONEY = {"net_value": "value_usd", "budget": "budget_usd"}
"""The amount that a kind of objective cannot do without."""


class Objective(Declared):
    """What the shares maximise, and the quality a candidate must keep while doing so."""

    kind: ObjectiveKind = "reward_per_cost"
    reward_margin: Positive = 0.02
    """Largest loss of reward against the control that still counts as "not worse", in reward units."""
    min_reward: Finite | None = None
    """Absolute reward that a candidate must reach as well."""
    cost_cap_usd: Positive | None = None
    """Cost of one unit above which the statistics count the cap instead (declared winsorising)."""
    value_usd: Positive | None = None
    """What one unit of reward is worth, in US dollars: `net_value` maximises value_usd * reward - cost."""
    budget_usd: Positive | None = None
    """What a request may cost on average, in US dollars: `budget` maximises the reward within it."""

    @model_validator(mode="after")
    def _money(self) -> Self:
        for kind, field in _MONEY.items():
            amount: float | None = getattr(self, field)
            if amount is None:
                if self.kind == kind:
                    raise ValueError(f"objective {kind!r} needs {field}, an amount of US dollars")
                continue
            if self.kind != kind:
                raise ValueError(
                    f"{field} == {amount:g} belongs to objective {kind!r}, not {self.kind!r}; remove it"
                )
            if not WIDTHS[0] ** 2 <= amount <= WIDTHS[1]:
                raise ValueError(
                    f"{field} == {amount:g}, must be in [{WIDTHS[0] ** 2:g}, {WIDTHS[1]:g}] US dollars"
                )
        return self

    @property
    def gains_reward(self) -> bool:
        """Whether "better on the objective" means a higher reward."""
        return self.kind in ("reward", "budget")

    @property
    def needs_cost(self) -> bool:
        """Whether a unit without a known cost must stay out of what combines reward and cost."""
        return self.kind != "reward"
