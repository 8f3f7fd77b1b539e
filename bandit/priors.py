"""Priors of the arms' contrasts: what is believed of them before their own traffic speaks.

Nothing here reaches a test: priors move shares, and shares may move in any way without harm to the tests. Three
sources add up as information (inverse variance): a vague prior of every arm, an offline evaluation of some models,
and what other experiments found about the same pair of models (bandit.pooling).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bandit.cells import Floats

OFFLINE_WEIGHT = 0.2
"""What a prompt of an offline evaluation counts beside a request of real traffic."""
MOST_OFFLINE = 50.0
"""Requests that an offline evaluation counts for at most: it never outweighs a day of traffic."""


@dataclass(frozen=True)
class Prior:
    """Normal prior of the contrasts mu, in reward units per request."""

    precision: Floats
    """Inverse covariance, positive definite; shape (arms, arms)."""
    response: Floats
    """Precision times mean; shape (arms,)."""
    level: float
    """Reward to which the contrasts add before any request came in."""

    @cached_property
    def least_precision(self) -> float:
        """Smallest eigenvalue of the precision; arms believed in independently need no decomposition."""
        own = np.diag(self.precision)
        if np.count_nonzero(self.precision) == own.size:
            return float(own.min())
        return float(np.linalg.eigvalsh(self.precision)[0])

    @classmethod
    def vague(cls, arms: int, sd: float, level: float) -> "Prior":
        """Every arm at the level, give or take `sd`."""
        if not (np.isfinite(sd) and sd > 0 and np.isfinite(level)):
            raise ValueError(f"prior sd == {sd}, must be finite and > 0, and its level {level} finite")
        return cls(np.eye(arms) / sd**2, np.zeros(arms), level)

    def with_contrast(self, arm: int, against: int, mean: float, sd: float) -> "Prior":
        """The prior with an independent belief about arm minus `against`."""
        if arm == against or not (np.isfinite(mean) and np.isfinite(sd) and sd > 0):
            raise ValueError(f"belief {mean} +- {sd} about arms {arm} and {against}; sd must be > 0")
        direction = np.zeros(self.response.size)
        direction[arm], direction[against] = 1.0, -1.0
        return Prior(
            self.precision + np.outer(direction, direction) / sd**2,
            self.response + direction * mean / sd**2,
            self.level,
        )


@dataclass(frozen=True)
class Offline:
    """An arm's mean reward in an evaluation before the traffic, over so many prompts."""

    arm: int
    reward: float
    prompts: float


def offline_prior(
    found: Sequence[Offline],
    arms: int,
    low: float = 0.0,
    width: float = 1.0,
    weight: float = OFFLINE_WEIGHT,
    vague_sd: float = 0.3,
) -> Prior:
    """The vague prior with evaluated arms at the moments of Beta(1 + a m q, 1 + a m (1 - q)), a m <= 50.

    q is the mean reward as a part of its range, m the prompts and a their `weight`. The level is the mean of the
    evaluated arms; contrasts are around it, and arms without an evaluation stay vague around it too.
    """
    if not 0 < weight <= 1:
        raise ValueError(
            f"weight == {weight:g}, must be in (0, 1]: a prompt offline is worth at most a request"
        )
    vague = Prior.vague(arms, vague_sd * width, low + width / 2)
    if not found:
        return vague
    means, sds = np.array([_beta_moments(one, low, width, weight) for one in found]).T
    level = float(means.mean())
    precision, response = np.diag(vague.precision).copy(), np.zeros(arms)
    places = [one.arm for one in found]
    precision[places] = 1 / np.minimum(sds, vague_sd * width) ** 2
    response[places] = precision[places] * (means - level)
    return Prior(np.diag(precision), response, level)


def _beta_moments(one: Offline, low: float, width: float, weight: float) -> tuple[float, float]:
    """Mean and standard deviation in reward units."""
    part = (one.reward - low) / width
    if not (0 <= part <= 1 and 0 <= one.prompts < np.inf):
        raise ValueError(
            f"offline reward {one.reward:g} of {one.prompts:g} prompts, must be within [{low:g}, {low + width:g}]"
        )
    counted = min(weight * one.prompts, MOST_OFFLINE)
    mean = (1 + counted * part) / (2 + counted)
    return low + width * mean, width * float(np.sqrt(mean * (1 - mean) / (counted + 3)))
