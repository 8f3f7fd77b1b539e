"""Laws: tails and quantiles of the distributions that the tests refer to.

They are scipy.special's, under names that can be read. scipy.stats has the same ones and takes a second to import,
in a planner that starts with every server.
"""

from math import exp, pi, sqrt

import numpy as np
from scipy.special import betaln, chdtrc, ndtr, ndtri, stdtr, stdtrit, xlog1py, xlogy

from bandit.cells import Floats


def normal_below(z: float) -> float:
    """P(Z <= z) of a standard normal."""
    return float(ndtr(z))


def normal_above(z: float) -> float:
    """P(Z > z), without the rounding of 1 - P(Z <= z)."""
    return float(ndtr(-z))


def normal_density(z: float) -> float:
    """Density of a standard normal at z."""
    return exp(-z * z / 2) / sqrt(2 * pi)


def normal_exceeded_by(part: float) -> float:
    """The z that a standard normal exceeds with this probability.

    >>> round(normal_exceeded_by(0.025), 6)
    1.959964
    """
    return -float(ndtri(part))


def student_above(t: float, freedom: float) -> float:
    """P(T > t) of Student's law."""
    return float(stdtr(freedom, -t))


def student_exceeded_by(part: float, freedom: float) -> float:
    """The t that Student's law exceeds with this probability.

    >>> round(student_exceeded_by(0.025, 10), 6)
    2.228139
    """
    return -float(stdtrit(freedom, part))


def chi_square_above(x: float, freedom: float) -> float:
    """P(X > x) of the chi-square law.

    >>> round(chi_square_above(3.841459, 1), 6)
    0.05
    """
    return float(chdtrc(freedom, x))


def beta_density(x: Floats, alpha: float, beta: float) -> Floats:
    """Density of Beta(alpha, beta) at points within [0, 1]."""
    density: Floats = np.exp(xlogy(alpha - 1, x) + xlog1py(beta - 1, -x) - betaln(alpha, beta))
    return density
