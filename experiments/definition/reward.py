"""The reward: the number the bandit learns from, and what silence and errors mean for it."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from experiments.definition.declared import WIDTHS, Declared, Finite
from experiments.definition.duration import DurationMs
from experiments.definition.names import Name

PREDICTED = "predicted"
"""What a policy stated for the success of the model that it chose."""
PREDICTED_BINS = tuple(f"predicted_{tenth}" for tenth in range(10))
"""The same beside the reward, by tenths of what was stated (experiments.evidence.predictions)."""
KEPT_METRICS = ("reward_uncosted", "reward_unclipped", "cost_usd_uncapped", PREDICTED, *PREDICTED_BINS)
"""Sums that the statistics keep beside what is reported (experiments.evidence.units)."""
PAIR_ERROR, PAIR_LATENCY, PAIR_COST = "pair_error", "pair_latency_ln", "pair_cost_usd"
"""What a copied request in mode shadow says of its pair: error of the copy minus that of the answer, ln of the ratio
of their latencies, and the cost of the answer beside the copy's own."""
PAIR_METRICS = (PAIR_ERROR, PAIR_LATENCY, PAIR_COST)
MISROUTED = "misrouted"
"""Feedback's judgement, 1 or 0, whether a request belongs to another task; reports show it."""
RESERVED_METRICS = (
    "error",
    "cost_usd",
    "latency_ms",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    *KEPT_METRICS,
)


class Reward(Declared):
    """The number the bandit learns from, and what silence and errors mean for it."""

    metric: Name = "reward"
    """Name under which feedback reports it."""
    kind: Literal["binary", "score"] = "binary"
    """`binary` is 0 or 1; `score` is any number within `range`."""
    range: tuple[Finite, Finite] = (0.0, 1.0)
    """Lowest and highest reward."""
    outside: Literal["refuse", "clip"] = "refuse"
    """What happens to a score outside `range`: its feedback is refused, or it counts as the nearer end (declared
    winsorising), is kept as it was sent, and the report shows both."""
    window_ms: DurationMs = Field(default=86_400_000, alias="window")
    """How long after assignment feedback counts; an epoch's cells are final after it."""
    on_error: Finite | None = None
    """Reward of a call that gave no answer; by default the lower end of `range`."""
    missing: Literal["drop"] | Finite = "drop"
    """What silence means after the window: leave the unit out, or count this value."""

    @model_validator(mode="before")
    @classmethod
    def _window_with_unit(cls, given: object) -> object:
        """A bare number in a file means hours to one reader and milliseconds to the program."""
        window = given.get("window") if isinstance(given, Mapping) else None
        if isinstance(window, int | float) and not isinstance(window, bool) and window != 0:
            raise ValueError(f"window == {window:g} has no unit (ms, s, m, h, d); write it as in '24h'")
        return given

    @field_validator("metric")
    @classmethod
    def _not_reserved(cls, metric: str) -> str:
        if metric in (*RESERVED_METRICS, *PAIR_METRICS, MISROUTED):
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
        if self.kind == "binary" and self.outside == "clip":
            raise ValueError(
                "a binary reward is 0 or 1 and never clipped; use kind: score, or outside: refuse"
            )
        for field, value in (("on_error", self.on_error), ("missing", self.missing)):
            if isinstance(value, float | int) and not low <= value <= high:
                raise ValueError(f"{field} == {value:g}, must be within range [{low:g}, {high:g}]")
        return self

    def counted(self, value: float) -> float:
        """What a reported reward counts as."""
        return min(max(value, self.range[0]), self.range[1]) if self.outside == "clip" else value

    @property
    def error_value(self) -> float:
        """Reward of a call that gave no answer."""
        return self.range[0] if self.on_error is None else self.on_error

    @property
    def width(self) -> float:
        """Highest minus lowest reward."""
        return self.range[1] - self.range[0]
