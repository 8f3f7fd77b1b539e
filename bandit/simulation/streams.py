"""Streams: units drawn from an environment, and the cells that they make.

`draw` assigns units by frozen shares; `potential` tells what each unit would bring on every arm, for trials in which
somebody else assigns. `Units.cells_by` sums those whose feedback has arrived: an experiment that runs on what
has arrived is a different one from one that waits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.cells import UPPER, Cells, Floats
from bandit.shares import Shares
from bandit.simulation.environments import Environment

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """Units of one span, in order of assignment; arrays of the same length."""

    arm: Integers
    at: Floats
    """Time of assignment, as part of the trial."""
    requests: Integers
    reward: Floats
    """Successes over the unit's requests, whether or not anybody reports them."""
    cost_usd: Floats
    arrives: Floats
    """Time at which the feedback is in; infinite if it never comes."""

    def __len__(self) -> int:
        return int(self.arm.size)

    def cells_by(self, time: float, arms: int) -> Cells:
        """Cells of one epoch from the units whose feedback is in by then."""
        known = self.arrives <= time
        requests, reward, cost = self.requests[known], self.reward[known], self.cost_usd[known]
        z = np.stack([np.ones(requests.size), requests, reward, cost, np.zeros(requests.size)])
        products = z[UPPER[0]] * z[UPPER[1]]
        entries = UPPER[0].size
        place = self.arm[known] + arms * np.arange(entries)[:, None]
        sums: Floats = np.bincount(place.ravel(), products.ravel(), arms * entries).astype(np.float64)
        return Cells.from_triangles(sums.reshape(1, entries, arms).transpose(0, 2, 1))

    def assigned(self, arms: int) -> Integers:
        """Units by arm, with and without feedback."""
        return np.bincount(self.arm, minlength=arms).astype(np.int64)


@dataclass(frozen=True)
class Potential:
    """What each unit brings on each arm; `of_arm[k]` are all units as if arm k had served them."""

    of_arm: tuple[Units, ...]

    def chosen(self, arm: Integers) -> Units:
        """The units as somebody assigned them."""
        first, pick = self.of_arm[0], np.arange(arm.size)

        def taken(each: Callable[[Units], Floats]) -> Floats:
            return np.stack([each(units) for units in self.of_arm])[arm, pick]

        return Units(
            arm,
            first.at,
            first.requests,
            taken(lambda units: units.reward),
            taken(lambda units: units.cost_usd),
            taken(lambda units: units.arrives),
        )


def draw(
    environment: Environment, shares: Shares, units: int, generator: np.random.Generator,
    start: float = 0.0, end: float = 1.0,
) -> Units:  # fmt: skip
    """`units` units assigned by frozen shares at even times from `start` to `end`, parts of the trial."""
    at = _times(units, start, end)
    arm = np.searchsorted(np.cumsum(shares)[:-1], generator.random(units), side="right").astype(np.int64)
    requests, taste = _users(environment, units, generator)
    return _outcomes(environment, arm, at, requests, taste, generator)


def potential(
    environment: Environment, units: int, generator: np.random.Generator, start: float = 0.0, end: float = 1.0
) -> Potential:
    """The outcomes of `units` units on every arm; a user keeps requests and taste whatever arm serves."""
    at = _times(units, start, end)
    requests, taste = _users(environment, units, generator)
    return Potential(
        tuple(
            _outcomes(environment, np.full(units, arm, dtype=np.int64), at, requests, taste, generator)
            for arm in range(environment.arms)
        )
    )


def spans(
    environment: Environment, shares: Floats, units: int, generator: np.random.Generator
) -> Iterator[Units]:
    """Units of one epoch after the other for given shares of shape (epochs, arms); the epochs fill the trial."""
    count = shares.shape[0]
    for epoch in range(count):
        yield draw(environment, shares[epoch], units, generator, epoch / count, (epoch + 1) / count)


def history(parts: list[Units], time: float, arms: int) -> Cells:
    """Cells of successive epochs as they are known by `time`."""
    sums = [units.cells_by(time, arms).sums for units in parts]
    return Cells(np.concatenate(sums)) if sums else Cells.empty(0, arms)


def _times(units: int, start: float, end: float) -> Floats:
    if not 0 <= start <= end <= 1:
        raise ValueError(f"start == {start:g}, end == {end:g}, must rise within [0, 1], parts of the trial")
    return np.asarray(start + (end - start) * (np.arange(units) + 0.5) / max(units, 1))


def _users(environment: Environment, units: int, generator: np.random.Generator) -> tuple[Integers, Floats]:
    """Requests of each unit, and how much better than others it finds every arm."""
    more, users = environment.users.requests_mean - 1, environment.users
    requests = np.ones(units, dtype=np.int64)
    if more > 0:
        requests += generator.poisson(more, units)
    taste = users.rate_sd * generator.standard_normal(units) if users.rate_sd > 0 else np.zeros(units)
    return requests, taste


def _outcomes(
    environment: Environment,
    arm: Integers,
    at: Floats,
    requests: Integers,
    taste: Floats,
    generator: np.random.Generator,
) -> Units:
    rate = np.clip(environment.rates_at(at)[np.arange(arm.size), arm] + taste, 0.0, 1.0)
    reward = generator.binomial(requests, rate).astype(np.float64)
    cost = _costs(environment, at, arm, requests, generator)
    delay = environment.delays_of(arm, reward / requests) * generator.exponential(size=arm.size)
    heard = generator.random(arm.size) < environment.feedback_shares[arm]
    return Units(arm, at, requests, reward, cost, np.where(heard, at + delay, np.inf))


def _costs(
    environment: Environment, at: Floats, arm: Integers, requests: Integers, generator: np.random.Generator
) -> Floats:
    """Sums of lognormal costs, one for each request of a unit."""
    mean = environment.costs_at(at)[np.arange(at.size), arm]
    log_variance = float(np.log1p(environment.cost_variation**2))
    total = int(requests.sum())
    each = np.exp(np.sqrt(log_variance) * generator.standard_normal(total) - log_variance / 2)
    if total == at.size:
        return np.asarray(mean * each)
    ends = np.cumsum(requests)
    summed = np.concatenate([[0.0], np.cumsum(each)])
    return np.asarray(mean * (summed[ends] - summed[ends - requests]))
