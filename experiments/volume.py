"""Volume: how much an experiment has seen, and at what pace."""

from dataclasses import dataclass

import numpy as np

from bandit.cells import Z
from experiments.evidence import Evidence
from experiments.units import PRIMARY

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Volume:
    """Counts by arm over mature epochs, and the pace over all."""

    units: tuple[float, ...]
    """Units with a counted reward."""
    requests: tuple[float, ...]
    rewards: tuple[float, ...]
    served: tuple[float, ...]
    """Share of called units that were answered by their own candidate; 1 before any call."""
    assigned: int
    """Units of all arms in all epochs, the open one too."""
    mature: int
    """Units of all arms in mature epochs."""
    running_ms: int
    units_per_day: float


def volume(everything: Evidence, mature: Evidence, started_at_ms: int, now_ms: int) -> Volume:
    """Measure what was seen; `mature` are the epochs that tests may read."""
    pooled = mature.metric(PRIMARY).pooled()
    called = mature.counts["called"].sum(axis=0)
    served = np.where(called > 0, mature.counts["served"].sum(axis=0) / np.maximum(called, 1), 1.0)
    assigned = int(everything.counts["assigned"].sum())
    running_ms = max(now_ms - started_at_ms, 1)
    return Volume(
        units=tuple(pooled[:, Z.UNIT, Z.UNIT].tolist()),
        requests=tuple(pooled[:, Z.UNIT, Z.REQUESTS].tolist()),
        rewards=tuple(pooled[:, Z.UNIT, Z.TOTAL].tolist()),
        served=tuple(served.tolist()),
        assigned=assigned,
        mature=int(mature.counts["assigned"].sum()),
        running_ms=running_ms,
        units_per_day=assigned * DAY_MS / running_ms,
    )
