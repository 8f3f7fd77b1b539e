"""Exploration floors: the least share of each arm, paid for out of a share of the spend.

A flat floor on arms whose costs differ sixtyfold spends most of the money on the dearest ones, so a floor
shrinks with the cost of its arm. `phi` is the share of spend allowed for exploration.
"""

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from bandit.shares import Shares

PHI = 0.05
OPEN_TOTAL = 0.4
"""Most that all floors together may take while a test is open."""


def open_floors(costs_usd: Floats, live: NDArray[np.bool_], control: int = 0, phi: float = PHI) -> Floats:
    """Floors in mode earn while a test is open: f_k = min(.4 / K, phi c_control / (K c_k)), K live arms.

    The control keeps .4 / K however dear it is: every comparison waits for its units, and a verdict needs
    the same number of them at any share (docs/decisions/0003). With phi = 0 no arm has a floor.

    >>> open_floors(np.array([10.0, 1.0, 20.0]), np.array([True, True, True])).round(4).tolist()
    [0.1333, 0.1333, 0.0083]
    """
    _check(costs_usd, live, phi)
    arms = live.sum()
    floors = np.minimum(OPEN_TOTAL / arms, phi * costs_usd[control] / (arms * costs_usd))
    if phi > 0:
        floors[control] = OPEN_TOTAL / arms
    return np.where(live, floors, 0.0)


def after_floors(
    shares: Shares, costs_usd: Floats, live: NDArray[np.bool_], epsilon: float, phi: float = PHI
) -> Floats:
    """Floors after the verdict: f_k = min(epsilon, phi c_plan / (K c_k)), K live arms.

    c_plan is the expected cost per request of `shares`, the split without any floor.

    >>> after_floors(np.array([0.0, 1.0]), np.array([10.0, 1.0]), np.array([True, True]), epsilon=0.02).tolist()
    [0.0025, 0.02]
    """
    _check(costs_usd, live, phi)
    arms = int(live.sum())
    if not 0 <= epsilon <= 1 / arms:
        raise ValueError(f"epsilon == {epsilon:g}, must be in [0, {1 / arms:g}] for {arms} arms")
    floors = np.minimum(epsilon, phi * float(shares @ costs_usd) / (arms * costs_usd))
    return np.where(live, floors, 0.0)


def _check(costs_usd: Floats, live: NDArray[np.bool_], phi: float) -> None:
    if costs_usd.shape != live.shape or not live.any() or not (costs_usd > 0).all():
        raise ValueError(f"costs_usd == {costs_usd.tolist()}, must be > 0 for each of at least one live arm")
    if not 0 <= phi <= 1:
        raise ValueError(f"phi == {phi:g}, must be a share of spend in [0, 1]")
