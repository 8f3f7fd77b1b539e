"""Ratios of latency quantiles, compared inside epochs like everything else.

Shares move and so does the load, so quantiles of pooled requests mislead as pooled means do. With weights that
both arms share, F_k(x) = sum_e w_e F_ek(x) / sum_e w_e is each arm's distribution on the same mixture of epochs, and

    Q_b / Q_a <= r   if and only if   F_b(r x) >= q at the x with F_a(x) = q.

At the true quantiles both F_a - q and F_b - q are means of zero with variances V_a, V_b. A ratio r is refuted when no
x explains both:

    min over x of (F_a(x) - q)^2 / V_a + (F_b(r x) - q)^2 / V_b  >  c

To first order the minimum is the squared z of the comparison with the right slope of the two densities at their
quantiles, so none has to be estimated and the arms may differ in shape. `c` is the squared margin of a confidence
sequence at information 1 / (V_a + V_b) (experiments.inference.sequence), so looks are free. The bounds of the ratio
follow without a search over r, as the extremes of Q_b / Q_a over an ellipse of levels:

    Q_b(q + sqrt(c V_b) sin t) / Q_a(q - sqrt(c V_a) cos t),   t in [0, pi/2]

docs/decisions/0008 says why this and not a difference of exceedances at an estimated threshold.
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite, log, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells, Floats, Z
from experiments.evidence.histograms import Histograms
from experiments.inference.sequence import NOTHING_KNOWN, Estimate, Sequence

FEWEST_BEYOND = 20
"""Requests beyond the quantile, in effect, that each arm needs before anything is said."""
TYPICAL_SPREAD = 0.5
"""Standard deviation of ln latency for which the test is tuned; it is valid for any."""
FEWEST_REQUESTS = 50
VARIANCE_FLOOR = 0.1
"""Least variance, in parts of the binomial one, where epochs differ so much that each lies on one side."""
_ANGLES = np.linspace(0.0, pi / 2, 33)
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class LatencyRatio:
    """ln of the ratio of two quantiles, with bounds valid at all looks together; infinite where there is none."""

    estimate: Estimate
    """Its information is that of an interval of one standard error."""
    low: float
    """Two-sided interval."""
    high: float
    lower: float
    """One-sided bounds."""
    upper: float
    p: float
    """Of equal quantiles."""


UNKNOWN = LatencyRatio(NOTHING_KNOWN, -inf, inf, -inf, inf, 1.0)


@lru_cache(maxsize=256)
def tail_shift(q: float, ratio: float, spread: float = TYPICAL_SPREAD) -> float:
    """Share of lognormal latencies between the q-quantile and `ratio` times it.

    >>> round(tail_shift(0.95, 1.25), 4)
    0.0317
    """
    normal = NormalDist()
    return normal.cdf(normal.inv_cdf(q) + log(ratio) / spread) - q


def latency_ratios(
    histograms: Histograms, calls: Cells, q: float, arms: Series[int], alpha: float, max_ratio: float
) -> tuple[LatencyRatio, ...]:
    """The q-quantile of each arm against that of the control (arm 0); `max_ratio` tunes the test.

    `calls` tells how many requests a unit has: those of one unit may be alike, so they count as one event
    in the variance, the most that they can vary together. Epochs with less than two events in either arm are
    left out, as their variance is not known.
    """
    sequence = Sequence(alpha, tail_shift(q, max_ratio))
    requests = histograms.counts.sum(axis=-1)
    events = requests / _requests_per_event(calls)
    shares = histograms.counts / np.maximum(requests, 1.0)[..., None]
    edges = histograms.log_edges
    return tuple(_of_pair(shares[:, [0, arm]], events[:, [0, arm]], edges, q, sequence) for arm in arms)


def _requests_per_event(calls: Cells) -> Floats:
    """sum n^2 / sum n over the units of each cell: 1 where every unit is one request."""
    requests, squares = calls.total(Z.REQUESTS), calls.product(Z.REQUESTS, Z.REQUESTS)
    together: Floats = np.maximum(squares / np.maximum(requests, 1.0), 1.0)
    return together


def _of_pair(shares: Floats, events: Floats, edges: Floats, q: float, sequence: Sequence) -> LatencyRatio:
    """Control and candidate: shares of the requests by bucket (epochs, 2, buckets), events (epochs, 2)."""
    kept = (events >= 2).all(axis=1)
    shares, events = shares[kept], events[kept]
    weights = 1 / (1 / events).sum(axis=1)
    if not weights.size:
        return UNKNOWN
    weights /= weights.sum()
    spent = weights[:, None] ** 2 / events
    if (1 / spent.sum(axis=0) < max(FEWEST_REQUESTS, FEWEST_BEYOND / min(q, 1 - q))).any():
        return UNKNOWN
    below = np.cumsum(np.tensordot(weights, shares, axes=1), axis=1)
    below = np.concatenate([np.zeros((2, 1)), below / below[:, -1:]], axis=1)
    variances = _variances(shares, below, spent * events / (events - 1), q)
    variances = np.maximum(variances, VARIANCE_FLOOR * q * (1 - q) * spent.sum(axis=0))
    return _Pair(below, edges, q, variances).ratio(sequence)


def _variances(shares: Floats, below: Floats, spent: Floats, q: float) -> Floats:
    """sum w^2 F_e (1 - F_e) / (n_e - 1) of each arm, with F_e its distribution in epoch e at its own quantile."""
    inside = np.clip((q - below[:, :-1]) / np.maximum(np.diff(below, axis=1), _LEAST), 0.0, 1.0)
    at_quantile = np.einsum("ekb,kb->ek", shares, inside)
    variances: Floats = (spent * at_quantile * (1 - at_quantile)).sum(axis=0)
    return variances


@dataclass(frozen=True)
class _Pair:
    """Distribution functions of control and candidate at the buckets' ends, and their variances at q."""

    below: Floats
    edges: Floats
    q: float
    variances: Floats

    def ratio(self, sequence: Sequence) -> LatencyRatio:
        """Estimate and bounds by a confidence sequence for exceedances."""
        information = float(1 / self.variances.sum())
        two_sided = information * sequence.margin(information) ** 2
        one_sided = information * sequence.margin_one_sided(information) ** 2
        low, high = self._bounds(np.array([0.0, 1.0, one_sided, two_sided]))
        value, error = (low[0] + high[0]) / 2, (high[1] - low[1]) / 2
        if not (isfinite(value) and isfinite(error)):
            return UNKNOWN
        p = sequence.p_value(Estimate(sqrt(self._equal() / information), information))
        estimate = Estimate(value, 1 / max(error, _LEAST) ** 2)
        return LatencyRatio(estimate, low[3], high[3], low[2], high[2], p)

    def _bounds(self, squares: Floats) -> tuple[list[float], list[float]]:
        """Least and greatest ln ratio at which the minimum over thresholds is within each of `squares`."""
        steps = np.sqrt(squares[:, None, None] * self.variances[:, None])
        control, candidate = steps[:, 0] * np.cos(_ANGLES), steps[:, 1] * np.sin(_ANGLES)
        high = self._above(1, self.q + candidate) - self._under(0, self.q - control)
        low = self._under(1, self.q - candidate) - self._above(0, self.q + control)
        return low.min(axis=1).tolist(), high.max(axis=1).tolist()

    def _above(self, arm: int, levels: Floats) -> Floats:
        """The greatest ln latency below which no more than `levels` of the requests are."""
        ends = np.searchsorted(self.below[arm], levels, side="right")
        found = self._within(arm, np.minimum(ends, self.edges.size - 1), levels)
        return np.where(levels >= 1 - _LEAST, inf, found)

    def _under(self, arm: int, levels: Floats) -> Floats:
        """The least ln latency below which `levels` of the requests are."""
        ends = np.searchsorted(self.below[arm], levels, side="left")
        found = self._within(arm, np.maximum(ends, 1), levels)
        return np.where(levels <= _LEAST, -inf, found)

    def _within(self, arm: int, ends: NDArray[np.intp], levels: Floats) -> Floats:
        """Latencies inside the buckets that end at `ends`; requests are taken to be spread evenly in each."""
        below, edges = self.below[arm], self.edges
        step = np.maximum(below[ends] - below[ends - 1], _LEAST)
        parts = np.clip((levels - below[ends - 1]) / step, 0.0, 1.0)
        inside: Floats = edges[ends - 1] + parts * (edges[ends] - edges[ends - 1])
        return inside

    def _equal(self) -> float:
        """The minimum over thresholds for a ratio of one, bucket by bucket."""
        distance = (self.below - self.q) / np.sqrt(self.variances)[:, None]
        start, step = distance[:, :-1], np.diff(distance, axis=1)
        along = np.clip(-(start * step).sum(axis=0) / np.maximum((step**2).sum(axis=0), _LEAST), 0.0, 1.0)
        return float(((start + along * step) ** 2).sum(axis=0).min())
