"""Effects of candidates against another arm: compared inside each epoch, combined with common weights.

Pooled means are never compared: shares shift between epochs, so a common trend would look like an effect.

- `mean_differences`: stratified inverse-variance difference of means (one request per unit).
- `rate_differences`: the same question for units of several requests: reward per request, a ratio.
- `log_ratios`: ratio metrics such as reward per cost, and the ratio of costs, on the log scale.

Each takes the arm that is compared `against` and several arms at once, and gives one Estimate per arm for
experiments.inference.sequence; NOTHING_KNOWN stands for "not enough data".
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass

import numpy as np

from bandit.cells import Cells, Floats, Z
from experiments.inference.pairs import Pairs
from experiments.inference.sequence import NOTHING_KNOWN, Estimate

SMALLEST_FREEDOM = 50
"""Degrees of freedom of an arm's variance below which nothing is said."""
SMALLEST_RATIO_UNITS = 100
FEWEST_REWARDED = 20
"""Units with a reward, in effect, below which the logarithm of a mean reward says nothing."""
VARIANCE_FLOOR = 1e-4
"""Of the squared range: outcomes that were all equal so far do not have variance zero."""
SMALLEST_MEAN = 1e-12
"""Stands for a mean of zero: a free model is finitely cheaper than a paid one."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """A null hypothesis "candidate minus control = difference" on values per request within [low, low + width].

    Tests of rare outcomes take the variance that it implies where that is larger than the one seen: an arm
    that was spared by chance so far has an estimate that is too good and, plugged in, a variance that is too
    small (restricted estimates: Farrington and Manning 1990).
    """

    difference: float
    low: float = 0.0
    width: float = 1.0


def single_requests(cells: Cells) -> bool:
    """Whether every unit is one request, so that a mean over units is a mean over requests."""
    squares, units = cells.by_arm(Z.REQUESTS, Z.REQUESTS), cells.by_arm(Z.UNIT, Z.UNIT)
    return bool(np.array_equal(squares, units))


def differences(
    cells: Cells, against: int, arms: Series[int], width: float = 1.0, null: Boundary | None = None
) -> tuple[Estimate, ...]:
    """Each arm minus `against` in the metric per request; `width` is the metric's range."""
    how = mean_differences if single_requests(cells) else rate_differences
    return how(cells, against, arms, width, null)


def mean_differences(
    cells: Cells, against: int, arms: Series[int], width: float = 1.0, null: Boundary | None = None
) -> tuple[Estimate, ...]:
    """Stratified differences of means (statistics.md section 3).

        w_e = 1 / (s_a^2 / n_ea + s_b^2 / n_eb),  I = sum w_e,  estimate = sum w_e D_e / I

    with the within-epoch variance s_k^2 pooled over epochs.
    """
    pairs = Pairs.of(cells, against, arms, smallest=1)
    total, freedom = pairs.moment(Z.UNIT, Z.TOTAL), pairs.freedom
    mean = total / pairs.n
    squares = pairs.moment(Z.TOTAL, Z.TOTAL) - total * mean
    within = pairs.sums(squares, pairs.kept) / np.maximum(freedom, 1.0)
    weights = pairs.precision(np.maximum(within, _floor(pairs, width, null)))
    information = weights.sum(axis=-1)
    change = np.vecdot(weights, mean[pairs.arms] - mean[against])
    value = change / np.maximum(information, SMALLEST_MEAN)
    return _estimates(value, information, freedom.min(axis=0) >= SMALLEST_FREEDOM)


def rate_differences(
    cells: Cells, against: int, arms: Series[int], width: float = 1.0, null: Boundary | None = None
) -> tuple[Estimate, ...]:
    """Differences of totals per request, by the delta method on weighted means."""
    pairs = Pairs.of(cells, against, arms, smallest=2)
    ratios = _ratios(pairs, Z.TOTAL, Z.REQUESTS, _floor(pairs, width, null))
    value, variance = ratios.value[1] - ratios.value[0], ratios.variance.sum(axis=0)
    return _estimates(value, 1 / variance, pairs.units.min(axis=0) >= SMALLEST_RATIO_UNITS)


def log_ratios(
    cells: Cells, against: int, arms: Series[int], numerator: Z, denominator: Z
) -> tuple[Estimate, ...]:
    """ln(arm's ratio) - ln(ratio of `against`), the delta method on weighted means (section 5).

    Reward per cost is (TOTAL, COST), cost per unit is (COST, UNIT). Ratios of per-epoch ratios, or means
    of per-unit ratios, would be biased; both are avoided. A price may be zero; a reward of zero so far is no
    known reward, so it takes (sum R)^2 / sum R^2 >= 20 units, in effect, in each arm.
    """
    pairs = Pairs.of(cells, against, arms, smallest=2)
    floor = np.full((2, len(arms)), VARIANCE_FLOOR)
    ratios = _ratios(pairs, numerator, denominator, floor, relative=True)
    known = pairs.units.min(axis=0) >= SMALLEST_RATIO_UNITS
    if numerator is Z.TOTAL:
        total, squares = pairs.counted(Z.UNIT, Z.TOTAL), pairs.counted(Z.TOTAL, Z.TOTAL)
        known &= ((total > 0) & (squares > 0) & (total**2 >= FEWEST_REWARDED * squares)).all(axis=0)
    value = np.maximum(ratios.value, SMALLEST_MEAN)
    information = 1 / (ratios.variance / value**2).sum(axis=0)
    return _estimates(np.log(value[1]) - np.log(value[0]), information, known)


@dataclass(frozen=True)
class _Ratios:
    """Ratios of weighted means and their variances, each of shape (2, candidates)."""

    value: Floats
    variance: Floats


def _ratios(pairs: Pairs, numerator: Z, denominator: Z, floor: Floats, relative: bool = False) -> _Ratios:
    """Ratios of means under epoch weights common to both arms and both components.

        w_e = 1 / (u_a / n_ea + u_b / n_eb),  u_k = within-epoch variance of a unit's influence
        (z_num - ratio * z_den) / mean(z_den), from pooled means first and re-weighted once

    `floor` is the least u_k; `relative` measures it against the ratio itself, as log ratios need.
    """
    parts, against, arms = _Parts.of(pairs, numerator, denominator), pairs.against, pairs.arms
    noise = parts.noise(pairs.kept * pairs.n[arms], pairs.kept * pairs.n[against]).over(pairs.freedom)
    weights = pairs.kept * (pairs.n[against] + pairs.n[arms])
    for _ in range(2):
        means = parts.means(weights)
        scale = np.maximum(means.ratio, SMALLEST_MEAN) ** 2 if relative else 1.0
        weights = pairs.precision(np.maximum(noise.influence(means) / scale, floor))
    means = parts.means(weights)
    scale = np.maximum(means.ratio, SMALLEST_MEAN) ** 2 if relative else 1.0
    squared = (weights / np.maximum(weights.sum(axis=-1, keepdims=True), SMALLEST_MEAN)) ** 2
    less_one = np.maximum(pairs.n - 1, 1.0)
    seen = parts.noise(squared / less_one[arms], squared / less_one[against]).influence(means)
    smallest = floor * scale * pairs.sums(1 / pairs.n, squared)
    known = squared.any(axis=-1)
    return _Ratios(means.ratio, np.where(known, np.maximum(seen, smallest), 1.0))


@dataclass(frozen=True)
class _Means:
    """Ratios of weighted means, and the means that they divide by; shape (2, candidates)."""

    ratio: Floats
    denominator: Floats


@dataclass(frozen=True)
class _Noise:
    """Weighted sums over epochs of the variances and the covariance of a unit's two components."""

    numerator: Floats
    denominator: Floats
    covariance: Floats

    def over(self, freedom: Floats) -> "_Noise":
        """Mean variances, from sums of squares with these degrees of freedom."""
        divisor = np.maximum(freedom, 1.0)
        return _Noise(self.numerator / divisor, self.denominator / divisor, self.covariance / divisor)

    def influence(self, means: _Means) -> Floats:
        """The same sum of the variance of a unit's influence on the ratio."""
        ratio = means.ratio
        variance = self.numerator - ratio * (2 * self.covariance - ratio * self.denominator)
        influence: Floats = np.maximum(variance, 0.0) / means.denominator**2
        return influence


@dataclass(frozen=True)
class _Parts:
    """Per-epoch means, variances (divided by n) and covariance of a ratio's two components, of every arm."""

    pairs: Pairs
    numerator: Floats
    numerator_variance: Floats
    below: tuple[Floats, Floats, Floats] | None
    """The denominator's mean and variance and the covariance; None where it is one for every unit: a plain mean."""

    @classmethod
    def of(cls, pairs: Pairs, numerator: Z, denominator: Z) -> "_Parts":
        def mean(one: Z, other: Z) -> Floats:
            moments: Floats = pairs.moment(one, other) / pairs.n
            return moments

        top = mean(Z.UNIT, numerator)
        variance = mean(numerator, numerator) - top**2
        if denominator is Z.UNIT:
            return cls(pairs, top, variance, None)
        bottom = mean(Z.UNIT, denominator)
        of_bottom, together = (
            mean(denominator, denominator) - bottom**2,
            mean(numerator, denominator) - top * bottom,
        )
        return cls(pairs, top, variance, (bottom, of_bottom, together))

    def means(self, weights: Floats) -> _Means:
        """Ratios of means under weights common to both arms of a pair."""
        total = np.maximum(weights.sum(axis=-1), SMALLEST_MEAN)
        top = self.pairs.sums(self.numerator, weights) / total
        if self.below is None:
            return _Means(top, np.ones_like(top))
        bottom = np.maximum(self.pairs.sums(self.below[0], weights) / total, SMALLEST_MEAN)
        return _Means(top / bottom, bottom)

    def noise(self, weights: Floats, of_against: Floats) -> _Noise:
        """Sums of the variances under weights of each arm's own."""
        top = self.pairs.sums(self.numerator_variance, weights, of_against)
        if self.below is None:
            return _Noise(top, np.zeros_like(top), np.zeros_like(top))
        bottom, both = (self.pairs.sums(part, weights, of_against) for part in self.below[1:])
        return _Noise(top, bottom, both)


def arm_means(cells: Cells, arms: Series[int], width: float = 1.0) -> tuple[Estimate, ...]:
    """Mean reward per request of each arm over its own epochs, for an absolute bound."""
    pooled = cells.pooled()
    return tuple(_mean(pooled[arm].tolist(), width) for arm in arms)


def _mean(sums: list[list[float]], width: float) -> Estimate:
    n, requests, total = sums[Z.UNIT][Z.UNIT], sums[Z.UNIT][Z.REQUESTS], sums[Z.UNIT][Z.TOTAL]
    if n <= SMALLEST_FREEDOM:
        return NOTHING_KNOWN
    mean = total / requests
    residual = (
        sums[Z.TOTAL][Z.TOTAL] - 2 * mean * sums[Z.TOTAL][Z.REQUESTS] + mean**2 * sums[Z.REQUESTS][Z.REQUESTS]
    )
    variance = max(residual / (n - 1), VARIANCE_FLOOR * width**2) / (requests / n) ** 2
    return Estimate(mean, n / variance)


def _floor(pairs: Pairs, width: float, null: Boundary | None) -> Floats:
    """The least variance of a unit, shape (2, candidates)."""
    floor = np.full((2, len(pairs.kept)), VARIANCE_FLOOR * width**2)
    return floor if null is None else np.maximum(floor, _null_variance(pairs, null))


def _null_variance(pairs: Pairs, null: Boundary) -> Floats:
    """Variance of a unit's mean if the null held and values were all at the ends of their range.

    The rate of the arm compared against is pooled from both arms under the null, with one more event on
    either side. A unit of several requests counts as one event for all of them, the most it can vary.
    """
    requests = pairs.counted(Z.UNIT, Z.REQUESTS)
    events = (pairs.counted(Z.UNIT, Z.TOTAL) - null.low * requests) / null.width
    shift = null.difference / null.width
    pooled = (events.sum(axis=0) + 1 - shift * requests[1]) / (requests.sum(axis=0) + 2)
    rate = np.clip(pooled, max(0.0, -shift), min(1.0, 1.0 - shift))
    rates = np.stack([rate, rate + shift])
    together = pairs.counted(Z.REQUESTS, Z.REQUESTS) * pairs.units / np.maximum(requests, 1.0) ** 2
    variance: Floats = rates * (1 - rates) * null.width**2 * together
    return variance


def _estimates(value: Floats, information: Floats, known: Floats) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(one, much) if enough else NOTHING_KNOWN
        for one, much, enough in zip(value.tolist(), information.tolist(), known.tolist(), strict=True)
    )
