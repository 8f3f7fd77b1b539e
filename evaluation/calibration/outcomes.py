"""Outcomes: what the units of one arm bring in one epoch, drawn one by one and summed into a cell.

Every metric that a guardrail may watch can be drawn, and every way in which units differ: sticky ones of several
requests, a covariate known before, costs that stay unknown.
"""

from dataclasses import dataclass
from math import log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

from bandit.cells import SIZE, UPPER, Floats
from experiments.evidence.latency import BASE, SMALLEST_MS
from experiments.evidence.units import COST, ERROR, PRIMARY, UNCOSTED, CellRow

Marks = NDArray[np.bool_]

THUMBS = "thumbs"
"""A metric that feedback reports beside the reward: 1 or 0 of every unit."""


@dataclass(frozen=True)
class Nature:
    """What units do beside succeeding at their arm's rate; by arm where it is a tuple, and empty for nothing."""

    feedback: tuple[float, ...] = ()
    """Chance that a unit's reward is ever reported; 1 where nothing is said."""
    error_rates: tuple[float, ...] = ()
    """Chance that a call gives no answer; such units are among the failures."""
    latency_ms: tuple[float, ...] = ()
    """Median latency, lognormal with `LATENCY_SIGMA`; it follows the level of the rates as a common trend."""
    thumbs: tuple[float, ...] = ()
    """Chance of a thumb up."""
    uncosted: tuple[tuple[float, float], ...] = ()
    """Chance that the cost of a success, and of a failure, stays unknown."""
    requests_mean: float = 1.0
    """Requests of a unit: one, and a Poisson number of further ones."""
    taste_sd: float = 0.0
    """Standard deviation of users' rates around their arm's."""
    covariate: float = 0.0
    """What the rate of a unit gains per unit of its covariate, which is uniform on [-1, 1]."""


LATENCY_SIGMA = 0.6


@dataclass(frozen=True)
class Units:
    """The units of one arm in one epoch; all arrays have one entry per unit."""

    requests: Floats
    wins: Floats
    rated: Marks
    failed: Marks
    """Whether a call gave no answer."""
    costs_usd: Floats
    costed: Marks
    covariate: Floats
    thumbs: Floats | None
    latency_ms: Floats | None

    def cell(self, number: int, arm: int, needs_cost: bool, known: Marks | None = None) -> CellRow:
        """The cell of what is known: all of it, or only the rewards of the units marked."""
        n = self.requests.size
        rated = self.rated if known is None else self.rated & known
        joint = rated & self.costed if needs_cost else rated
        billed = np.where(self.costed, self.costs_usd, 0.0)
        every = np.ones(n, dtype=bool)
        moments = {
            PRIMARY: self._sums(joint, self.wins, billed),
            UNCOSTED: self._sums(rated & ~joint, self.wins, np.zeros(n)),
            COST: self._sums(self.costed, self.costs_usd, self.costs_usd),
            ERROR: self._sums(every, self.failed.astype(np.float64), billed),
        }
        if self.thumbs is not None:
            moments[THUMBS] = self._sums(every, self.thumbs, billed)
        counts = (n, n, n, int(self.failed.sum()), int(rated.sum()), 0, 0)
        found = {name: sums for name, sums in moments.items() if sums[0]}
        return CellRow(number, arm, counts, found, self._latencies())

    def _sums(self, which: Marks, totals: Floats, costs: Floats) -> tuple[float, ...]:
        """The triangle of the units marked."""
        z = np.empty((SIZE, int(which.sum())))
        z[0] = 1.0
        z[1], z[2], z[3], z[4] = (part[which] for part in (self.requests, totals, costs, self.covariate))
        return tuple((z @ z.T)[UPPER].tolist())

    def _latencies(self) -> dict[int, int]:
        """Calls by bucket, as experiments.evidence.latency.bucket puts them."""
        if self.latency_ms is None:
            return {}
        numbers = np.ceil(np.log(np.maximum(self.latency_ms, SMALLEST_MS) / SMALLEST_MS) / BASE - 1e-9)
        buckets, calls = np.unique(numbers.astype(np.int64), return_counts=True)
        return dict(zip(buckets.tolist(), calls.tolist(), strict=True))


@dataclass(frozen=True)
class Law:
    """What holds for one arm in one epoch."""

    arm: int
    rate: float
    level: float
    """The control's rate, whose trend latencies share."""
    cost_usd: float
    """Mean cost of a request."""
    variation: float
    """Coefficient of variation of the lognormal costs."""


def drawn(random: np.random.Generator, nature: Nature, law: Law, n: int) -> Units:
    """`n` units under this law."""
    arm, requests = law.arm, np.ones(n)
    if nature.requests_mean > 1:
        requests += random.poisson(nature.requests_mean - 1, n)
    covariate = random.uniform(-1, 1, n) if nature.covariate else np.zeros(n)
    rates = law.rate + nature.covariate * covariate
    if nature.taste_sd:
        rates = np.clip(rates + random.normal(0, nature.taste_sd, n), 0, 1)
    wins = random.binomial(requests.astype(np.int64), rates).astype(np.float64)
    sigma = sqrt(log1p(law.variation**2))
    costs = random.lognormal(log(law.cost_usd) - sigma**2 / 2, sigma, n) * requests
    failing = _chance(nature.error_rates, arm, 0.0) / max(1 - law.rate, 1e-9)
    failed = (wins == 0) & (random.random(n) < failing)
    rated = failed | (random.random(n) < _chance(nature.feedback, arm, 1.0))
    thumbs = (random.random(n) < nature.thumbs[arm]).astype(np.float64) if nature.thumbs else None
    return Units(
        requests, wins, rated, failed, costs, _costed(random, nature, arm, wins), covariate, thumbs,
        _latency(random, nature, law, n),
    )  # fmt: skip


def _chance(by_arm: tuple[float, ...], arm: int, otherwise: float) -> float:
    return by_arm[arm] if by_arm else otherwise


def _costed(random: np.random.Generator, nature: Nature, arm: int, wins: Floats) -> Marks:
    if not nature.uncosted:
        return np.ones(wins.size, dtype=bool)
    of_success, of_failure = nature.uncosted[arm]
    known: Marks = random.random(wins.size) >= np.where(wins > 0, of_success, of_failure)
    return known


def _latency(random: np.random.Generator, nature: Nature, law: Law, n: int) -> Floats | None:
    """Twice as long where the level is a quarter lower: a trend that all arms share."""
    if not nature.latency_ms:
        return None
    median = nature.latency_ms[law.arm] * 2 ** (4 * (0.5 - law.level))
    return random.lognormal(log(median), LATENCY_SIGMA, n)
