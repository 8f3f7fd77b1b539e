"""Exact anytime interval of a difference of rates, for rare outcomes: the differences E2S does not reject.

For every difference of a fixed grid there is an e-process of "rate_b - rate_a <= difference". The lower bound is
the highest difference up to which all of them were rejected at some look. The true difference lies below it
only if one fixed test erred, that of the grid point next above the truth; so the bound holds at all looks
together, without any claim that the e-values fall along the grid.
"""

from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bandit.cells import Floats
from experiments.inference.exact import EDGE, GRID, SMALLEST_SPREAD, Blocks, growth_beyond, mixed, past

FINEST = 1 / 16
"""Step of the grid of differences around zero, in multiples of the mde."""
COARSER = 0.04
"""Relative growth of the step away from zero."""
CHUNK = 16
"""Differences that are tested at once."""
FIRST_EPOCHS = 64
"""Epochs that are read first: most differences are rejected long before the last epoch."""


@dataclass(frozen=True)
class ExactInterval:
    """Bounds of the candidate's rate minus the control's; -1 and 1 while nothing is excluded."""

    low: float
    high: float


def exact_interval(blocks: Blocks, mde: float, alpha: float = 0.05) -> ExactInterval:
    """Two-sided interval at level 1 - alpha from blocks of shape (epochs, 2), valid at every look.

    >>> counts = np.full((30, 2), 100.0)
    >>> found = exact_interval(Blocks(counts, counts * [0.02, 0.12]), mde=0.05)
    >>> round(found.low, 3), round(found.high, 3)
    (0.074, 0.122)
    """
    if blocks.n.ndim != 2:
        raise ValueError(f"blocks {blocks.n.shape} must be (epochs, 2): one comparison")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha == {alpha:g}, must be between 0 and 1")
    used = blocks.complete
    return ExactInterval(_lower(used, mde, alpha / 2), -_lower(used.reversed(), mde, alpha / 2))


def lower_bound(blocks: Blocks, mde: float, alpha: float) -> float:
    """One-sided lower bound of rate_b - rate_a at level 1 - alpha."""
    return _lower(blocks.complete, mde, alpha)


def differences(mde: float) -> Floats:
    """The fixed grid within (-1, 1): steps of mde / 16 around zero that grow by 4% from point to point."""
    if not 0 < mde < np.inf:
        raise ValueError(f"mde == {mde:g}, must be finite and above 0")
    count = ceil(np.log1p(COARSER / (FINEST * mde)) / np.log1p(COARSER))
    above = FINEST * mde / COARSER * ((1 + COARSER) ** np.arange(count) - 1)
    inside = above[(above > 0) & (above < 1 - 4 * EDGE)]
    return np.concatenate([-inside[::-1], [0.0], inside])


def beyond(blocks: Blocks, mde: float, difference: Floats) -> Floats:
    """ln E of "rate_b - rate_a <= difference" for each difference; shape (differences, epochs)."""
    alternative = _alternatives(blocks, mde, difference)
    stacked = Blocks(
        np.broadcast_to(blocks.n, (difference.size, *blocks.n.shape)),
        np.broadcast_to(blocks.s, (difference.size, *blocks.s.shape)),
    )
    return mixed(growth_beyond(stacked, alternative, difference[:, None, None])).log_e


def _lower(blocks: Blocks, mde: float, alpha: float) -> float:
    """Scan upwards; stop at the first difference that was never rejected."""
    grid, bound = differences(mde), -1.0
    for start in range(0, grid.size, CHUNK):
        chunk = grid[start : start + CHUNK]
        rejected = _rejected(blocks, mde, chunk, log(1 / alpha))
        passed = chunk.size if rejected.all() else int(np.argmin(rejected))
        bound = float(chunk[passed - 1]) if passed else bound
        if passed < chunk.size:
            break
    return bound


def _rejected(blocks: Blocks, mde: float, chunk: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which differences were ever rejected, reading twice as many epochs at a time for those that were not."""
    epochs, rejected = blocks.n.shape[0], np.zeros(chunk.size, dtype=bool)
    read = min(FIRST_EPOCHS, epochs)
    while not rejected.all():
        first = Blocks(blocks.n[:read], blocks.s[:read])
        log_e = beyond(first, mde, chunk[~rejected])
        rejected[~rejected] = log_e.max(axis=-1, initial=0.0) >= threshold
        if read == epochs:
            break
        read = min(2 * read, epochs)
    return rejected


def _alternatives(blocks: Blocks, mde: float, difference: Floats) -> Floats:
    """Alternatives beyond each boundary, around the past pooled rate m; shape (differences, epochs, 5, 2).

    The boundary point (m - share_b d, m + share_a d) is moved apart by g mde, in log-odds and split by past
    shares as in `experiments.inference.exact.alternatives`, so that every one of them lies outside the null hypothesis.
    """
    rate, share = past(blocks)
    d = difference[:, None]
    a = np.clip(rate - share[:, 1] * d, np.maximum(-d, 0) + EDGE, np.minimum(1 - d, 1) - EDGE)
    b = a + d
    spread = share[:, 1] * a * (1 - a) + share[:, 0] * b * (1 - b)
    step = mde * np.array(GRID) / np.maximum(spread, SMALLEST_SPREAD)[..., None]
    apart = np.stack(
        [logit(a)[..., None] - share[:, 1, None] * step, logit(b)[..., None] + share[:, 0, None] * step], -1
    )
    result: Floats = np.clip(expit(apart), EDGE, 1 - EDGE)
    return result
