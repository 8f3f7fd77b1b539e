"""The reward: the number the bandit learns from, and what silence and errors mean for it."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from experiments.definition.declared import WIDTHS, Declared, Finite
from experiments.definition.duration import DurationMs
from experiments.definition.names import Name

RESERVED_METRICS = ("error", "cost_usd", "latency_ms", "input_tokens", "output_tokens")


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
