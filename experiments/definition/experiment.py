"""What a user declares: an experiment's task, candidates, reward, objective, guardrails and decision rule.

Everything here is frozen when the experiment starts. A field that the schema accepts is enforced;
what a later release will enforce is refused with the words "not yet".
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from experiments.definition.bandit import Bandit
from experiments.definition.decision import Decision
from experiments.definition.declared import FINEST, WIDTHS, Declared, Positive
from experiments.definition.guardrail import COST, ERROR, Guardrail
from experiments.definition.names import ExperimentName, Name, TaskName
from experiments.definition.objective import Objective
from experiments.definition.reward import Reward

Mode = Literal["ab", "learn", "earn", "shadow"]
Unit = Literal["request", "conversation", "user", "trace"]

MAX_CANDIDATES = 20
SHADOW_METRICS = (ERROR, COST, "latency_p50_ms")
"""What a pair of calls shows of two models; latency is compared by the geometric mean of its ratio."""


class Experiment(Declared):
    """Candidates compared for one task, with reward, objective, guardrails and promotion rule."""

    name: ExperimentName
    task: TaskName
    hypothesis: Annotated[str, Field(max_length=500)] = ""
    candidates: tuple[Name, ...] = Field(min_length=2, max_length=MAX_CANDIDATES)
    """Models under test; the first is the control."""
    unit: Unit = "request"
    mode: Mode = "earn"
    shares: tuple[Positive, ...] | None = None
    """Given split of traffic in the order of `candidates` (mode ab), summing to one; equal by default."""
    ramp: tuple[Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)], ...] | None = None
    """Successive shares of the control (mode ab, two candidates): a holdback shrinks along them."""
    traffic: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """Fraction of the task's units that take part."""
    shadow_usd_per_day: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """US dollars that copies may cost a day (UTC), in mode shadow, where it must be given."""
    reward: Reward = Reward()
    objective: Objective = Objective()
    guardrails: tuple[Guardrail, ...] = ()
    decision: Decision = Decision()
    bandit: Bandit = Bandit()

    @field_validator("candidates", "shares", "ramp", "guardrails", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        repeated = sorted({name for name in self.candidates if self.candidates.count(name) > 1})
        if repeated:
            raise ValueError(f"candidate {repeated[0]!r} is listed twice; each model may stand once")
        self._check_shares()
        if self.objective.kind == "reward_per_cost" and self.reward.range[0] < 0:
            raise ValueError(
                f"reward per cost needs rewards >= 0, range starts at {self.reward.range[0]:g}; shift it"
            )
        for field, value in (
            ("reward_margin", self.objective.reward_margin), ("mde", self.decision.mde)
        ):  # fmt: skip
            if not FINEST * self.reward.width <= value <= WIDTHS[1]:
                raise ValueError(
                    f"{field} == {value:g}, must be at least {FINEST:g} of the reward's range and at most {WIDTHS[1]:g}"
                )
        self._check_read_out()
        self._check_money()
        self._check_bandit()
        self._check_shadow()
        metrics = [guardrail.metric for guardrail in self.guardrails]
        if len(set(metrics)) < len(metrics):
            raise ValueError("a guardrail metric is listed twice; state one bound for it")
        if self.reward.metric in metrics:
            raise ValueError(
                f"guardrail {self.reward.metric!r} is the reward metric, whose bound is objective.reward_margin; "
                "remove it"
            )
        return self

    def _check_read_out(self) -> None:
        if self.decision.read_out != "strict":
            return
        if self.unit != "request":
            raise ValueError(
                f"read_out strict needs unit: request, unit is {self.unit}: the exact test reads one reward "
                "per unit; use read_out: anytime"
            )
        if self.decision.adjust != "none":
            raise ValueError(
                "read_out strict reads rewards as they are, and adjust: covariate changes them; choose one"
            )

    def _check_money(self) -> None:
        value = self.objective.value_usd
        if value is not None and not 1e-12 <= value * self.decision.mde <= WIDTHS[1]:
            raise ValueError(
                f"value_usd * mde == {value * self.decision.mde:g} US dollars, must be in [1e-12, {WIDTHS[1]:g}]"
            )

    def _check_bandit(self) -> None:
        """Bandit settings need a bandit, and offline evaluations a candidate and a reward within the range."""
        if self.mode in ("ab", "shadow") and self.bandit != Bandit():
            raise ValueError(
                f"bandit settings move shares, which mode {self.mode} keeps; use mode learn or earn"
            )
        low, high = self.reward.range
        for name, offline in self.bandit.priors.items():
            if name not in self.candidates:
                raise ValueError(f"bandit.priors names {name!r}, which is no candidate of this experiment")
            if not low <= offline.reward <= high:
                raise ValueError(
                    f"bandit.priors.{name}.reward == {offline.reward:g}, must be within range [{low:g}, {high:g}]"
                )

    def _check_shadow(self) -> None:
        """Copies are paired request by request, and cost money that serves nobody."""
        if self.mode != "shadow":
            if self.shadow_usd_per_day is not None:
                raise ValueError("shadow_usd_per_day bounds copies, which only mode shadow makes; remove it")
            return
        if self.shadow_usd_per_day is None:
            raise ValueError(
                "shadow_usd_per_day is missing: mode shadow needs what its copies may cost a day"
            )
        if self.unit != "request":
            raise ValueError(f"unit must be request in mode shadow, which pairs requests, not {self.unit}")
        if self.objective.budget_usd is not None or self.decision.read_out != "anytime":
            raise ValueError(
                "mode shadow has no shares and no reward; leave objective and decision.read_out out"
            )
        for guardrail in self.guardrails:
            if guardrail.metric not in SHADOW_METRICS and guardrail.range is None:
                raise ValueError(
                    f"guardrails of mode shadow are {', '.join(SHADOW_METRICS)}, which pairs of calls show, and "
                    f"metrics of feedback with a range; remove {guardrail.metric!r}"
                )

    def _check_shares(self) -> None:
        if self.shares is not None:
            if self.mode != "ab":
                why = "the control serves all" if self.mode == "shadow" else "the bandit sets them"
                raise ValueError(f"shares are given only in mode ab; in mode {self.mode} {why}")
            if len(self.shares) != len(self.candidates):
                raise ValueError(
                    f"{len(self.shares)} shares for {len(self.candidates)} candidates; give one for each"
                )
            if abs(sum(self.shares) - 1) > 1e-9:
                raise ValueError(f"shares sum to {sum(self.shares):.12g}, must sum to 1")
        if self.ramp is not None and self.shares is not None:
            raise ValueError("shares and ramp are both given; a ramp sets the shares, remove one of them")
        if self.ramp is not None and (self.mode != "ab" or len(self.candidates) != 2 or not self.ramp):
            raise ValueError("ramp needs mode ab, two candidates and at least one control share")

    @property
    def control(self) -> str:
        """The first candidate."""
        return self.candidates[0]

    @property
    def starting_shares(self) -> tuple[float, ...]:
        """Shares of the first epoch, and of decisions taken without a snapshot."""
        if self.mode == "shadow":
            return (1.0, *(0.0,) * (len(self.candidates) - 1))
        if self.shares is not None:
            return self.shares
        if self.ramp is not None:
            return (self.ramp[0], 1.0 - self.ramp[0])
        rivals = len(self.candidates) - 1
        share = 1.0 / len(self.candidates)
        if self.bandit.ramp and self.bandit.ramp[0] < share:
            return (1.0 - rivals * self.bandit.ramp[0], *(self.bandit.ramp[0],) * rivals)
        return (share,) * len(self.candidates)
