"""Pairs of mode shadow: two models asked the same request, and what their two calls say of each other.

A caller that asks both models itself reports each side under a decision of its own, in any order. The two find each
other by their units: each names its own decision and, before it, the other's.
"""

from collections.abc import Iterator
from math import log
from typing import NamedTuple

from experiments.definition.reward import PAIR_COST, PAIR_ERROR, PAIR_LATENCY

SHORTEST_MS, LARGEST_RATIO = 0.1, 1_000.0
"""Bounds of a latency and of a ratio of two, so that no single pair outweighs all others."""
_ALONE = bytes(8)


class Side(NamedTuple):
    """What one call of a pair came to."""

    failed: bool
    """It gave no answer, or only another model did."""
    latency_ms: float | None
    cost_usd: float | None


def pair_values(served: Side, copy: Side) -> Iterator[tuple[str, float]]:
    """What the pair says, by metric.

    Errors are compared always; latency and cost where both models answered themselves, as a failure has a
    latency and a cost of another kind.
    """
    yield PAIR_ERROR, float(copy.failed) - float(served.failed)
    if served.failed or copy.failed:
        return
    if served.latency_ms is not None and copy.latency_ms is not None:
        ratio = max(copy.latency_ms, SHORTEST_MS) / max(served.latency_ms, SHORTEST_MS)
        yield PAIR_LATENCY, log(min(max(ratio, 1 / LARGEST_RATIO), LARGEST_RATIO))
    if served.cost_usd is not None and copy.cost_usd is not None:
        yield PAIR_COST, served.cost_usd


def pair_metric(metric: str) -> str:
    """Under which a pair says the difference of what feedback reports of both answers; no metric has this name.

    >>> pair_metric("quality")
    'pair:quality'
    """
    return f"pair:{metric}"


def pair_unit(number: int, other: int) -> bytes:
    """The unit of one side of a pair: the other side's decision number, then its own.

    >>> pair_unit(7, 9).hex()
    '00000000000000090000000000000007'
    """
    return (other << 64 | number).to_bytes(16, "big")


def other_side(unit: bytes, number: int) -> int:
    """The decision at the other side of this one's pair; 0 where it has none, as nearly all.

    A request by itself is its own unit with zeros before it, and a sticky unit's digest does not end with a number.

    >>> other_side(pair_unit(7, 9), 7), other_side((7).to_bytes(16, "big"), 7)
    (9, 0)
    """
    head = unit[:8]
    if head == _ALONE or unit[8:] != number.to_bytes(8, "big"):
        return 0
    return int.from_bytes(head, "big")
