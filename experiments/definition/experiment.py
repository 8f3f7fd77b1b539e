"""What a user declares: an experiment's task, candidates, reward, objective, guardrails and decision rule.

Everything here is frozen when the experiment starts. A field that the schema accepts is enforced;
what a later release will enforce is refused with the words "not yet".
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from experiments.definition.decision import Decision
from experiments.definition.declared import FINEST, WIDTHS, Declared, Positive, refuse_not_yet
from experiments.definition.guardrail import Guardrail
from experiments.definition.names import ExperimentName, Name, TaskName
from experiments.definition.objective import Objective
from experiments.definition.reward import Reward

Mode = Literal["ab", "learn", "earn"]
Unit = Literal["request", "conversation", "user"]

MAX_CANDIDATES = 20


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
    reward: Reward = Reward()
    objective: Objective = Objective()
    guardrails: tuple[Guardrail, ...] = ()
    decision: Decision = Decision()

    @field_validator("mode", mode="before")
    @classmethod
    def _mode_not_yet(cls, mode: object) -> object:
        return refuse_not_yet("mode", mode, ("shadow",), "ab, learn or earn")

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
        metrics = [guardrail.metric for guardrail in self.guardrails]
        if len(set(metrics)) < len(metrics):
            raise ValueError("a guardrail metric is listed twice; state one bound for it")
        return self

    def _check_shares(self) -> None:
        if self.shares is not None:
            if self.mode != "ab":
                raise ValueError(
                    f"shares are given only in mode ab; in mode {self.mode} the bandit sets them"
                )
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
        if self.shares is not None:
            return self.shares
        if self.ramp is not None:
            return (self.ramp[0], 1.0 - self.ramp[0])
        return (1.0 / len(self.candidates),) * len(self.candidates)
