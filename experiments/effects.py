"""Effects of a candidate against another arm: compared inside each epoch, combined with common weights.

Pooled means are never compared: shares shift between epochs, so a common trend would look like an effect.

- `mean_difference`: stratified inverse-variance difference of means (one request per unit).
- `rate_difference`: the same question for units of several requests: reward per request, a ratio.
- `log_ratio`: ratio metrics such as reward per cost, and the ratio of costs, on the log scale.

Each gives an Estimate for experiments.sequence; NOTHING_KNOWN stands for "not enough data".
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from bandit.cells import SIZE, Cells, Floats, Z
from experiments.sequence import NOTHING_KNOWN, Estimate

SMALLEST_FREEDOM = 50
"""Degrees of freedom of an arm's variance below which nothing is said."""
SMALLEST_RATIO_UNITS = 100
VARIANCE_FLOOR = 1e-4
"""Of the squared range: outcomes that were all equal so far do not have variance zero."""
RELATIVE_VARIANCE_FLOOR = 1e-4
SMALLEST_MEAN = 1e-12
"""Stands for a mean of zero: a free model is finitely cheaper than a paid one."""


def single_requests(cells: Cells) -> bool:
    """Whether every unit is one request, so that a mean over units is a mean over requests."""
    return bool(np.array_equal(cells.product(Z.REQUESTS, Z.REQUESTS), cells.n))


def reward_difference(cells: Cells, control: int, candidate: int, width: float = 1.0) -> Estimate:
    """Candidate minus control in reward per request; `width` is the reward's range."""
    if single_requests(cells.arms(control, candidate)):
        return mean_difference(cells, control, candidate, width)
    return rate_difference(cells, control, candidate, width)


def mean_difference(
    cells: Cells, control: int, candidate: int, width: float = 1.0, rare: bool = False
) -> Estimate:
    """Stratified difference of means, candidate minus control (statistics.md section 3).

        w_e = 1 / (s_a^2 / n_ea + s_b^2 / n_eb),  I = sum w_e,  estimate = sum w_e D_e / I

    with the within-epoch variance s_k^2 pooled over epochs. `rare` widens the variance of an arm to what
    one more event would give: a rate near zero seen without an event is not known to be zero.
    """
    pair = _shared_epochs(cells.arms(control, candidate), smallest=1)
    n, total = pair.n, pair.total(Z.TOTAL)
    freedom = (n - 1).sum(axis=0)
    if n.size == 0 or freedom.min() < SMALLEST_FREEDOM:
        return NOTHING_KNOWN
    within = (pair.product(Z.TOTAL, Z.TOTAL) - total**2 / n).sum(axis=0)
    floor = np.full(2, VARIANCE_FLOOR * width**2)
    if rare:
        share = (total.sum(axis=0) + 1) / (n.sum(axis=0) + 2)
        floor = np.maximum(floor, share * np.maximum(1 - share, VARIANCE_FLOOR))
    variance = np.maximum(within / freedom, floor)
    weights = 1 / (variance / n).sum(axis=1)
    information = float(weights.sum())
    means = total / n
    return Estimate(float(weights @ (means[:, 1] - means[:, 0])) / information, information)


def rate_difference(cells: Cells, control: int, candidate: int, width: float = 1.0) -> Estimate:
    """Difference of totals per request, candidate minus control, by the delta method on weighted means."""
    ratios = weighted_ratios(cells, control, candidate, Z.TOTAL, Z.REQUESTS, VARIANCE_FLOOR * width**2)
    if ratios is None:
        return NOTHING_KNOWN
    return Estimate(float(ratios.value[1] - ratios.value[0]), float(1 / ratios.variance.sum()))


def log_ratio(cells: Cells, control: int, candidate: int, numerator: Z, denominator: Z) -> Estimate:
    """ln(candidate's ratio) - ln(control's ratio), the delta method on weighted means (section 5).

    Reward per cost is (TOTAL, COST), cost per unit is (COST, UNIT). Ratios of per-epoch ratios, or means
    of per-unit ratios, would be biased; both are avoided.
    """
    floor = RELATIVE_VARIANCE_FLOOR
    ratios = weighted_ratios(cells, control, candidate, numerator, denominator, floor, relative=True)
    if ratios is None:
        return NOTHING_KNOWN
    value = np.maximum(ratios.value, SMALLEST_MEAN)
    information = float(1 / (ratios.variance / value**2).sum())
    return Estimate(log(value[1] / value[0]), information)


@dataclass(frozen=True)
class WeightedRatios:
    """Ratio of weighted means of two arms, and the variance of each; shape (2,)."""

    value: Floats
    variance: Floats


def weighted_ratios(
    cells: Cells,
    control: int,
    candidate: int,
    numerator: Z,
    denominator: Z,
    floor: float,
    relative: bool = False,
) -> WeightedRatios | None:
    """Ratios of means under epoch weights common to both arms and both components.

        w_e = 1 / (u_a / n_ea + u_b / n_eb),  u_k = within-epoch variance of a unit's influence
        (z_num - ratio * z_den) / mean(z_den), from pooled means first and re-weighted once

    `relative` measures influence against the ratio itself, as log ratios need. None: not enough data.
    """
    pair = _shared_epochs(cells.arms(control, candidate), smallest=2)
    if pair.n.size == 0 or pair.n.sum(axis=0).min() < SMALLEST_RATIO_UNITS:
        return None
    weights = pair.n.sum(axis=1)
    for _ in range(2):
        means = _weighted_means(pair, weights)
        scale = _ratio(means, numerator, denominator) if relative else np.ones(2)
        spread = _influence_variance(pair, means, numerator, denominator)
        freedom = (pair.n - 1).sum(axis=0)
        unit = (spread * pair.n).sum(axis=0) / freedom / np.maximum(scale, SMALLEST_MEAN) ** 2
        weights = 1 / (np.maximum(unit, floor) / pair.n).sum(axis=1)
    means = _weighted_means(pair, weights)
    value = _ratio(means, numerator, denominator)
    parts = _influence_variance(pair, means, numerator, denominator) / (pair.n - 1)
    fractions = (weights / weights.sum())[:, None]
    smallest = floor * (np.maximum(value, SMALLEST_MEAN) ** 2 if relative else 1.0)
    variance = (fractions**2 * np.maximum(parts, smallest / pair.n)).sum(axis=0)
    return WeightedRatios(value, variance)


def arm_mean(cells: Cells, arm: int, width: float = 1.0) -> Estimate:
    """Mean reward per request of one arm over its own epochs, for an absolute bound."""
    sums = cells.arms(arm).pooled()[0]
    n, requests, total = sums[Z.UNIT, Z.UNIT], sums[Z.UNIT, Z.REQUESTS], sums[Z.UNIT, Z.TOTAL]
    if n <= SMALLEST_FREEDOM:
        return NOTHING_KNOWN
    mean = total / requests
    residual = (
        sums[Z.TOTAL, Z.TOTAL] - 2 * mean * sums[Z.TOTAL, Z.REQUESTS] + mean**2 * sums[Z.REQUESTS, Z.REQUESTS]
    )
    variance = max(residual / (n - 1), VARIANCE_FLOOR * width**2) / (requests / n) ** 2
    return Estimate(float(mean), float(n / variance))


def _shared_epochs(pair: Cells, smallest: int) -> Cells:
    """The epochs in which both arms have at least this many units."""
    kept: NDArray[np.bool_] = np.all(pair.n >= smallest, axis=1)
    return pair[kept]


def _weighted_means(pair: Cells, weights: Floats) -> Floats:
    """Means of z under the epoch weights; shape (2, 5)."""
    means = pair.sums[:, :, Z.UNIT, :] / pair.n[..., None]
    combined: Floats = np.tensordot(weights / weights.sum(), means, axes=1).reshape(2, SIZE)
    return combined


def _ratio(means: Floats, numerator: Z, denominator: Z) -> Floats:
    ratio: Floats = means[:, numerator] / np.maximum(means[:, denominator], SMALLEST_MEAN)
    return ratio


def _influence_variance(pair: Cells, means: Floats, numerator: Z, denominator: Z) -> Floats:
    """Within-epoch variance (divided by n) of each arm's unit influence on its ratio; shape (epochs, 2)."""
    bottom = np.maximum(means[:, denominator], SMALLEST_MEAN)
    slope = _ratio(means, numerator, denominator)
    n = pair.n
    mean_num, mean_den = pair.total(numerator) / n, pair.total(denominator) / n
    var_num = pair.product(numerator, numerator) / n - mean_num**2
    var_den = pair.product(denominator, denominator) / n - mean_den**2
    covariance = pair.product(numerator, denominator) / n - mean_num * mean_den
    influence: Floats = var_num - 2 * slope * covariance + slope**2 * var_den
    variance: Floats = np.maximum(influence, 0.0) / bottom**2
    return variance
