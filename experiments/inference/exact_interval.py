"""Exact anytime interval of a difference of rates, for rare outcomes: the differences E2S does not reject.

For every difference of a fixed grid there is an e-process of "rate_b - rate_a <= difference". The lower bound is
the highest difference up to which all of them were rejected at some look. The true difference lies below it
only if one fixed test erred, that of the grid point next above the truth; so the bound holds at all looks
together, without any claim that the e-values fall along the grid.
"""

from dataclasses import dataclass
from math import ceil, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bandit.cells import Floats
from experiments.inference.exact import EDGE, GRID, SMALLEST_SPREAD, Blocks, null_rate, past

FINEST = 1 / 16
"""Step of the grid of differences around zero, in multiples of the mde."""
COARSER = 0.04
"""Relative growth of the step away from zero."""
CHUNK = 1
"""Differences that are tested at once beyond the guess."""
FIRST_EPOCHS = 8
"""Epochs that are read first: most differences are rejected long before the last epoch."""
MORE_EPOCHS = 1.6
"""By how much the reading grows then, for the differences that are left."""
NARROWEST = 0.9
"""Margin of the guess, in multiples of sqrt(2 ln(1 / alpha)) standard errors; any value gives the same bound."""


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
    """ln E of "rate_b - rate_a <= difference" for each difference, after each epoch that can change it."""
    scan = _Scan.of(blocks, mde)
    return np.asarray(_mixed(np.cumsum(scan.growth(difference, 0, len(scan.rate)), axis=1)), dtype=np.float64)


def _lower(blocks: Blocks, mde: float, alpha: float) -> float:
    """Scan upwards; stop at the first difference that was never rejected.

    The first part of the scan ends where the bound is likely to lie, so that few differences beyond it are
    tested; the bound is the same wherever the parts end.
    """
    grid, scan = differences(mde), _Scan.of(blocks, mde)
    start, end = 0, max(int(np.searchsorted(grid, scan.guess(alpha))), 1)
    while start < grid.size:
        rejected = scan.rejected(grid[start:end], log(1 / alpha))
        if not rejected.all():
            first = start + int(np.argmin(rejected))
            return float(grid[first - 1]) if first else -1.0
        start, end = end, end + CHUNK
    return float(grid[-1])


@dataclass(frozen=True)
class _Scan:
    """One comparison's blocks with what is known before each of them."""

    n: Floats
    s: Floats
    rate: Floats
    """Past pooled rate; shape (epochs,)."""
    share: Floats
    """Past shares; shape (epochs, 2)."""
    mde: float

    @classmethod
    def of(cls, blocks: Blocks, mde: float) -> "_Scan":
        """The blocks that can change an e-value: with units of both arms, and units before them."""
        counts = (blocks.n > 0).all(axis=-1)
        used = Blocks(blocks.n[counts], blocks.s[counts])
        rate, share = past(used)
        return cls(used.n[1:], used.s[1:], rate[1:], share[1:], mde)

    def guess(self, alpha: float) -> float:
        """About where the lower bound lies: the stratified difference less a margin; it decides nothing."""
        if not len(self.rate):
            return -1.0
        weight = 1 / (1 / self.n).sum(axis=1)
        means = self.s / self.n
        difference = float(weight @ (means[:, 1] - means[:, 0]) / weight.sum())
        rate = float(self.s.sum() / self.n.sum())
        spread = max(rate * (1 - rate), SMALLEST_SPREAD / 4)
        return difference - NARROWEST * sqrt(2 * log(1 / alpha) * spread / float(weight.sum()))

    def rejected(self, grid: Floats, threshold: float) -> NDArray[np.bool_]:
        """Which differences were ever rejected; most of them are long before the last epoch."""
        epochs, read = len(self.rate), 0
        alive, rejected = np.arange(grid.size), np.zeros(grid.size, dtype=bool)
        carried = np.zeros((grid.size, 1, len(GRID)))
        while read < epochs and alive.size:
            until = min(max(FIRST_EPOCHS, int(MORE_EPOCHS * read)), epochs)
            totals = carried + np.cumsum(self.growth(grid[alive], read, until), axis=1)
            reached = _mixed(totals).max(axis=1) >= threshold
            rejected[alive[reached]] = True
            alive, carried, read = alive[~reached], totals[~reached, -1:], until
        return rejected

    def growth(self, difference: Floats, first: int, last: int) -> Floats:
        """ln S of some epochs; shape (differences, epochs, alternatives)."""
        n, s = self.n[first:last, :, None], self.s[first:last, :, None]
        ta, tb = self._alternatives(difference[:, None], first, last)
        d = difference[:, None, None]
        na, nb, sa, sb = n[:, 0], n[:, 1], s[:, 0], s[:, 1]
        outside = tb - ta > d
        if not outside.all():  # clipped rates may have fallen inside the null hypothesis: there S = 1
            lowest, room = np.maximum(-d, 0), 1 - np.abs(d)
            ta, tb = np.where(outside, ta, lowest + room / 4), np.where(outside, tb, lowest + room / 2 + d)
        xa = null_rate(na, nb, ta, tb, d)
        xb = xa + d
        of_a = sa * np.log(ta / xa) + (na - sa) * np.log((1 - ta) / (1 - xa))
        of_b = sb * np.log(tb / xb) + (nb - sb) * np.log((1 - tb) / (1 - xb))
        return np.where(outside, of_a + of_b, 0.0)

    def _alternatives(self, d: Floats, first: int, last: int) -> tuple[Floats, Floats]:
        """Alternatives (ta, tb) beyond each boundary, around the past pooled rate m.

        The boundary point (m - share_b d, m + share_a d) is moved apart by g mde, in log-odds and split by
        past shares as in `experiments.inference.exact.alternatives`, so that every one of them lies outside
        the null hypothesis.
        """
        rate, share = self.rate[first:last], self.share[first:last]
        a = np.clip(rate - share[:, 1] * d, np.maximum(-d, 0) + EDGE, np.minimum(1 - d, 1) - EDGE)
        b = a + d
        spread = share[:, 1] * a * (1 - a) + share[:, 0] * b * (1 - b)
        step = self.mde * np.array(GRID) / np.maximum(spread, SMALLEST_SPREAD)[..., None]
        ta = expit(logit(a)[..., None] - share[:, 1, None] * step)
        tb = expit(logit(b)[..., None] + share[:, 0, None] * step)
        return np.clip(ta, EDGE, 1 - EDGE), np.clip(tb, EDGE, 1 - EDGE)


def _mixed(totals: Floats) -> Floats:
    """ln of the mean over the last axis of exp(totals)."""
    largest = totals.max(axis=-1)
    result: Floats = largest + np.log(np.exp(totals - largest[..., None]).mean(axis=-1))
    return result
