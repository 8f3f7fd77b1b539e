"""Confidence sequences: intervals and p-values that stay valid however often one looks.

Normal-mixture asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
(arXiv 2103.06476), for an estimate whose information (inverse variance) is I:

    two-sided margin  m2(I) = sqrt((I + tau) ln((I + tau) / (tau alpha^2))) / I
    one-sided margin  m1(I) = sqrt(2 (I + tau) ln(1 + sqrt((I + tau) / tau) / (2 alpha))) / I

`tau` tunes at which information the interval is tightest: I* = 8 / mde^2, about the end of a fixed test.
"""

from dataclasses import dataclass, field
from math import exp, expm1, inf, log, log1p, sqrt

from scipy.special import erfcx, log_ndtr

from experiments.evidence.record import record

_LARGEST_EXPONENT = 700.0
LEVELS = (1e-9, 0.4)
"""Levels that a sequence may have: beyond them `tau` is not positive, or rounding takes over."""
SIZES = (1e-13, 1e10)
"""Differences that a sequence may be tuned for; smaller ones no traffic can show."""


@record(frozen=True, slots=True)
class Estimate:
    """An effect and its information; `information` 0 says that nothing is known yet."""

    value: float
    information: float

    @property
    def standard_error(self) -> float:
        """Standard deviation of the estimate; infinite without information."""
        return inf if self.information <= 0 else 1 / sqrt(self.information)

    def reversed(self) -> "Estimate":
        """The same comparison seen from the other arm."""
        return Estimate(-self.value, self.information)

    def minus(self, shift: float) -> "Estimate":
        """The estimate's distance from `shift`, as the test of a shifted null hypothesis needs it."""
        return Estimate(self.value - shift, self.information)


NOTHING_KNOWN = Estimate(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A confidence sequence tuned for differences of `mde`, at level `alpha`.

    >>> sequence = Sequence(alpha=0.05, mde=0.05)
    >>> round(sequence.tau, 6), round(sequence.tau_one_sided, 6)
    (364.389971, 448.659991)
    """

    alpha: float
    mde: float
    tau: float = field(init=False)
    """Mixture precision of the two-sided sequence."""
    tau_one_sided: float = field(init=False)
    """Mixture precision of the one-sided sequence."""

    def __post_init__(self) -> None:
        if not LEVELS[0] <= self.alpha <= LEVELS[1]:
            raise ValueError(f"alpha == {self.alpha}, must be in [{LEVELS[0]:g}, {LEVELS[1]:g}]")
        if not SIZES[0] <= self.mde <= SIZES[1]:
            raise ValueError(f"mde == {self.mde}, must be in [{SIZES[0]:g}, {SIZES[1]:g}]")
        object.__setattr__(self, "tau", self._tau(self.alpha))
        object.__setattr__(self, "tau_one_sided", self._tau(2 * self.alpha))

    def _tau(self, level: float) -> float:
        ell = -2 * log(level)
        return 8 / self.mde**2 / (ell + log(ell) + 1)

    def margin(self, information: float) -> float:
        """Half width of the two-sided interval.

        >>> round(Sequence(alpha=0.05, mde=0.05).margin(1000), 7)
        0.09988
        """
        if information <= 0:
            return inf
        tau = self.tau
        widened = information + tau
        return sqrt(widened * log(widened / (tau * self.alpha**2))) / information

    def margin_one_sided(self, information: float) -> float:
        """Distance of the one-sided bound from the estimate.

        >>> round(Sequence(alpha=0.05, mde=0.05).margin_one_sided(1000), 7)
        0.0923377
        """
        if information <= 0:
            return inf
        tau = self.tau_one_sided
        widened = information + tau
        return sqrt(2 * widened * log1p(sqrt(widened / tau) / (2 * self.alpha))) / information

    def interval(self, estimate: Estimate) -> tuple[float, float]:
        """Two-sided confidence interval, valid at all looks together."""
        margin = self.margin(estimate.information)
        return estimate.value - margin, estimate.value + margin

    def bounds(self, estimate: Estimate) -> tuple[float, float]:
        """The one-sided lower and upper bound, each valid by itself at all looks together."""
        margin = self.margin_one_sided(estimate.information)
        return estimate.value - margin, estimate.value + margin

    def lower(self, estimate: Estimate) -> float:
        """One-sided lower confidence bound, valid at all looks together."""
        return estimate.value - self.margin_one_sided(estimate.information)

    def upper(self, estimate: Estimate) -> float:
        """One-sided upper confidence bound, valid at all looks together."""
        return estimate.value + self.margin_one_sided(estimate.information)

    def p_value(self, estimate: Estimate) -> float:
        """Always-valid p of "no difference", at one look; the smallest over looks is valid too."""
        if estimate.information <= 0:
            return 1.0
        tau = self.tau
        exponent = _exponent(estimate, tau)
        return min(1.0, sqrt((estimate.information + tau) / tau) * exp(-exponent))

    def p_value_one_sided(self, estimate: Estimate) -> float:
        """Always-valid p of "not greater than zero", at one look."""
        if estimate.information <= 0 or estimate.value <= 0:
            return 1.0
        tau = self.tau_one_sided
        exponent = _exponent(estimate, tau)
        if exponent >= _LARGEST_EXPONENT:
            return sqrt((estimate.information + tau) / tau) / 2 * exp(-_LARGEST_EXPONENT)
        growth = expm1(exponent)
        return 1.0 if growth <= 0 else min(1.0, sqrt((estimate.information + tau) / tau) / (2 * growth))

    def log_e_one_sided(self, estimate: Estimate) -> float:
        """ln of the e-value against "not greater than zero", at this look; 0 while nothing is known.

        Half-normal mixture with the precision tau of the one-sided sequence, of which the p above is a bound:
        E = 2 sqrt(tau / (I + tau)) exp(x^2 / 2) Phi(x), x = I estimate / sqrt(I + tau).
        """
        if estimate.information <= 0:
            return 0.0
        tau, widened = self.tau_one_sided, estimate.information + self.tau_one_sided
        x = estimate.information * estimate.value / sqrt(widened)
        grown = log(2) + x * x / 2 + float(log_ndtr(x)) if x > 0 else log(float(erfcx(-x / sqrt(2))))
        return log(tau / widened) / 2 + grown

    def information_needed(self, effect: float) -> float:
        """Information at which the one-sided bound clears zero for a true effect of this size.

        Solves m1(I) = effect by iterating I <- m1(I) I / effect, whose right side is rising and concave in
        I, from below; infinite for an effect that no traffic can show.
        """
        if effect < SIZES[0] * min(self.mde, 1.0):
            return inf
        information, last = 1e-12, 0.0
        while information - last > 1e-10 * information:
            last = information
            information = self.margin_one_sided(last) * last / effect
        return information


def _exponent(estimate: Estimate, tau: float) -> float:
    squared = estimate.information**2 * estimate.value**2
    return min(squared / (2 * (estimate.information + tau)), _LARGEST_EXPONENT)
