"""Fixed-horizon read-out: the classical tests, for people who look once, at the planned number of units.

They compare pooled means, so they hold only under shares that never moved (mode ab) and only at the planned
size; the deciding read-out is the anytime-valid one. Everything is computed from sums over units.
"""

from dataclasses import dataclass
from math import ceil, inf, isfinite, log, sqrt
from typing import Literal

from bandit.cells import Floats, Z
from experiments.inference.laws import normal_above, normal_exceeded_by, student_above, student_exceeded_by
from experiments.inference.not_enough import NotEnoughData

SMALL_COUNT = 10
"""Successes or failures per arm below which a proportion's interval is Newcombe's."""
MIN_RATIO_UNITS = 100
LARGEST_VARIATION = 0.1
"""Coefficient of variation of a mean cost above which the delta method gives way to Fieller's interval."""
_NOTHING = 1e-300
"""Variance of a proportion whose root rounds to zero."""
_FAR = 700.0
"""Stands for an infinite log limit while solving for p."""


@dataclass(frozen=True)
class Sums:
    """Sums over the units of one arm for a value y counted per x (requests, or US dollars)."""

    units: float
    y: float
    yy: float
    x: float
    xx: float
    xy: float

    @property
    def single(self) -> bool:
        """Whether every unit holds exactly one x, so that y per x is y per unit."""
        return self.x == self.units and self.xx == self.units


@dataclass(frozen=True)
class FixedHorizon:
    """Candidate against control with a two-sided confidence interval and p-value."""

    method: Literal["welch", "pooled_z", "delta", "fieller"]
    scale: Literal["difference", "log_ratio"]
    """`difference` is candidate - control in reward units per request; `log_ratio` is ln(candidate / control)."""
    control: float
    candidate: float
    effect: float
    low: float
    high: float
    p_value: float

    @property
    def unbounded(self) -> bool:
        """Whether the data exclude no effect: mean costs are too uncertain (Fieller's g >= 1)."""
        return not isfinite(self.low) and not isfinite(self.high)


Result = FixedHorizon | NotEnoughData


def sums(moments: Floats, y: Z = Z.TOTAL, x: Z = Z.REQUESTS) -> Sums:
    """Sums of one arm out of its pooled 5 x 5 moment matrix."""
    of = [float(moments[i, j]) for i, j in ((0, 0), (0, y), (y, y), (0, x), (x, x), (x, y))]
    return Sums(*of)


def reward_difference(control: Sums, candidate: Sums, *, binary: bool, alpha: float = 0.05) -> Result:
    """Difference of rewards per request: proportions if rewards are binary and each unit is one request."""
    if binary and control.single and candidate.single:
        return proportion_difference(control, candidate, alpha)
    return mean_difference(control, candidate, alpha)


def mean_difference(control: Sums, candidate: Sums, alpha: float = 0.05) -> Result:
    """Welch's t-test of y per x (Welch 1947, degrees of freedom by Satterthwaite 1946).

    The variance of sum y / sum x is that of the residuals y - r x (delta method), which for x = 1 is the
    usual one.
    """
    short = _short(control, candidate, 2)
    if short is not None:
        return short
    a, b = variance_of_mean(control), variance_of_mean(candidate)
    if a + b <= 0:
        return NotEnoughData("no variation: all outcomes of both arms are the same")
    error = sqrt(a + b)
    freedom = welch_freedom(a, b, control.units, candidate.units)
    of_control, of_candidate = control.y / control.x, candidate.y / candidate.x
    effect = of_candidate - of_control
    reach = error * student_exceeded_by(alpha / 2, freedom)
    p_value = 2 * student_above(abs(effect) / error, freedom)
    return FixedHorizon(
        "welch", "difference", of_control, of_candidate, effect, effect - reach, effect + reach, p_value
    )


def proportion_difference(control: Sums, candidate: Sums, alpha: float = 0.05) -> Result:
    """Pooled z-test of two proportions; interval by Newcombe (1998, method 10) when a count is small.

    With large counts the interval is the plain one with separate variances. statsmodels, which knows them, is imported
    with the first such report: it takes a second.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

    short = _short(control, candidate, 2)
    if short is not None:
        return short
    counts = [candidate.y, control.y]
    units = [candidate.units, control.units]
    smallest = min(min(y, n - y) for y, n in zip(counts, units, strict=True))
    if smallest < 0:
        return NotEnoughData("rewards are not 0 or 1: fewer units than successes")
    pooled = sum(counts) / sum(units)
    p_value = 1.0 if pooled * (1 - pooled) <= _NOTHING else float(proportions_ztest(counts, units)[1])
    low, high = confint_proportions_2indep(
        counts[0],
        units[0],
        counts[1],
        units[1],
        method="newcomb" if smallest < SMALL_COUNT else "wald",
        compare="diff",
        alpha=alpha,
    )
    of_candidate, of_control = counts[0] / units[0], counts[1] / units[1]
    effect = of_candidate - of_control
    return FixedHorizon(
        "pooled_z", "difference", of_control, of_candidate, effect, float(low), float(high), p_value
    )


def ratio_change(control: Sums, candidate: Sums, alpha: float = 0.05) -> Result:
    """Change of a ratio such as reward per dollar: ln(candidate's y/x) - ln(control's y/x).

    Delta method while mean costs are well known. Else each arm gets Fieller's (1954) limits, joined into
    limits of the difference by the method of variance estimates recovery (Zou and Donner 2008):
    low = d - sqrt((b - low_b)^2 + (high_a - a)^2), and p is the level at which that interval reaches zero.
    """
    short = _short(control, candidate, MIN_RATIO_UNITS) or _no_logarithm(control, candidate)
    if short is not None:
        return short
    a, b = _Ratio.of(control), _Ratio.of(candidate)
    variance = a.log_variance + b.log_variance
    if variance <= 0:
        return NotEnoughData("no variation: all outcomes of both arms are the same")
    quantile = normal_exceeded_by(alpha / 2)
    effect = log(b.value) - log(a.value)
    if max(a.variation, b.variation) <= LARGEST_VARIATION:
        reach = quantile * sqrt(variance)
        p_value = 2 * normal_above(abs(effect) / sqrt(variance))
        return FixedHorizon(
            "delta", "log_ratio", a.value, b.value, effect, effect - reach, effect + reach, p_value
        )
    low, high = _recovered(a, b, quantile)
    return FixedHorizon("fieller", "log_ratio", a.value, b.value, effect, low, high, _recovered_p(a, b))


def planned_units(
    *, alpha: float, mde: float, sd: float, power: float = 0.8, sides: Literal[1, 2] = 2
) -> int:
    """Units per arm of a fixed test with equal shares: 2 sd^2 (z_{1 - alpha/sides} + z_power)^2 / mde^2.

    For non-inferiority the margin is the mde and the test has one side.

    >>> planned_units(alpha=0.05, mde=0.05, sd=0.5)
    1570
    """
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha == {alpha:g}, power == {power:g}, must be probabilities between 0 and 1")
    if not (0 < mde < inf and 0 <= sd < inf):
        raise ValueError(f"mde == {mde:g}, sd == {sd:g}, must be finite, mde > 0 and sd >= 0")
    quantiles = normal_exceeded_by(alpha / sides) + normal_exceeded_by(1 - power)
    return max(2, ceil(2 * (sd * quantiles / mde) ** 2))


@dataclass(frozen=True)
class _Ratio:
    """Mean y over mean x of one arm, with the variances of these means."""

    value: float
    mean_x: float
    yy: float
    xx: float
    xy: float

    @classmethod
    def of(cls, arm: Sums) -> "_Ratio":
        n = arm.units
        scale = n * (n - 1)
        yy = max(0.0, arm.yy - arm.y**2 / n) / scale
        xx = max(0.0, arm.xx - arm.x**2 / n) / scale
        return cls(arm.y / arm.x, arm.x / n, yy, xx, (arm.xy - arm.x * arm.y / n) / scale)

    @property
    def variation(self) -> float:
        """Coefficient of variation of mean x."""
        return sqrt(self.xx) / self.mean_x

    @property
    def log_variance(self) -> float:
        """Variance of ln(y/x) by the delta method."""
        r = self.value
        return max(0.0, self.yy - 2 * r * self.xy + r**2 * self.xx) / (r * self.mean_x) ** 2

    def log_limits(self, quantile: float) -> tuple[float, float]:
        """Fieller's limits on the log scale; infinite where they reach zero or g >= 1."""
        square = (quantile / self.mean_x) ** 2
        g = square * self.xx
        if g >= 1:
            return -inf, inf
        r = self.value
        inner = self.yy - 2 * r * self.xy + r**2 * self.xx - square * (self.yy * self.xx - self.xy**2)
        reach = quantile / self.mean_x * sqrt(max(0.0, inner))
        low, high = ((r - square * self.xy + sign * reach) / (1 - g) for sign in (-1, 1))
        return (log(low) if low > 0 else -inf), log(high)


def _recovered(control: _Ratio, candidate: _Ratio, quantile: float) -> tuple[float, float]:
    a, b = log(control.value), log(candidate.value)
    low_a, high_a = control.log_limits(quantile)
    low_b, high_b = candidate.log_limits(quantile)
    if inf in (high_a, high_b):
        return -inf, inf
    return b - a - sqrt((b - low_b) ** 2 + (high_a - a) ** 2), b - a + sqrt(
        (high_b - b) ** 2 + (a - low_a) ** 2
    )


def _recovered_p(control: _Ratio, candidate: _Ratio) -> float:
    """Level at which the recovered interval reaches zero; the level of g = 1 if it never does before."""
    rises = candidate.value > control.value
    last = (1 - 1e-9) / max(control.variation, candidate.variation)

    def inner_limit(quantile: float) -> float:
        low, high = _recovered(control, candidate, quantile)
        return max(low, -_FAR) if rises else max(-high, -_FAR)

    if candidate.value == control.value:
        return 1.0
    if inner_limit(last) > 0:
        return 2 * normal_above(last)

    from scipy.optimize import brentq  # a third of a second, for a p that is rarely asked for

    return 2 * normal_above(brentq(inner_limit, 0.0, last))


def welch_freedom(a: float, b: float, units_a: float, units_b: float) -> float:
    """Satterthwaite's degrees of freedom for variances of means a and b, of which one is above 0."""
    part = a / (a + b)
    return 1 / (part**2 / (units_a - 1) + (1 - part) ** 2 / (units_b - 1))


def variance_of_mean(arm: Sums) -> float:
    """Variance of y per x, by the residuals y - r x; 0 where what varies is rounding."""
    ratio = arm.y / arm.x
    squares = arm.yy - ratio * (2 * arm.xy - ratio * arm.xx)
    rounding = 1e-12 * arm.yy
    return squares * arm.units / (arm.units - 1) / arm.x**2 if squares > rounding else 0.0


def _short(control: Sums, candidate: Sums, least: int) -> NotEnoughData | None:
    for name, arm in (("control", control), ("candidate", candidate)):
        if not all(isfinite(value) for value in (arm.units, arm.y, arm.yy, arm.x, arm.xx, arm.xy)):
            return NotEnoughData(f"sums of the {name} are not finite")
        if arm.units < least:
            return NotEnoughData(f"the {name} has {arm.units:g} units, needs {least}")
        if arm.x <= 0:
            return NotEnoughData(f"the {name} has nothing to count rewards per (requests or cost are 0)")
    return None


def _no_logarithm(control: Sums, candidate: Sums) -> NotEnoughData | None:
    for name, arm in (("control", control), ("candidate", candidate)):
        if arm.y <= 0 or (arm.y / arm.units) ** 2 == 0:  # the square of a mean of 1e-200 is zero
            return NotEnoughData(f"the {name} has no reward yet, so its ratio has no logarithm")
    return None
