"""Latency histograms: mergeable counts in buckets of 4% relative width.

Bucket b holds the latencies in (1.04**(b-1), 1.04**b] times 0.1 ms, so that its middle is within 2% of each.
"""

from collections.abc import Mapping
from math import ceil, log

BASE = log(1.04)
"""Width of a bucket on the log scale."""
SMALLEST_MS = 0.1
LARGEST_MS = 86_400_000.0


def bucket(latency_ms: float) -> int:
    """The bucket of one latency: bucket b holds (1.04**(b-1), 1.04**b] times 0.1 ms.

    >>> bucket(0.05), bucket(100.0)
    (0, 177)
    """
    clipped = min(max(latency_ms, SMALLEST_MS), LARGEST_MS)
    return ceil(log(clipped / SMALLEST_MS) / BASE - 1e-9)


def middle_ms(index: int) -> float:
    """Geometric middle of a bucket, in milliseconds; at most 2% from any latency in it."""
    return float(SMALLEST_MS * 1.04 ** (index - 0.5)) if index else SMALLEST_MS


def bottom_ms(index: int) -> float:
    """The latency above which a bucket starts, in milliseconds; zero for the smallest."""
    return top_ms(index - 1) if index else 0.0


def top_ms(index: int) -> float:
    """The longest latency of a bucket, in milliseconds."""
    return float(SMALLEST_MS * 1.04**index)


def quantile_ms(histogram: Mapping[int, int], q: float) -> float | None:
    """The q-quantile of a histogram within 2%, or None if it is empty.

    >>> round(quantile_ms({bucket(100.0): 99, bucket(1000.0): 1}, 0.5))
    101
    """
    if not 0 <= q <= 1:
        raise ValueError(f"q == {q}, must be in [0, 1]")
    total = sum(histogram.values())
    rank, seen = max(1, ceil(q * total)), 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen >= rank > 0 and total:
            return middle_ms(index)
    return None
