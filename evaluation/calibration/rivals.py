"""Rivals: stopping rules in common use, on the same simulated data and at the same looks.

- naive z: pooled one-sided z test at .05 at every look.
- P(best): pooled Beta posteriors with flat priors, stop at .99.
- GLR: generalised likelihood ratio against ln((1 + ln n)(K - 1) / .05) (Garivier and Kaufmann 2016).

All three compare pooled means with the same boundary as the scenario's null. For reward per cost they use the
normal law of the pooled log ratio (delta method), as neither Beta nor Bernoulli fits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np
from scipy.special import betainc, ndtr

from evaluation.calibration.scenarios import Scenario
from experiments.evidence.units import MOMENTS, PRIMARY, CellRow

NAMES = ("naive z", "P(best) > .99", "GLR")
ALPHA = 0.05
CRITICAL_Z = 1.6448536269514722
SURE = 0.99
GRID = 257
FEWEST = 20
"""Units per arm before a rival may speak."""


@dataclass(frozen=True)
class Pooled:
    """Sums of one arm over all epochs."""

    n: float
    """Requests: rivals take each for a unit, also those of one sticky user."""
    wins: float
    cost: float
    cost_squares: float
    reward_cost: float

    @classmethod
    def of(cls, rows: Sequence[CellRow]) -> "Pooled":
        """Add up what has arrived."""
        known = [row.moments[PRIMARY] for row in rows if PRIMARY in row.moments]
        totals = np.sum(known, axis=0) if known else np.zeros(len(MOMENTS))
        at = {name: float(totals[index]) for index, name in enumerate(MOMENTS)}
        return cls(at["1N"], at["1R"], at["1C"], at["CC"], at["RC"])

    @property
    def rate(self) -> float:
        """Successes per unit."""
        return self.wins / self.n


def first_calls(scenario: Scenario, arms: Sequence[Pooled]) -> tuple[bool, bool, bool]:
    """Whether each rival calls some candidate better than the boundary at this look."""
    calls = [_calls(scenario, arms[0], other) for other in arms[1:]]
    return any(one[0] for one in calls), any(one[1] for one in calls), any(one[2] for one in calls)


def _calls(scenario: Scenario, control: Pooled, other: Pooled) -> tuple[bool, bool, bool]:
    if min(control.n, other.n) < FEWEST:
        return False, False, False
    threshold = log((1 + log(control.n + other.n)) * (scenario.arms - 1) / ALPHA)
    if scenario.question == "reward_per_cost":
        z = _ratio_z(control, other)
        return z > CRITICAL_Z, float(ndtr(z)) > SURE, z > 0 and z * z / 2 > threshold
    gap = scenario.boundary
    return (
        difference_z(control, other, gap) > CRITICAL_Z,
        chance_better(control, other, gap) > SURE,
        likelihood_ratio(control, other, gap) > threshold,
    )


def difference_z(control: Pooled, other: Pooled, gap: float) -> float:
    """z of "other minus control exceeds gap" with plug-in variances."""
    variance = sum(arm.rate * (1 - arm.rate) / arm.n for arm in (control, other))
    distance = other.rate - control.rate - gap
    return distance / sqrt(variance) if variance > 0 else 0.0


def chance_better(control: Pooled, other: Pooled, gap: float) -> float:
    """P(theta_other > theta_control + gap) under Beta(1 + wins, 1 + losses), by quadrature."""
    a, b = 1 + other.wins, 1 + other.n - other.wins
    mean, sd = a / (a + b), sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    grid = np.linspace(max(mean - 8 * sd, 0.0), min(mean + 8 * sd, 1.0), GRID)
    mass = np.diff(betainc(a, b, grid))
    below = np.clip((grid[1:] + grid[:-1]) / 2 - gap, 0.0, 1.0)
    return float(mass @ betainc(1 + control.wins, 1 + control.n - control.wins, below))


def likelihood_ratio(control: Pooled, other: Pooled, gap: float) -> float:
    """ln of the likelihood at the estimates over the largest one with "other minus control <= gap"."""
    if other.rate - control.rate <= gap:
        return 0.0
    x = _restricted(control, other, gap)
    return control.n * _divergence(control.rate, x) + other.n * _divergence(other.rate, x + gap)


def _restricted(control: Pooled, other: Pooled, gap: float) -> float:
    """The control's rate that is likeliest when the other's lies exactly `gap` above it; by bisection."""
    low, high = max(0.0, -gap) + 1e-12, min(1.0, 1.0 - gap) - 1e-12
    for _ in range(50):
        x = (low + high) / 2
        y = x + gap
        slope = control.n * (x - control.rate) / (x * (1 - x)) + other.n * (y - other.rate) / (y * (1 - y))
        low, high = (x, high) if slope < 0 else (low, x)
    return (low + high) / 2


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two Bernoulli laws."""
    if not 0 < q < 1:
        return inf
    first = p * log(p / q) if p > 0 else 0.0
    second = (1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0
    return first + second


def _ratio_z(control: Pooled, other: Pooled) -> float:
    """z of the difference of ln(pooled reward / pooled cost), by the delta method."""
    if min(control.wins, other.wins) <= 0:
        return 0.0
    effect = log(other.wins / other.cost) - log(control.wins / control.cost)
    return effect / sqrt(_log_variance(control) + _log_variance(other))


def _log_variance(arm: Pooled) -> float:
    r, c = arm.rate, arm.cost / arm.n
    rewards, costs = r * (1 - r), arm.cost_squares / arm.n - c * c
    joint = arm.reward_cost / arm.n - r * c
    return (rewards / r**2 + costs / c**2 - 2 * joint / (r * c)) / arm.n
