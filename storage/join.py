"""The join: how decisions, calls and feedback of a batch move unit rows, effects and cells.

One function per kind of row, the same for every store. A `Book` is a store inside its transaction.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from experiments.definition.experiment import Experiment
from experiments.definition.reward import RESERVED_METRICS
from experiments.evidence.epochs import GRACE_MS
from experiments.evidence.latency import bucket
from experiments.evidence.pairs import other_side
from experiments.evidence.predictions import judged
from experiments.evidence.units import (
    MOMENTS,
    NOTHING,
    PRIMARY,
    UNCLIPPED,
    Contribution,
    Outcome,
    UnitRow,
    contribution,
    decided,
    moved,
)
from storage.pairing import pair_moved
from storage.records import (
    Batch,
    CallRow,
    CellDelta,
    DecisionRow,
    Effect,
    FeedbackReply,
    FeedbackRow,
    FeedbackState,
)
from storage.recount import add_all

COST, ERROR, LATENCY = "cost_usd", "error", "latency_ms"
_NOT_METRICS = frozenset({PRIMARY, LATENCY, *RESERVED_METRICS})
_APPLIED, _DUPLICATE = FeedbackState.APPLIED, FeedbackState.DUPLICATE  # an enum's attribute costs 0.1 us
_ZEROS = (0.0,) * len(MOMENTS)
_DEGRADED = 6  # index of `degraded` in experiments.evidence.units.COUNTS


class Book(Protocol):
    """A store inside one transaction, at the time `now_ms`."""

    now_ms: int

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, or None if there is no such experiment, as there is no number 0."""

    def final(self, experiment_id: int, epoch: int, window_ms: int) -> bool:
        """Whether the epoch's cells are final: nobody opened it, or every outcome that may count has arrived."""

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row."""

    def put_unit(self, row: UnitRow) -> None:
        """Write a unit row, new or replaced."""

    def unit_changes(self) -> Iterable[tuple[UnitRow | None, UnitRow]]:
        """Every written unit row with the one that the store holds, None for a new unit."""

    def insert_decision(self, row: DecisionRow) -> bool:
        """Append a decision and count it by task and reason; False if its number is there already."""

    def insert_call(self, row: CallRow, counted: bool) -> bool:
        """Append a call, saying whether its unit row took it in; False if its number is there already."""

    def call(self, number: int) -> CallRow | None:
        """The call of a decision, if its unit row took it in."""

    def effects(self, number: int) -> Mapping[str, Effect]:
        """The values that count for a decision, by metric; what is put later in this transaction shows in it."""

    def put_effect(self, row: FeedbackRow, metric: str, effect: Effect) -> None:
        """Let this value count for (decision, metric) in place of any other."""

    def log(self, row: FeedbackRow, metric: str, value: float, state: FeedbackState) -> None:
        """Append to the record of everything received."""

    def seen_key(self, number: int, metric: str, idempotency_key: str) -> bool:
        """Whether this key was received for (decision, metric) before."""

    def seen_value(self, number: int, metric: str, value: float) -> bool:
        """Whether this value was received for (decision, metric) before and kept without an effect."""

    def delta(self, experiment_id: int, epoch: int, arm: int) -> CellDelta:
        """The change collected for one cell in this transaction."""


def apply(book: Book, batch: Batch) -> list[FeedbackReply]:
    """Apply a batch; replies in the order of its feedback."""
    for decision in batch.decisions:
        decide(book, decision)
    for call in batch.calls:
        finish(book, call)
    replies = [report(book, feedback) for feedback in batch.feedback]
    _move_cells(book)
    return replies


def decide(book: Book, row: DecisionRow) -> None:
    """Count a decision: the unit's first row wins for ever, a lost race leaves the statistics alone."""
    definition = book.definition(row.experiment_id)
    if definition is None:
        book.insert_decision(row)
        return
    stored = book.unit(row.experiment_id, row.unit)
    lost = row.epoch == 0 or (stored is not None and stored.arm != row.arm)
    if not book.insert_decision(replace(row, degraded=True) if lost else row):
        return
    if lost or row.degraded:
        book.delta(row.experiment_id, 0, row.arm).counts[_DEGRADED] += 1
        return
    unit = stored or _new_unit(row)
    if not _final(book, unit, definition, row.number >> 22):
        predicted = row.predicted if row.predicted is not None and judged(definition) else None
        book.put_unit(decided(unit, row.number, row.covariate, predicted))


def finish(book: Book, row: CallRow) -> None:
    """Count what came back from the upstream; feedback that arrived first keeps its values."""
    definition = book.definition(row.experiment_id)
    unit = _countable(book, row, definition, row.finished_at_ms) if definition is not None else None
    if not book.insert_call(row, counted=unit is not None) or unit is None or definition is None:
        return
    effects = book.effects(row.number)
    before, after = outcome(None, effects, definition), outcome(row, effects, definition)
    _move_outcome(book, unit, before, after)
    if LATENCY not in effects:
        _count_latency(book, unit, _latency(row, None), 1)


def report(book: Book, row: FeedbackRow) -> FeedbackReply:
    """Apply one feedback item; every value is logged once, whatever its state."""
    definition = book.definition(row.experiment_id)
    if definition is None:
        return _log_all(book, row, FeedbackState.UNKNOWN, "no experiment counts this decision")
    if row.epoch == 0:
        return _log_all(book, row, FeedbackState.ACCEPTED, "decided while degraded: kept, not counted")
    unit = _countable(book, row, definition, row.received_at_ms)
    if unit is None:
        stored = book.unit(row.experiment_id, row.unit)
        if stored is not None and stored.arm != row.arm:
            return _log_all(
                book, row, FeedbackState.ACCEPTED, "the unit has another candidate: kept, not counted"
            )
        return _log_all(book, row, FeedbackState.LATE, "the reward window is over: kept, not counted")
    call, effects = book.call(row.number), book.effects(row.number)
    before, timed = outcome(call, effects, definition), effects.get(LATENCY)
    other = other_side(row.unit, row.number)
    old = dict(effects) if other else effects
    replies = [_put(book, row, metric, value, effects.get(metric)) for metric, value in row.values]
    _move_outcome(book, unit, before, outcome(call, effects, definition))
    if other:
        pair_moved(book, row, definition, other, old, effects)
    if effects.get(LATENCY) is not timed:
        _count_latency(book, unit, _latency(call, timed), -1)
        _count_latency(book, unit, effects[LATENCY].value, 1)
    return _told(replies[0], row.values[0][0], definition)


def outcome(call: CallRow | None, effects: Mapping[str, Effect], definition: Experiment) -> Outcome:
    """What is known of a decision: feedback's values go before the gateway's own measurements."""
    if call is None and not effects:
        return NOTHING
    reward = effects.get(definition.reward.metric)
    cost = effects.get(COST)
    reported_error = effects.get(ERROR)
    error = reported_error.value > 0 if reported_error else call is not None and call.error is not None
    value = reward.value if reward else definition.reward.error_value if error else None
    metrics = _further(effects, definition) if len(effects) > (reward is not None) else ()
    if value is not None and definition.reward.outside == "clip":
        metrics, value = (*metrics, (UNCLIPPED, value)), definition.reward.counted(value)
    cost_usd = cost.value if cost else call.cost_usd if call else None
    diverted = call is not None and call.diverted
    return Outcome(True, error, diverted, cost_usd, value, reward is not None, metrics)


def _further(effects: Mapping[str, Effect], definition: Experiment) -> tuple[tuple[str, float], ...]:
    """Values of metrics that are neither the reward nor measured by Pointsman itself."""
    return tuple(
        (metric, effect.value)
        for metric, effect in sorted(effects.items())
        if metric not in _NOT_METRICS and metric != definition.reward.metric
    )


@lru_cache(maxsize=4096)
def value_digest(value: float) -> str:
    """A total order among values of one instant, the same on every node."""
    return hashlib.blake2b(struct.pack(">d", value + 0.0), digest_size=8).hexdigest()


def _put(book: Book, row: FeedbackRow, metric: str, value: float, current: Effect | None) -> FeedbackReply:
    """Let one value count if it is the greatest of its effect key."""
    if row.idempotency_key is not None and book.seen_key(row.number, metric, row.idempotency_key):
        return FeedbackReply(FeedbackState.DUPLICATE, current.value if current else None)
    sent = Effect(value, row.order_at_ms, value_digest(value))
    if current is None:
        wins, state = True, _APPLIED
    else:
        wins = (sent.order_at_ms, sent.digest) > (current.order_at_ms, current.digest)
        state = _DUPLICATE if current.value == value else FeedbackState.SUPERSEDED
    if wins:
        book.put_effect(row, metric, sent)
    if wins or state is not _DUPLICATE or row.idempotency_key is not None:
        book.log(row, metric, value, state)
    return FeedbackReply(state, value if wins or current is None else current.value)


def _told(reply: FeedbackReply, metric: str, definition: Experiment) -> FeedbackReply:
    """The reply with the value that the statistics count, where that is not the one that was sent."""
    value, rule = reply.effective, definition.reward
    if rule.outside != "clip" or value is None or metric != rule.metric or rule.counted(value) == value:
        return reply
    (low, high), counted = rule.range, rule.counted(value)
    detail = f"{value:g} is outside [{low:g}, {high:g}]: kept as it was sent, counted as {counted:g}"
    return FeedbackReply(reply.state, counted, detail)


def _log_all(book: Book, row: FeedbackRow, state: FeedbackState, detail: str) -> FeedbackReply:
    """Keep values that have no effect."""
    replies = [
        _keep(book, row, metric, value, FeedbackReply(state, None, detail)) for metric, value in row.values
    ]
    return replies[0]


def _keep(book: Book, row: FeedbackRow, metric: str, value: float, fate: FeedbackReply) -> FeedbackReply:
    """Log a value without an effect once: what repeats it, or a value that counts, leaves no further row."""
    definition = book.definition(row.experiment_id) if row.experiment_id else None
    current = book.effects(row.number).get(metric) if definition is not None else None
    repeated = book.seen_value(row.number, metric, value) or (current is not None and current.value == value)
    if row.idempotency_key is not None:
        repeated = repeated or book.seen_key(row.number, metric, row.idempotency_key)
    if not repeated:
        book.log(row, metric, value, fate.state)
        return fate
    reply = FeedbackReply(FeedbackState.DUPLICATE, current.value if current else None, fate.detail)
    return reply if definition is None else _told(reply, metric, definition)


def _countable(book: Book, row: CallRow | FeedbackRow, definition: Experiment, at_ms: int) -> UnitRow | None:
    """The unit row (made from the id where the decision row is not there yet) if outcomes still count."""
    if row.epoch == 0:
        return None
    unit = book.unit(row.experiment_id, row.unit) or _new_unit(row)
    return None if unit.arm != row.arm or _final(book, unit, definition, at_ms) else unit


def _final(book: Book, unit: UnitRow, definition: Experiment, at_ms: int) -> bool:
    """Whether the unit's window is over, or its epoch's cells are final already."""
    window_ms = definition.reward.window_ms
    return at_ms > unit.assigned_at_ms + window_ms + GRACE_MS or book.final(
        unit.experiment_id, unit.epoch, window_ms
    )


def _new_unit(row: DecisionRow | CallRow | FeedbackRow) -> UnitRow:
    return UnitRow(row.experiment_id, row.unit, row.epoch, row.arm, row.number >> 22)


def _move_outcome(book: Book, unit: UnitRow, before: Outcome, after: Outcome) -> None:
    if before != after or book.unit(unit.experiment_id, unit.unit) is None:
        book.put_unit(moved(unit, before, after))


def _move_cells(book: Book) -> None:
    """Change each unit's cell by the difference of contributions, once for all that a batch does to the unit."""
    entering: dict[tuple[int, int, int], list[Contribution]] = {}
    for before, after in book.unit_changes():
        definition = book.definition(after.experiment_id)
        assert definition is not None
        new = contribution(after, definition)
        key = (after.experiment_id, after.epoch, after.arm)
        if before is None:
            entering.setdefault(key, []).append(new)
        else:
            _replace(book.delta(*key), contribution(before, definition), new)
    for key, parts in entering.items():
        add_all(book.delta(*key), parts)


def _replace(delta: CellDelta, old: Contribution, new: Contribution) -> None:
    """Let a unit of a cell contribute anew."""
    if new.counts != old.counts:
        delta.counts = [s + (b - a) for s, a, b in zip(delta.counts, old.counts, new.counts, strict=True)]
    for metric in new.moments if new.moments.keys() >= old.moments.keys() else old.moments | new.moments:
        left, entered = old.moments.get(metric, _ZEROS), new.moments.get(metric, _ZEROS)
        if left != entered:
            sums = delta.moments.get(metric, _ZEROS)
            delta.moments[metric] = [s + (b - a) for s, a, b in zip(sums, left, entered, strict=True)]


def _latency(call: CallRow | None, reported: Effect | None) -> float | None:
    """What feedback says goes before the gateway's own measurement, where there is one."""
    if reported:
        return reported.value
    return call.latency_ms if call is not None and call.latency_ms >= 0 else None


def _count_latency(book: Book, unit: UnitRow, latency_ms: float | None, sign: int) -> None:
    if latency_ms is not None:
        histogram = book.delta(unit.experiment_id, unit.epoch, unit.arm).latency
        index = bucket(latency_ms)
        histogram[index] = histogram.get(index, 0) + sign
