"""Share chart: how traffic was split over the epochs, as stacked steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, count

from experiments.report.document import SharesPart

SERIES = 10
"""Colours in the style sheet; further candidates use them again, and are told apart by their labels."""
MOST_ROWS = 40
LEFT, TOP, BOTTOM = 44.0, 10.0, 30.0
LABEL_HEIGHT = 15.0
LONGEST_LABEL = 18
NAMES = 178.0
"""Room for names at the right of a labelled chart."""


@dataclass(frozen=True, slots=True)
class Band:
    """One candidate's area."""

    name: str
    series: int
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A text at a place in the drawing."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """A candidate's name beside the end of its band."""

    at: float
    band: float
    """Middle of the band that the label belongs to."""
    text: str
    series: int


@dataclass(frozen=True, slots=True)
class ShareChart:
    """A drawing of one width; all places are in its own units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    bands: tuple[Band, ...]
    labels: tuple[Label, ...]
    across: tuple[Mark, ...]
    """Epochs along the bottom."""
    up: tuple[Mark, ...]
    """Percentages along the left."""


def series_of(arm: int) -> int:
    """Number of a candidate's colour; the control, 0, is grey and keeps that to itself.

    >>> [series_of(arm) for arm in (0, 1, 9, 10)]
    [0, 1, 9, 1]
    """
    return 0 if arm == 0 else (arm - 1) % (SERIES - 1) + 1


def share_chart(
    shares: SharesPart, names: Sequence[str], width: float, height: float, *, labelled: bool
) -> ShareChart | None:
    """The chart, or None before the first epoch; `labelled` names the bands at their right end."""
    if not shares.numbers:
        return None
    right = width - (NAMES if labelled else 10.0)
    bottom = height - BOTTOM
    first, last = shares.numbers[0], shares.numbers[-1] + 1
    edges = [LEFT + (number - first) / (last - first) * (right - LEFT) for number in (*shares.numbers, last)]
    heights = [[TOP + (1 - edge) * (bottom - TOP) for edge in _edges(row)] for row in shares.shares]
    bands = tuple(
        Band(name, series_of(arm), _path(edges, [(row[arm], row[arm + 1]) for row in heights]))
        for arm, name in enumerate(names)
    )
    return ShareChart(
        width=width, height=height, left=LEFT, right=right, top=TOP, bottom=bottom,
        bands=bands,
        labels=_labels(shares.shares[-1], heights[-1], names, bottom) if labelled else (),
        across=_across(first, shares.numbers[-1], edges[0], right),
        up=tuple(Mark(round(TOP + (1 - part / 4) * (bottom - TOP), 1), f"{part * 25}%") for part in range(5)),
    )  # fmt: skip


def table_rows(shares: SharesPart) -> list[int]:
    """Places of the epochs that a table of the chart lists: evenly thinned, the newest always among them."""
    epochs = len(shares.numbers)
    if epochs <= MOST_ROWS:
        return list(range(epochs))
    step = (epochs - 1) / (MOST_ROWS - 1)
    return sorted({round(row * step) for row in range(MOST_ROWS)})


def _edges(row: Sequence[float]) -> list[float]:
    """Where bands meet, from 0 to 1; the control's band lies at the bottom."""
    return [0.0, *(min(edge, 1.0) for edge in accumulate(row))]


def _path(edges: Sequence[float], sides: Sequence[tuple[float, float]]) -> str:
    """A closed outline: along the upper side in steps, back along the lower one."""
    upper, lower = [], []
    for left, right, (below, above) in zip(edges, edges[1:], sides, strict=False):
        upper += [f"{left:.1f},{above:.1f}", f"{right:.1f},{above:.1f}"]
        lower += [f"{left:.1f},{below:.1f}", f"{right:.1f},{below:.1f}"]
    return f"M{' L'.join([*upper, *reversed(lower)])}Z"


def _labels(
    row: Sequence[float], heights: Sequence[float], names: Sequence[str], bottom: float
) -> tuple[Label, ...]:
    """Names of the bands that still have traffic, moved apart where bands are thin."""
    live = [arm for arm, share in enumerate(row) if share > 0]
    if len(live) * LABEL_HEIGHT > bottom - TOP:
        return ()
    labels = []
    floor = bottom
    for place, arm in enumerate(live):  # from the bottom up
        middle = (heights[arm] + heights[arm + 1]) / 2
        ceiling = TOP + (len(live) - 1 - place) * LABEL_HEIGHT + LABEL_HEIGHT / 2
        at = max(min(middle, floor - LABEL_HEIGHT / 2), ceiling)
        floor = at - LABEL_HEIGHT / 2
        text = f"{_short(names[arm])} {row[arm]:.0%}"
        labels.append(Label(round(at, 1), round(middle, 1), text, series_of(arm)))
    return tuple(labels)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"


def _across(first: int, last: int, left: float, right: float) -> tuple[Mark, ...]:
    """About five epoch numbers at round steps, each at the middle of its epoch."""
    size = next(
        digit * 10**power
        for power in count()
        for digit in (1, 2, 5)
        if (last - first) <= 6 * digit * 10**power
    )
    width = (right - left) / (last - first + 1)
    rounds = range(-(-first // size) * size, last + 1, size)
    kept = [first, *(number for number in rounds if number - first > size / 2)]
    return tuple(Mark(round(left + (number - first + 0.5) * width, 1), str(number)) for number in kept)
