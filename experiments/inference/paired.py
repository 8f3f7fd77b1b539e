"""Paired differences: two models on the same requests, each request its own stratum.

What moves both answers of a pair - an easy question, a busy hour - leaves their difference alone, so neither
allocation nor drift has to be taken out, and the information is that of the differences:

    I = n / var(d),  var(d) = var(one) + var(other) - 2 cov(one, other)

The estimates go through the same confidence sequences as all others (experiments.inference.sequence).
"""

from math import log

from bandit.cells import Floats, Z
from experiments.inference.sequence import NOTHING_KNOWN, Estimate

FEWEST_PAIRS = 50
"""Pairs below which a normal approximation of their mean is not believed."""
LOG_VARIANCE_FLOOR = 1e-4
"""Smallest variance of a log ratio by pair: identical pairs so far promise nothing about the next."""


def mean_difference(sums: Floats, least_variance: float) -> Estimate:
    """The mean of a difference that each pair reports, from the sum of z z' over pairs.

    `least_variance` guards against outcomes that were all the same so far: for differences of rates,
    bound * (1 - bound) is the smallest variance that a difference of `bound` can have.
    """
    n = float(sums[Z.UNIT, Z.UNIT])
    if n < FEWEST_PAIRS:
        return NOTHING_KNOWN
    mean = float(sums[Z.UNIT, Z.TOTAL]) / n
    variance = float(sums[Z.TOTAL, Z.TOTAL]) / n - mean**2
    return Estimate(mean, n / max(variance, least_variance))


def log_ratio_of_means(sums: Floats) -> Estimate:
    """ln of the ratio of two means by pair: C, the copy's, over R, the served answer's.

    Delta method on the pairs: var = E[(C / mean C - R / mean R)^2] / n, which is small where costs of a pair
    rise and fall together.
    """
    n = float(sums[Z.UNIT, Z.UNIT])
    if n < FEWEST_PAIRS:
        return NOTHING_KNOWN
    served, copied = float(sums[Z.UNIT, Z.TOTAL]) / n, float(sums[Z.UNIT, Z.COST]) / n
    if served <= 0 or copied <= 0:
        return NOTHING_KNOWN
    squares = (
        float(sums[Z.COST, Z.COST]) / copied**2
        + float(sums[Z.TOTAL, Z.TOTAL]) / served**2
        - 2 * float(sums[Z.TOTAL, Z.COST]) / (copied * served)
    )
    return Estimate(log(copied / served), n / max(squares / n, LOG_VARIANCE_FLOOR))
