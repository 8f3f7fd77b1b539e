"""Quantile sequences: intervals of one arm's quantile that stay valid however often one looks.

At the true q-quantile each outcome is below with probability q, so the number below, S of n, is a binomial walk and

    M = B(a + S, b + n - S) / (B(a, b) q^S (1 - q)^(n - S))

its beta-binomial mixture, a martingale of mean one (Robbins 1970; Howard and Ramdas, arXiv 1906.09712, conjugate
mixtures). M reaches 1/alpha at any look with probability at most alpha (Ville 1939), so the quantile lies where
the empirical distribution has a level that M does not refute. Nothing is asymptotic.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from scipy.special import betaln

from bandit.cells import Floats

TUNED_FOR = 2_000
"""Outcomes at which the interval is tightest."""
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of the empirical distribution between which the quantile lies; 0 or 1 where it has no bound."""

    low: float
    high: float


@lru_cache(maxsize=4096)
def quantile_levels(n: float, q: float, alpha: float) -> Levels:
    """The levels after `n` independent outcomes, by bisection of ln M on either side of q.

    >>> levels = quantile_levels(1000, 0.5, 0.05)
    >>> round(levels.low, 3), round(levels.high, 3)
    (0.451, 0.549)
    """
    if not (n >= 0 and 0 < q < 1 and 0 < alpha < 1):
        raise ValueError(
            f"n == {n}, q == {q}, alpha == {alpha}: n must be at least 0, the others between 0 and 1"
        )
    inside, ends = np.full(2, q), np.array([0.0, 1.0])
    free = _log_mixture(ends * n, n, q, alpha) < -log(alpha)
    outside = ends.copy()
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        refuted = _log_mixture(middle * n, n, q, alpha) >= -log(alpha)
        inside, outside = np.where(refuted, inside, middle), np.where(refuted, middle, outside)
    low, high = np.where(free, ends, outside).tolist()
    return Levels(low, high)


def _log_mixture(below: Floats, n: float, q: float, alpha: float) -> Floats:
    """ln M; the prior's weight is that of a normal mixture tuned for TUNED_FOR outcomes."""
    ell = -2 * log(alpha)
    weight = TUNED_FOR / (ell + log(max(ell, 1.0)) + 1)
    a, b = q * weight, (1 - q) * weight
    mixed: Floats = betaln(a + below, b + n - below) - betaln(a, b)
    return np.asarray(mixed - below * log(q) - (n - below) * log(1 - q), dtype=np.float64)
