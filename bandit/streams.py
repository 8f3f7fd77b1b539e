"""Streams: units drawn from an environment, and the cells that they make.

`draw` gives every unit of a span with its reward, cost and time of feedback. `cells_by` sums those whose feedback
has arrived: an experiment that runs on what has arrived is a different one from one that waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.cells import SIZE, UPPER, Cells, Floats
from bandit.environments import Environment
from bandit.shares import Shares


@dataclass(frozen=True)
class Units:
    """Units of one span, in order of assignment; arrays of the same length."""

    arm: NDArray[np.int64]
    at: Floats
    """Time of assignment, as part of the trial."""
    requests: Floats
    reward: Floats
    """Successes over the unit's requests, whether or not anybody reports them."""
    cost_usd: Floats
    arrives: Floats
    """Time at which the feedback is in; infinite if it never comes."""

    def __len__(self) -> int:
        return self.arm.size

    def cells_by(self, time: float, arms: int) -> Cells:
        """Cells of one epoch from the units whose feedback is in by then."""
        known = self.arrives <= time
        requests, reward, cost = self.requests[known], self.reward[known], self.cost_usd[known]
        z = np.stack([np.ones_like(requests), requests, reward, cost, np.zeros_like(requests)])
        products = z[UPPER[0]] * z[UPPER[1]]
        flat = self.arm[known] + arms * np.arange(UPPER[0].size)[:, None]
        sums = np.bincount(flat.ravel(), products.ravel(), arms * UPPER[0].size)
        return Cells.from_triangles(sums.reshape(1, UPPER[0].size, arms).transpose(0, 2, 1))

    def assigned(self, arms: int) -> NDArray[np.int64]:
        """Units by arm, with and without feedback."""
        return np.bincount(self.arm, minlength=arms).astype(np.int64)


def draw(
    environment: Environment, shares: Shares, units: int, generator: np.random.Generator,
    start: float = 0.0, end: float = 1.0,
) -> Units:  # fmt: skip
    """`units` units assigned by frozen shares at even times from `start` to `end`, parts of the trial."""
    at = start + (end - start) * (np.arange(units) + 0.5) / max(units, 1)
    edges = np.cumsum(shares)[:-1]
    arm = np.searchsorted(edges, generator.random(units), side="right")
    requests = _requests(environment, units, generator)
    rate = environment.rates_at(at)[np.arange(units), arm]
    if environment.users.rate_sd > 0:
        rate = np.clip(rate + environment.users.rate_sd * generator.standard_normal(units), 0.0, 1.0)
    reward = generator.binomial(requests, rate).astype(np.float64)
    cost = _costs(environment, at, arm, requests, generator)
    delay = environment.delays_of(arm, reward / requests) * generator.exponential(size=units)
    heard = generator.random(units) < environment.feedback_shares[arm]
    arrives = np.where(heard, at + delay, np.inf)
    return Units(arm.astype(np.int64), at, requests.astype(np.float64), reward, cost, arrives)


def epochs(
    environment: Environment, shares: Floats, units: int, generator: np.random.Generator
) -> Iterator[Units]:
    """One span of `units` units after the other for given shares of shape (epochs, arms)."""
    count = shares.shape[0]
    for epoch in range(count):
        yield draw(environment, shares[epoch], units, generator, epoch / count, (epoch + 1) / count)


def joined(parts: list[Cells]) -> Cells:
    """Cells of successive epochs as one history."""
    return (
        Cells(np.concatenate([part.sums for part in parts])) if parts else Cells(np.zeros((0, 0, SIZE, SIZE)))
    )


def _requests(environment: Environment, units: int, generator: np.random.Generator) -> NDArray[np.int64]:
    more = environment.users.requests_mean - 1
    return 1 + (generator.poisson(more, units) if more > 0 else np.zeros(units, dtype=np.int64))


def _costs(
    environment: Environment,
    at: Floats,
    arm: NDArray[np.intp],
    requests: NDArray[np.int64],
    generator: np.random.Generator,
) -> Floats:
    """Sums of lognormal costs, one for each request of a unit."""
    mean = environment.costs_at(at)[np.arange(at.size), arm]
    log_variance = np.log1p(environment.cost_variation**2)
    total = int(requests.sum())
    each = np.exp(np.sqrt(log_variance) * generator.standard_normal(total) - log_variance / 2)
    if total == at.size:
        return mean * each
    ends = np.cumsum(requests)
    summed = np.concatenate([[0.0], np.cumsum(each)])
    return np.asarray(mean * (summed[ends] - summed[ends - requests]))
