"""Arrivals: the requests of one trial in order of time, with everything random about them drawn beforehand.

The draws of a request are the same whichever candidate serves it (common random numbers), so two experiments in
the same world with the same seed differ by what they decide and by nothing else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from bandit.simulation.environments import Environment
from evaluation.simulation.spec import Spec

_GAP_OF_WINDOW = 0.1
"""Mean gap between two requests of one unit, in reward windows: what counts for the unit arrives within its window."""
_BLOCK = 20_000


@dataclass(frozen=True)
class Arrivals:
    """Requests in order of time; arrays of the same length."""

    at_ms: NDArray[np.int64]
    """Since the start of the trial."""
    unit: NDArray[np.int64]
    """Which unit asks."""
    taste: Floats
    """How much better than others its unit finds every candidate."""
    luck: Floats
    """Uniform; a request succeeds where it is below the chance of success."""
    cost_factor: Floats
    """Lognormal with mean one."""
    patience: Floats
    """Uniform, one for each unit; its feedback comes where it is below the candidate's share of feedback."""
    delay: Floats
    """Exponential with mean one."""

    def __len__(self) -> int:
        return int(self.at_ms.size)


@dataclass(frozen=True)
class Prospects:
    """What some requests bring on each candidate; rows are requests, columns candidates."""

    chance: Floats
    cost_usd: Floats
    """Expected."""


def draw_arrivals(spec: Spec, generator: np.random.Generator) -> Arrivals:
    """All requests of a trial, about as many as the specification says."""
    environment = spec.environment.built()
    unit, at_ms = _times(spec, environment, generator)
    units = int(unit.max()) + 1
    users = environment.users
    taste = users.rate_sd * generator.standard_normal(units)
    patience = generator.random(units)
    log_variance = float(np.log1p(environment.cost_variation**2))
    normal = generator.standard_normal(unit.size)
    return Arrivals(
        at_ms=at_ms,
        unit=unit,
        taste=taste[unit],
        luck=generator.random(unit.size),
        cost_factor=np.exp(np.sqrt(log_variance) * normal - log_variance / 2),
        patience=patience[unit],
        delay=generator.exponential(size=unit.size),
    )


def prospects(spec: Spec, arrivals: Arrivals, start: int, end: int) -> Prospects:
    """Chance of success and expected cost on each candidate of the requests from `start` to before `end`."""
    environment, part = spec.environment.built(), slice(start, end)
    time = arrivals.at_ms[part] / spec.length_ms
    chance = np.clip(environment.rates_at(time) + arrivals.taste[part, None], 0.0, 1.0)
    return Prospects(chance, environment.costs_at(time))


def blocks(arrivals: Arrivals) -> list[tuple[int, int]]:
    """Start and end of blocks of requests, small enough for arrays of all candidates."""
    return [(start, min(start + _BLOCK, len(arrivals))) for start in range(0, len(arrivals), _BLOCK)]


def _times(
    spec: Spec, environment: Environment, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Units and times of all requests: units start at even times, their further requests follow by themselves."""
    more = environment.users.requests_mean - 1
    units = max(1, round(spec.requests / (1 + more)))
    first = (np.arange(units) + 0.5) * spec.length_ms / units
    if more == 0:
        return np.arange(units), first.astype(np.int64)
    requests = 1 + generator.poisson(more, units)
    unit = np.repeat(np.arange(units), requests)
    mean_gap_ms = _GAP_OF_WINDOW * spec.experiment.reward.window_ms
    gaps = mean_gap_ms * generator.exponential(size=unit.size)
    starts = np.cumsum(requests) - requests
    gaps[starts] = 0.0
    waited = np.cumsum(gaps)
    at_ms = (first[unit] + waited - waited[starts][unit]).astype(np.int64)
    order = np.argsort(at_ms, kind="stable")
    order = order[at_ms[order] < spec.length_ms]
    return unit[order], at_ms[order]
