"""E2S: an exact e-process for the difference of two rates, valid for rare outcomes and at every look.

Safe test of 2 x 2 tables in blocks (Turner, Ly and Grünwald, arXiv 2106.02693). A block is one epoch: n_a, n_b
units and sums of rewards s_a, s_b of the control a and the candidate b. The alternative (ta, tb) of a block is
made from earlier blocks only, and the block multiplies the e-value by its likelihood ratio against the point
of the null hypothesis that is nearest to the alternative (the reverse information projection):

    ln S = s_a ln(ta / xa) + (n_a - s_a) ln((1 - ta) / (1 - xa)) + the same for b

    no difference          xa = xb = (n_a ta + n_b tb) / (n_a + n_b)
    rate_b <= rate_a - d   xb = xa - d, xa the root of sum_k n_k (x_k - t_k) / (x_k (1 - x_k)) = 0

Each epoch has its own unknown rates, so a common trend does no harm. Rewards anywhere in [0, 1] serve as well
as 0 and 1: exp(linear) is convex, so E[S] is largest at the ends of the range. Units must be single requests.
Arrays may carry further axes in front, as for many simulated runs at once; an epoch without units of both
arms changes nothing.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from bandit.cells import Cells, Floats, Z
from experiments.inference.not_enough import NotEnoughData

GRID = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Sizes of the alternatives, in multiples of the difference that the test is tuned for."""
EDGE = 1e-6
"""Rates are kept this far from 0 and 1: a first rare success must not cost everything."""
INSET = 1e-15
"""Points of a null hypothesis are kept this far from 0 and 1, where logarithms end."""
SMALLEST_SPREAD = 0.02
"""Least m (1 - m) by which a difference is turned into a step of log-odds."""
CLOSE = 1e-8
"""Logarithm of growth at which the search for a root ends; the last step squares it."""
FINEST = 1e-13
"""Change of a root that is rounding."""
MOST_STEPS = 100
_LARGEST_EXPONENT = 700.0
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Blocks:
    """Units `n` and sums of rewards `s` in [0, 1] of control and candidate; shape (..., epochs, 2)."""

    n: Floats
    s: Floats

    def __post_init__(self) -> None:
        if self.n.shape != self.s.shape or self.n.ndim < 2 or self.n.shape[-1] != 2:
            raise ValueError(f"n {self.n.shape} and s {self.s.shape} must both be (..., epochs, 2)")
        slack = _ROUNDING * (1 + self.n)
        if not (np.isfinite(self.n).all() and (self.n >= 0).all()):
            raise ValueError("units must be finite and >= 0 in every epoch")
        if not ((self.s >= -slack) & (self.s <= self.n + slack)).all():
            raise ValueError(
                "sums of rewards must be in [0, n] in every epoch; scale rewards to [0, 1] first"
            )

    @classmethod
    def of(
        cls, cells: Cells, against: int, arm: int, low: float = 0.0, width: float = 1.0
    ) -> "Blocks | NotEnoughData":
        """Blocks of `arm` beside `against` for rewards in [low, low + width], from mature epochs in order."""
        pair = cells.arms(against, arm)
        if not np.array_equal(pair.product(Z.REQUESTS, Z.REQUESTS), pair.n):
            return NotEnoughData("units hold several requests; the exact test needs one request per unit")
        return cls(pair.n, np.clip((pair.total(Z.TOTAL) - low * pair.n) / width, 0.0, pair.n))

    @property
    def complete(self) -> "Blocks":
        """The same epochs, emptied where an arm has no unit."""
        both = (self.n > 0).all(axis=-1, keepdims=True)
        return Blocks(self.n * both, np.clip(self.s, 0.0, self.n) * both)

    def reversed(self) -> "Blocks":
        """The same comparison seen from the other arm."""
        return Blocks(self.n[..., ::-1], self.s[..., ::-1])


@dataclass(frozen=True)
class EProcess:
    """ln E after each epoch; shape (..., epochs). E at any look is an e-value, the largest so far is not."""

    log_e: Floats

    @property
    def latest(self) -> Floats:
        """ln of the e-value at the last epoch; 0 before any."""
        shape = self.log_e.shape[:-1]
        return self.log_e[..., -1] if self.log_e.shape[-1] else np.zeros(shape)

    @property
    def p_values(self) -> Floats:
        """Always-valid p at each epoch: min(1, 1 / largest E so far) (Ville's inequality)."""
        largest = np.maximum.accumulate(np.maximum(self.log_e, 0.0), axis=-1)
        result: Floats = np.exp(-np.minimum(largest, _LARGEST_EXPONENT))
        return result

    def rejects(self, alpha: float) -> NDArray[np.bool_]:
        """Whether E ever reached 1 / alpha."""
        return np.asarray((self.log_e >= log(1 / alpha)).any(axis=-1))


def any_difference(blocks: Blocks, mde: float) -> EProcess:
    """Test of "the rates are equal in every epoch", against differences of either sign about `mde` large."""
    used = blocks.complete
    alternative, n = alternatives(used, mde), used.n[..., None, :]
    units = np.maximum(n.sum(axis=-1, keepdims=True), 1.0)
    pooled = (n * alternative).sum(axis=-1, keepdims=True) / units
    return mixed(log_growth(used, alternative, np.where(units > 1, pooled, alternative)))


def not_worse(blocks: Blocks, margin: float, mde: float | None = None) -> EProcess:
    """Test of "the candidate's rate is at most the control's - margin"; a large E shows non-inferiority.

    margin 0 asks for superiority. With the blocks reversed and -margin a large E shows the opposite: a
    loss greater than the margin. By default the alternatives are multiples of the margin.
    """
    size = abs(margin) if mde is None else mde
    used = blocks.complete
    return mixed(growth_beyond(used, alternatives(used, size), -margin))


def alternatives(blocks: Blocks, mde: float) -> Floats:
    """(ta, tb) of each block and grid point, from earlier blocks; shape (..., epochs, 10, 2).

    logit ta = logit m - share_b * step, logit tb = logit m + share_a * step around the past pooled rate m,
    step = +-g mde / max(m (1 - m), .02). In the first block both are 1/2, which makes S = 1.
    """
    if not 0 < mde < np.inf:
        raise ValueError(f"mde == {mde:g}, must be finite and above 0")
    rate, share = past(blocks)
    sizes = mde * np.array([*GRID, *(-g for g in GRID)])
    step = sizes / np.maximum(rate * (1 - rate), SMALLEST_SPREAD)[..., None]
    step = np.where(_started(blocks)[..., None], step, 0.0)
    moved = np.stack([-share[..., 1, None] * step, share[..., 0, None] * step], axis=-1)
    result: Floats = np.clip(expit(logit(rate)[..., None, None] + moved), EDGE, 1 - EDGE)
    return result


def past(blocks: Blocks) -> tuple[Floats, Floats]:
    """Pooled rate m (..., epochs) and shares (..., epochs, 2) of all units before each block."""
    n = np.cumsum(blocks.n, axis=-2) - blocks.n
    s = np.cumsum(blocks.s, axis=-2) - blocks.s
    units = n.sum(axis=-1)
    some = np.maximum(units, 1.0)
    rate = np.where(units > 0, np.clip(s.sum(axis=-1) / some, EDGE, 1 - EDGE), 0.5)
    return rate, np.where(units[..., None] > 0, n / some[..., None], 0.5)


def growth_beyond(blocks: Blocks, alternative: Floats, difference: Floats | float) -> Floats:
    """ln S of each block against "rate_b - rate_a <= difference"; shape (..., epochs, alternatives).

    An alternative inside the null hypothesis says nothing about it: there S = 1, as is S of the first block
    and of an epoch without units of both arms.
    """
    n = blocks.n[..., None, :]
    gap = np.broadcast_to(np.asarray(difference), alternative.shape[:-1])
    outside = (alternative[..., 1] - alternative[..., 0] > gap) & (n > 0).all(axis=-1)
    outside &= _started(blocks)[..., None]
    null = np.array(np.broadcast_to(alternative, alternative.shape))
    units = np.broadcast_to(n, alternative.shape)[outside]
    null[outside] = nearest_null(units, alternative[outside], gap[outside])
    return log_growth(blocks, alternative, null)


def nearest_null(n: Floats, alternative: Floats, difference: Floats) -> Floats:
    """(xa, xa + difference) nearest to alternatives with tb - ta > difference; all of shape (points, 2)."""
    (ta, tb), (na, nb) = alternative.T.copy(), n.T.copy()
    x = null_rate(na, nb, ta, tb, difference)
    return np.stack([x, x + difference], axis=1)


def null_rate(na: Floats, nb: Floats, ta: Floats, tb: Floats, d: Floats) -> Floats:
    """The control's rate xa of the nearest null point, for arrays of one shape or shapes that broadcast to it.

    The slope f(x) = sum_k n_k ((1 - t_k) / (1 - x_k) - t_k / x_k) rises and has one root between ta and
    tb - d; Newton steps, halving the bracket wherever one leaves it. It ends where one more step would
    change the expected growth by less than CLOSE: f^2 / f' is what an inexact root can gain. Rates nearer to 0 or 1
    than INSET would be rounded to it, where nothing is divided by; with 1e9 units that gains a factor of 1 + 1e-6.
    """
    low, high = np.maximum(ta, INSET - d), np.minimum(tb - d, 1.0 - INSET)
    x = (na * low + nb * high) / (na + nb)
    hits_a, hits_b = na * ta, nb * tb
    misses_a, misses_b = na - hits_a, nb - hits_b
    for _ in range(MOST_STEPS):
        up, down, up_b, down_b = 1 / x, 1 / (1 - x), 1 / (x + d), 1 / (1 - x - d)
        at, af, bt, bf = hits_a * up, misses_a * down, hits_b * up_b, misses_b * down_b
        slope = af - at + bf - bt
        curve = af * down + at * up + bf * down_b + bt * up_b
        below = slope < 0
        low, high = np.where(below, x, low), np.where(below, high, x)
        step = slope / curve
        moved = x - step
        inside = (moved >= low) & (moved <= high) & (moved > -d) & (moved < 1)
        following = np.where(inside, moved, (low + high) / 2)
        settled = (inside & (slope * step <= CLOSE)) | (np.abs(following - x) <= FINEST)
        x = following
        if settled.all():
            break
    result: Floats = x
    return result


def log_growth(blocks: Blocks, alternative: Floats, null: Floats) -> Floats:
    """ln S of each block and alternative: the log-likelihood ratio of its rewards."""
    n, s = blocks.n[..., None, :], blocks.s[..., None, :]
    terms = s * np.log(alternative / null) + (n - s) * np.log((1 - alternative) / (1 - null))
    result: Floats = terms.sum(axis=-1)
    return result


def mixed(growth: Floats) -> EProcess:
    """Equal mixture over the last axis of the products over epochs."""
    totals = np.cumsum(growth, axis=-2)
    return EProcess(np.asarray(logsumexp(totals, axis=-1) - log(growth.shape[-1])))


def _started(blocks: Blocks) -> NDArray[np.bool_]:
    """Whether earlier blocks hold any unit; shape (..., epochs)."""
    before: NDArray[np.bool_] = (np.cumsum(blocks.n, axis=-2) - blocks.n).sum(axis=-1) > 0
    return before
