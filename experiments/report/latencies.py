"""Latencies of a candidate's own epochs, and their always-valid intervals."""

from collections.abc import Mapping
from dataclasses import dataclass

from bandit.cells import Z
from experiments.evidence.evidence import Evidence
from experiments.evidence.latency import bottom_ms, quantile_ms, top_ms
from experiments.evidence.units import ERROR
from experiments.inference.quantile_sequence import quantile_levels


@dataclass(frozen=True, slots=True)
class LatencyQuantile:
    """A quantile of latency and its interval; None where nothing is known, or there is no bound yet."""

    value_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None


def latency_quantiles(
    everything: Evidence, arm: int, quantiles: tuple[float, ...], alpha: float
) -> tuple[LatencyQuantile, ...]:
    """Quantiles over all epochs of one arm. Requests of one unit may be alike: they count as one event."""
    histogram = everything.histograms.of_arm(arm)
    calls = everything.metric(ERROR).pooled()[arm]
    requests, squares = calls[Z.UNIT, Z.REQUESTS], calls[Z.REQUESTS, Z.REQUESTS]
    per_event = max(float(squares / requests), 1.0) if requests > 0 else 1.0
    return tuple(_quantile(histogram, q, per_event, alpha) for q in quantiles)


def _quantile(histogram: Mapping[int, int], q: float, per_event: float, alpha: float) -> LatencyQuantile:
    total = sum(histogram.values())
    value = quantile_ms(histogram, q)
    if value is None:
        return LatencyQuantile()
    levels = quantile_levels(total / per_event, q, alpha)
    low, high, seen = None, None, 0
    for index in sorted(histogram):
        seen += histogram[index]
        if low is None and levels.low > 0 and seen >= levels.low * total:
            low = bottom_ms(index)
        if high is None and levels.high < 1 and seen > levels.high * total:
            high = top_ms(index)
    return LatencyQuantile(value, low, high)
