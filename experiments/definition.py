"""What a user declares: an experiment's task, candidates, reward, objective, guardrails and decision rule.

Everything here is frozen when the experiment starts. A field that the schema accepts is enforced;
what a later release will enforce is refused with the words "not yet".
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from experiments.duration import DurationMs
from experiments.names import ExperimentName, Name, TaskName

Mode = Literal["ab", "learn", "earn"]
Unit = Literal["request", "conversation", "user"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]

MAX_CANDIDATES = 20
WIDTHS = (1e-6, 1e9)
"""Ranges of a reward beyond which sums of squares lose their digits."""
FINEST = 1e-6
"""Smallest difference, in widths of its range, that some traffic can show."""
RESERVED_METRICS = ("error", "cost_usd", "latency_ms", "input_tokens", "output_tokens")


class Declared(BaseModel):
    """Base of everything read from a user's file or request: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, use_attribute_docstrings=True
    )


class Reward(Declared):
    """The number the bandit learns from, and what silence and errors mean for it."""

    metric: Name = "reward"
    """Name under which feedback reports it."""
    kind: Literal["binary", "score"] = "binary"
    """`binary` is 0 or 1; `score` is any number within `range`."""
    range: tuple[Finite, Finite] = (0.0, 1.0)
    """Lowest and highest reward; feedback outside is refused."""
    window_ms: DurationMs = Field(default=86_400_000, alias="window")
    """How long after assignment feedback counts; an epoch's cells are final after it."""
    on_error: Finite | None = None
    """Reward of a call that gave no answer; by default the lower end of `range`."""
    missing: Literal["drop"] | Finite = "drop"
    """What silence means after the window: leave the unit out, or count this value."""

    @field_validator("metric")
    @classmethod
    def _not_reserved(cls, metric: str) -> str:
        if metric in RESERVED_METRICS:
            raise ValueError(f"reward metric {metric!r} is measured by Pointsman itself; name another one")
        return metric

    @field_validator("range", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _within_range(self) -> Self:
        low, high = self.range
        if not low < high:
            raise ValueError(f"range [{low:g}, {high:g}] must rise: its first number is the lowest reward")
        if not (WIDTHS[0] <= high - low and max(abs(low), abs(high)) <= WIDTHS[1]):
            raise ValueError(
                f"range [{low:g}, {high:g}] must be at least {WIDTHS[0]:g} wide and within {WIDTHS[1]:g} of zero; "
                "report the reward in another unit"
            )
        if self.kind == "binary" and (low, high) != (0.0, 1.0):
            raise ValueError("a binary reward has range [0, 1]; use kind: score for another range")
        for field, value in (("on_error", self.on_error), ("missing", self.missing)):
            if isinstance(value, float | int) and not low <= value <= high:
                raise ValueError(f"{field} == {value:g}, must be within range [{low:g}, {high:g}]")
        return self

    @property
    def error_value(self) -> float:
        """Reward of a call that gave no answer."""
        return self.range[0] if self.on_error is None else self.on_error

    @property
    def width(self) -> float:
        """Highest minus lowest reward."""
        return self.range[1] - self.range[0]


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
        return _refuse_not_yet(
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


class Guardrail(Declared):
    """A metric that a candidate may not make worse than the control by more than a bound."""

    metric: Name
    max_increase: Positive | None = None
    """Bound on candidate minus control, in the metric's unit per request."""
    max_ratio: Annotated[float, Field(allow_inf_nan=False, gt=1)] | None = None
    """Bound on candidate divided by control."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.metric not in ("error", "cost_usd"):
            raise ValueError(f"guardrail metric {self.metric!r} is not yet enforced; use error or cost_usd")
        if (self.max_increase is None) == (self.max_ratio is None):
            raise ValueError(f"guardrail {self.metric!r} needs exactly one of max_increase and max_ratio")
        if self.max_increase is not None and not FINEST <= self.max_increase <= 1:
            raise ValueError(f"max_increase == {self.max_increase:g}, must be in [{FINEST:g}, 1]")
        if self.max_ratio is not None and not 1 + FINEST <= self.max_ratio <= 1 / FINEST:
            raise ValueError(f"max_ratio == {self.max_ratio:.9g}, must be in [{1 + FINEST}, {1 / FINEST:g}]")
        if self.metric == "error" and self.max_increase is None:
            raise ValueError("guardrail 'error' takes max_increase: a ratio of rates near zero is unbounded")
        if self.metric == "cost_usd" and self.max_ratio is None:
            raise ValueError(
                "guardrail 'cost_usd' takes max_ratio: costs of tasks differ by orders of magnitude"
            )
        return self


class Decision(Declared):
    """When evidence is enough, and what happens then."""

    alpha: Annotated[float, Field(ge=1e-6, le=0.2, allow_inf_nan=False)] = 0.05
    """Probability of a wrong promotion that the user accepts, over all looks and candidates."""
    mde: Positive = 0.03
    """Smallest difference in reward worth detecting, in reward units; tunes the test, not its validity."""
    min_saving: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.1
    """Smallest relative saving in cost that counts as cheaper."""
    read_out: Literal["anytime"] = "anytime"
    """The deciding read-out; the fixed-horizon and Bayesian ones are shown beside it."""
    min_days: Annotated[float, Field(ge=0, le=365, allow_inf_nan=False)] = 0.0
    """No verdict before this many days, so that weekly rhythms are seen."""
    max_units: Annotated[int, Field(ge=100, le=1_000_000_000)] = 200_000
    """Units after which an open question is called inconclusive."""
    promote: Literal["ask", "auto"] = "ask"
    """Whether a supported promotion waits for a person."""
    holdback: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.05
    """Share kept on the old champion after a promotion, to watch for regression; 0 keeps none."""


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
        return _refuse_not_yet("mode", mode, ("shadow",), "ab, learn or earn")

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


def _refuse_not_yet(field: str, value: object, later: tuple[str, ...], now: str) -> object:
    """Pass a value on, unless only a later release will enforce it."""
    if value in later:
        raise ValueError(f"{field} {value!r} is not yet enforced; use {now}")
    return value
