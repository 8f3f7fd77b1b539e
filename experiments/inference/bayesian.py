"""Bayesian read-out: chance to win, expected loss and chance to be not worse, of a candidate against the control.

These are not proof against peeking: stopping at a chance to win of .99 goes wrong in one experiment of six.
They are shown beside the deciding test and never decide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
from scipy.special import betainc, betaincc

from bandit.cells import Floats
from experiments.inference.laws import beta_density, normal_above, normal_below, normal_density
from experiments.inference.not_enough import NotEnoughData

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_REACH = 10.0
"""Standard deviations of a posterior that the integration resolves on either side."""


@dataclass(frozen=True)
class Chances:
    """What the posterior says of the candidate against the control."""

    chance_to_win: float
    """P(candidate better than control)."""
    expected_loss: float
    """Mean of what is lost if the candidate is chosen and is worse, in units of the metric."""
    chance_non_inferior: float
    """P(candidate better than control - margin)."""


@dataclass(frozen=True)
class Successes:
    """Binary outcomes of one arm."""

    units: float
    successes: float


def of_binary(
    control: Successes, candidate: Successes, margin: float, *, higher_is_better: bool = True
) -> Chances | NotEnoughData:
    """Chances under Beta(1 + successes, 1 + failures) posteriors, by quadrature to about ten digits.

    P(b > a - m) = int f_b(x) F_a(x + m) dx and E[(a - b)+] = int F_b(x) (1 - F_a(x)) dx, cut into panels
    at the edges of both posteriors. Fewer-is-better mirrors successes and failures.
    """
    _check_margin(margin)
    for name, arm in (("control", control), ("candidate", candidate)):
        if not 0 <= arm.successes <= arm.units < inf:
            return NotEnoughData(f"the {name} has {arm.successes:g} successes in {arm.units:g} units")
    if not higher_is_better:
        control, candidate = _mirrored(control), _mirrored(candidate)
    a, b = _Posterior.of(control), _Posterior.of(candidate)
    edges = [*a.edges(), *b.edges()]
    shifted = [1 - margin, *(edge - margin for edge in a.edges()), *b.edges()]
    return Chances(
        _probability(_integral(lambda x: b.density(x) * a.below(x), edges)),
        max(0.0, _integral(lambda x: b.below(x) * a.above(x), edges)),
        _probability(_integral(lambda x: b.density(x) * a.below(np.minimum(x + margin, 1)), shifted)),
    )


def of_effect(
    effect: float, standard_error: float, margin: float, *, higher_is_better: bool = True
) -> Chances | NotEnoughData:
    """Chances under a normal posterior of candidate - control, flat prior.

    With effect and error of the stratified estimate this read-out, too, is blind to common drift.
    E[(-d)+] = se phi(z) - d Phi(-z) for d ~ N(effect, se^2), z = effect / se.
    """
    _check_margin(margin)
    if not (isfinite(effect) and isfinite(standard_error) and standard_error > 0):
        return NotEnoughData(
            f"effect {effect:g} with standard error {standard_error:g}: no variation known yet"
        )
    d = effect if higher_is_better else -effect
    z = d / standard_error
    loss = standard_error * normal_density(z) - d * normal_above(z)
    return Chances(normal_below(z), max(0.0, loss), normal_below((d + margin) / standard_error))


@dataclass(frozen=True)
class _Posterior:
    alpha: float
    beta: float

    @classmethod
    def of(cls, arm: Successes) -> "_Posterior":
        return cls(1 + arm.successes, 1 + arm.units - arm.successes)

    def below(self, x: Floats) -> Floats:
        result: Floats = betainc(self.alpha, self.beta, np.maximum(x, 0))
        return result

    def above(self, x: Floats) -> Floats:
        result: Floats = betaincc(self.alpha, self.beta, np.maximum(x, 0))
        return result

    def density(self, x: Floats) -> Floats:
        result: Floats = beta_density(x, self.alpha, self.beta)
        return result

    def edges(self) -> list[float]:
        """Points between which the posterior is smooth at the scale of the panels."""
        total = self.alpha + self.beta
        mean = self.alpha / total
        sd = sqrt(mean * (1 - mean) / (total + 1))
        return [mean + step * sd for step in (-_REACH, -4, -2, 0, 2, 4, _REACH)]


def _integral(of: Callable[[Floats], Floats], edges: list[float]) -> float:
    """Integral over [0, 1] by Gauss-Legendre panels between the edges."""
    cuts = np.unique(np.clip([0.0, *edges, 1.0], 0, 1))
    half = np.diff(cuts)[:, None] / 2
    x = cuts[:-1, None] + half * (1 + _NODES)
    return float((half * _WEIGHTS * of(x)).sum())


def _mirrored(arm: Successes) -> Successes:
    return Successes(arm.units, arm.units - arm.successes)


def _probability(value: float) -> float:
    return min(1.0, max(0.0, value))


def _check_margin(margin: float) -> None:
    if not 0 <= margin < inf:
        raise ValueError(f"margin == {margin:g}, must be finite and >= 0")
