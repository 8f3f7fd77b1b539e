"""Pairing: what both sides of a request in mode shadow reported is joined on the copy's unit, whichever came last.

What a pair says follows from the values that count for its two decisions and from nothing else, so that a repeated
or superseding value of either side moves it like any other, and any order of arrival gives the same cells.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from experiments.definition.experiment import Experiment
from experiments.evidence.pairs import Side, pair_metric, pair_unit, pair_values
from experiments.evidence.units import Outcome, UnitRow, moved
from storage.records import Effect, FeedbackRow

_OF_A_CALL = frozenset({"cost_usd", "latency_ms", "error", "input_tokens", "output_tokens"})
"""Metrics of which any one says that the call has ended."""
_NO_PAIR: tuple[tuple[str, float], ...] = ()
_Effects = Mapping[str, Effect]


class Book(Protocol):
    """As far as pairs need a store's transaction."""

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row."""

    def put_unit(self, row: UnitRow) -> None:
        """Write a unit row, new or replaced."""

    def effects(self, number: int) -> _Effects:
        """The values that count for a decision, by metric."""


def pair_moved(
    book: Book, row: FeedbackRow, definition: Experiment, other: int, old: _Effects, new: _Effects
) -> None:
    """Move the copy's unit by what its pair says now, after one side's values went from `old` to `new`.

    The control is arm 0 and any other arm a copy. A copy that reported has a unit row: its first value made it.
    """
    others = book.effects(other)
    if row.arm:
        before, after = (_says(definition, others, own) for own in (old, new))
        unit = row.unit
    else:
        before, after = (_says(definition, own, others) for own in (old, new))
        unit = pair_unit(other, row.number)
    copy = book.unit(row.experiment_id, unit) if before != after else None
    if copy is not None:
        book.put_unit(moved(copy, Outcome(metrics=before), Outcome(metrics=after)))


def _says(definition: Experiment, served: _Effects, copy: _Effects) -> tuple[tuple[str, float], ...]:
    """What the pair says: of its calls once both are reported, of a guardrail's metric once both sides have it."""
    if not served or not copy:
        return _NO_PAIR
    judged = tuple(_judged(definition, served, copy))
    if _OF_A_CALL.isdisjoint(served) or _OF_A_CALL.isdisjoint(copy):
        return judged
    return (*pair_values(_side(served), _side(copy)), *judged)


def _judged(definition: Experiment, served: _Effects, copy: _Effects) -> Iterator[tuple[str, float]]:
    """Differences of the metrics that feedback reports, each value within the range that its guardrail declares."""
    for rule in definition.guardrails:
        ours, theirs = served.get(rule.metric), copy.get(rule.metric)
        if rule.range is not None and ours is not None and theirs is not None:
            yield pair_metric(rule.metric), rule.counted(1, theirs.value) - rule.counted(1, ours.value)


def _side(effects: _Effects) -> Side:
    error, latency, cost = (effects.get(metric) for metric in ("error", "latency_ms", "cost_usd"))
    return Side(
        error is not None and error.value > 0,
        latency.value if latency else None,
        cost.value if cost else None,
    )
