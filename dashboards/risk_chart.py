"""Risk chart: how many of the classified texts are wrong, against how many are classified."""

from dataclasses import dataclass
from math import ceil

from evaluation.classification.outcome import Judgement

LEFT, RIGHT, TOP, BOTTOM = 52.0, 20.0, 12.0, 30.0
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
_LEAST_TOP = 0.004


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class RiskChart:
    """A drawing of one width; all places are in its own units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    path: str
    across: tuple[Tick, ...]
    """Coverage."""
    up: tuple[Tick, ...]
    """Error."""
    here: tuple[float, float] | None
    """Where the threshold in force lies; None where it classifies nothing."""


def risk_chart(judgement: Judgement, width: float, height: float) -> RiskChart | None:
    """The chart, or None where no text was in scope."""
    curve = judgement.curve
    if not curve:
        return None
    right, bottom = width - RIGHT, height - BOTTOM
    largest = max(_LEAST_TOP, *(point.error for point in curve))
    step = next((one for one in _STEPS if largest <= 5 * one), _STEPS[-1])
    lines = ceil(largest / step)

    def place(coverage: float, error: float) -> tuple[float, float]:
        rise = error / (lines * step) * (bottom - TOP)
        return round(LEFT + coverage * (right - LEFT), 1), round(bottom - rise, 1)

    points = [place(point.coverage, point.error) for point in curve]
    share, right_share = judgement.coverage, judgement.accuracy_classified
    return RiskChart(
        width=width, height=height, left=LEFT, right=right, top=TOP, bottom=bottom,
        path="M" + " L".join(f"{x:g},{y:g}" for x, y in points),
        across=tuple(Tick(place(part / 4, 0)[0], f"{part * 25}%") for part in range(5)),
        up=tuple(Tick(place(0, line * step)[1], f"{line * step * 100:.3g}%") for line in range(lines + 1)),
        here=None if share is None or right_share is None else place(share, 1 - right_share),
    )  # fmt: skip
