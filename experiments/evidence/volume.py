"""Volume: how much an experiment has seen, and at what pace."""

from dataclasses import dataclass

import numpy as np

from bandit.cells import Floats, Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, ERROR, PRIMARY

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Volume:
    """Counts by arm over mature epochs, and the pace over all."""

    units: tuple[float, ...]
    """Units with a counted reward."""
    rarer: tuple[float, ...]
    """Units, in effect, on the rarer side of the reward's range: for binary rewards of single requests
    the smaller of successes and failures."""
    called: tuple[int, ...]
    """Units with a known call; callers may report rewards alone, and then there never is one."""
    served: tuple[float, ...]
    """Share of called units that were answered by their own candidate; 1 before any call."""
    costed: tuple[float, ...]
    """Share of called units whose cost is known; 1 before any call. Costs are compared where nearly all are."""
    assigned: int
    """Units of all arms in all epochs, the open one too."""
    mature: int
    """Units of all arms in mature epochs."""
    running_ms: int
    """Time with traffic; pauses are not in it."""
    units_per_day: float
    """Of that time."""


def volume(definition: Experiment, everything: Evidence, mature: Evidence, now_ms: int) -> Volume:
    """Measure what was seen; `mature` are the epochs that tests may read."""
    pooled = mature.metric(PRIMARY).pooled()
    called, costed = (mature.metric(name).n.sum(axis=0) for name in (ERROR, COST))
    served, answered = mature.counts["served"].sum(axis=0), mature.counts["called"].sum(axis=0)
    assigned = int(everything.counts["assigned"].sum())
    running = max(everything.running_ms(now_ms), 1)
    return Volume(
        units=tuple(pooled[:, Z.UNIT, Z.UNIT].tolist()),
        rarer=tuple(rarer(pooled, definition.reward.range[0], definition.reward.width).tolist()),
        called=tuple(int(count) for count in answered),
        served=_shares(served, answered),
        costed=_shares(costed, called),
        assigned=assigned,
        mature=int(mature.counts["assigned"].sum()),
        running_ms=running,
        units_per_day=assigned * DAY_MS / running,
    )


def _shares(some: Floats, of: Floats) -> tuple[float, ...]:
    shares = np.where(of > 0, some / np.maximum(of, 1), 1.0)
    return tuple(shares.tolist())


def rarer(pooled: Floats, low: float, width: float) -> Floats:
    """(sum x)^2 / sum x^2 of a metric above its range's low end, and of what is missing to its high end.

    It counts how many units carry a sum: a mean that rests on fewer than some 20 is not near normal yet.
    """
    requests, total = pooled[:, Z.UNIT, Z.REQUESTS], pooled[:, Z.UNIT, Z.TOTAL]
    nn, nr, rr = (
        pooled[:, Z.REQUESTS, Z.REQUESTS], pooled[:, Z.REQUESTS, Z.TOTAL], pooled[:, Z.TOTAL, Z.TOTAL]
    )  # fmt: skip
    above, below = (total - low * requests) / width, requests - (total - low * requests) / width
    with_requests = (nr - low * nn) / width
    squares = (rr - 2 * low * nr + low**2 * nn) / width**2
    squares_below = nn - 2 * with_requests + squares
    return np.minimum(_carriers(above, squares), _carriers(below, squares_below))


def _carriers(total: Floats, squares: Floats) -> Floats:
    positive = np.maximum(total, 0.0)
    carriers: Floats = positive**2 / np.maximum(squares, np.maximum(positive, 1.0) * 1e-12)
    return carriers
