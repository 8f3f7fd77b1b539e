"""Guardrails: metrics that a candidate may not make worse than the control by more than a bound."""

from collections.abc import Mapping
from math import log
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from experiments.definition.declared import FINEST, WIDTHS, Declared, Finite, Positive
from experiments.definition.names import Name
from experiments.definition.reward import PAIR_METRICS, RESERVED_METRICS

ERROR, COST, FEEDBACK_RATE = "error", "cost_usd", "feedback_rate"
QUANTILES: Mapping[str, float] = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}
FINEST_LATENCY = 1.05
"""Smallest ratio of latencies that may be asked for: they are counted in buckets of 4% relative width."""
_BOUNDS = ("max_increase", "max_ratio", "max_decrease")
_TAKES: Mapping[str, tuple[str, str]] = {
    ERROR: ("max_increase", "a ratio of rates near zero is unbounded"),
    COST: ("max_ratio", "costs of tasks differ by orders of magnitude"),
    FEEDBACK_RATE: ("max_decrease", "it is a share of units, and only its fall does harm"),
    **dict.fromkeys(QUANTILES, ("max_ratio", "latencies of tasks differ by orders of magnitude")),
}
_RULES = ("data", "costs", "not_worse", "min_reward", "gain", "budget", "served")
_TAKEN = frozenset({"reward", *_RULES, *RESERVED_METRICS, *PAIR_METRICS})
"""Names that mean something else: the rules of promotion, and what Pointsman measures."""


class Guardrail(Declared):
    """A metric that a candidate may not make worse than the control by more than a bound.

    The metric is one that Pointsman measures, or any that feedback reports; such a one declares its range.
    """

    metric: Name
    max_increase: Positive | None = None
    """Bound on candidate minus control, in the metric's unit per request; lower is better."""
    max_ratio: Annotated[float, Field(allow_inf_nan=False, gt=1)] | None = None
    """Bound on candidate divided by control."""
    max_decrease: Positive | None = None
    """Bound on control minus candidate, in the metric's unit per request; higher is better."""
    range: tuple[Finite, Finite] | None = None
    """Lowest and highest value of a metric that feedback reports; what lies outside counts as the nearer end."""

    @field_validator("range", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        given = [name for name in _BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"guardrail {self.metric!r} needs exactly one of {', '.join(_BOUNDS)}")
        if self.metric in _TAKES:
            self._check_measured(given[0])
        else:
            self._check_reported(given[0])
        if self.max_ratio is not None:
            least = FINEST_LATENCY if self.metric in QUANTILES else 1 + FINEST
            if not least <= self.max_ratio <= 1 / FINEST:
                raise ValueError(f"max_ratio == {self.max_ratio:.9g}, must be in [{least}, {1 / FINEST:g}]")
        elif not FINEST * self.width <= self.bound <= self.width:
            raise ValueError(
                f"{given[0]} == {self.bound:g}, must be in [{FINEST * self.width:g}, {self.width:g}]"
            )
        return self

    def _check_measured(self, given: str) -> None:
        takes, why = _TAKES[self.metric]
        if given != takes:
            raise ValueError(f"guardrail {self.metric!r} takes {takes}: {why}")
        if self.range is not None:
            raise ValueError(
                f"guardrail {self.metric!r} is measured by Pointsman and has no range; remove it"
            )

    def _check_reported(self, given: str) -> None:
        """A metric of feedback: a free name, a range, and a bound on the difference."""
        if self.metric in _TAKEN or self.metric.startswith("latency_"):
            raise ValueError(
                f"guardrail metric {self.metric!r} cannot be reported as feedback under this name; "
                f"use {', '.join(_TAKES)}, or rename it"
            )
        if given == "max_ratio":
            raise ValueError(f"guardrail {self.metric!r} takes max_increase or max_decrease, in its own unit")
        if self.range is None:
            raise ValueError(
                f"guardrail {self.metric!r} is not measured by Pointsman ({', '.join(_TAKES)}); "
                "a metric reported as feedback needs its range: [lowest, highest]"
            )
        low, high = self.range
        if not (WIDTHS[0] <= high - low and max(abs(low), abs(high)) <= WIDTHS[1]):
            raise ValueError(
                f"range [{low:g}, {high:g}] must rise by at least {WIDTHS[0]:g} and stay within {WIDTHS[1]:g} "
                "of zero; report the metric in another unit"
            )

    @property
    def bound(self) -> float:
        """How much worse a candidate may be, above 0; on the log scale for a ratio."""
        given = self.max_increase if self.max_ratio is None else log(self.max_ratio)
        return given or self.max_decrease or 0.0

    @property
    def width(self) -> float:
        """Highest minus lowest value per request."""
        return 1.0 if self.range is None else self.range[1] - self.range[0]

    @property
    def quantile(self) -> float | None:
        """The quantile of latency that is watched, if it is one."""
        return QUANTILES.get(self.metric)

    @property
    def known_at_call(self) -> bool:
        """Whether the metric is complete when a call ends, so that harm need not wait for the reward window."""
        return self.metric in (ERROR, COST) or self.quantile is not None

    def counted(self, reports: float, total: float) -> float:
        """What the reports of one unit sum to, with their mean kept within the declared range."""
        if self.range is None:
            return total
        return min(max(total, self.range[0] * reports), self.range[1] * reports)
