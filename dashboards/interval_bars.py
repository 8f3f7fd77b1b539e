"""Interval bars: effects and their confidence intervals on one scale, as small drawings."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

WIDTH, HEIGHT, INSET = 220.0, 22.0, 8.0
FARTHEST = 4.0
"""Ends beyond this many times the largest effect are cut off: one wide interval must not flatten the others."""


@dataclass(frozen=True, slots=True)
class Span:
    """An estimate with its interval; None where an end is not known."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """Horizontal places in the drawing; None for what is not drawn."""

    zero: float
    margin: float | None
    low: float
    high: float
    value: float | None
    cut_low: bool
    """The interval goes on beyond the left edge."""
    cut_high: bool


def interval_bars(
    spans: Sequence[Span], margin: float | None = None, *, relative: bool = False
) -> list[Bar | None]:
    """One bar per span on a scale that all share; None for spans without an estimate.

    Relative changes are drawn by ln(1 + change), so that half and double lie equally far from zero.
    """
    scaled = [Span(*(_scaled(end, relative) for end in (one.value, one.low, one.high))) for one in spans]
    known = [one for one in scaled if one.value is not None]
    if not known:
        return [None] * len(scaled)
    low, high = _domain(known, margin)
    return [None if one.value is None else _bar(one, margin, low, high) for one in scaled]


def _scaled(end: float | None, relative: bool) -> float | None:
    if end is None or not relative:
        return end
    return log(max(1 + end, 1e-9))


def _domain(spans: Sequence[Span], margin: float | None) -> tuple[float, float]:
    """Ends of the scale: zero, the margin and all estimates are inside, far ends are cut."""
    values = [one.value for one in spans if one.value is not None]
    margins = [] if margin is None else [margin]
    widths = [one.high - one.low for one in spans if one.low is not None and one.high is not None]
    reach = FARTHEST * max(*map(abs, values), *map(abs, margins), min(widths, default=0.0) / 2, 1e-12)
    ends = [end for one in spans for end in (one.low, one.high) if end is not None]
    points = [0.0, *values, *margins, *(min(max(end, -reach), reach) for end in ends)]
    return min(points), max(points)


def _bar(span: Span, margin: float | None, low: float, high: float) -> Bar:
    def place(at: float) -> float:
        inside = min(max((at - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        return round(INSET + inside * (WIDTH - 2 * INSET), 1)

    cut_low = span.low is None or span.low < low
    cut_high = span.high is None or span.high > high
    return Bar(
        zero=place(0.0),
        margin=None if margin is None else place(margin),
        low=INSET / 2 if cut_low or span.low is None else place(span.low),
        high=WIDTH - INSET / 2 if cut_high or span.high is None else place(span.high),
        value=None if span.value is None else place(span.value),
        cut_low=cut_low,
        cut_high=cut_high,
    )
