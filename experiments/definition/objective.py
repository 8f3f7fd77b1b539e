"""The objective: what the shares maximise, and the quality that a candidate must keep."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from experiments.definition.declared import Declared, Finite, Positive, refuse_not_yet


class Objective(Declared):
    """What the shares maximise, and the quality a candidate must keep while doing so."""

    kind: Literal["reward_per_cost", "reward", "cheapest_non_inferior"] = "reward_per_cost"
    reward_margin: Positive = 0.02
    """Largest loss of reward against the control that still counts as "not worse", in reward units."""
    min_reward: Finite | None = None
    """Absolute reward that a candidate must reach as well."""
    cost_cap_usd: Positive | None = None
    """Cost of one unit above which the statistics count the cap instead (declared winsorising)."""
    value_usd: Positive | None = None
    budget_usd: Positive | None = None

    @field_validator("kind", mode="before")
    @classmethod
    def _kind_not_yet(cls, kind: object) -> object:
        return refuse_not_yet(
            "objective", kind, ("net_value", "budget"), "reward_per_cost, reward or cheapest_non_inferior"
        )

    @model_validator(mode="after")
    def _value_not_yet(self) -> Self:
        for field in ("value_usd", "budget_usd"):
            if getattr(self, field) is not None:
                raise ValueError(f"{field} belongs to an objective that is not yet enforced; remove it")
        return self

    @property
    def needs_cost(self) -> bool:
        """Whether a unit without a known cost must stay out of the reward statistics."""
        return self.kind != "reward"
