"""What a batch needs to see of the ledger, read ahead: one exchange with the server for all of its experiments.

The join then runs in memory as for every store. What it saw is handed to the script that writes its results,
and the script refuses them if any of it has changed meanwhile.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.pairs import other_side, pair_unit
from experiments.evidence.units import UnitRow
from storage.records import Batch, CallRow, DecisionRow, Effect, FeedbackRow
from storage.redis import rows
from storage.redis.client import RedisServer, Reply
from storage.redis.keys import Keyspace
from storage.redis.questions import Questions
from storage.redis.rows import number_text

ClosedEpochs = dict[tuple[int, int], Epoch]
"""Closed epochs never change, so a process reads each of them once."""

Place = tuple[int, int, int]
"""Epoch and arm of a unit, and when it was assigned."""

_MOST_EPOCHS = 20_000


@dataclass(slots=True)
class Seen:
    """One experiment's ledger as far as its part of a batch looks at it: the `Reads` of its join."""

    experiment_id: int
    identity: bytes | None = None
    """Store that the ledger belongs to; None for a new ledger."""
    experiment: Experiment | None = None
    decisions: dict[int, bytes | None] = field(default_factory=dict)
    calls: dict[int, bytes | None] = field(default_factory=dict)
    effect_texts: dict[int, bytes | None] = field(default_factory=dict)
    units: dict[bytes, bytes | None] = field(default_factory=dict)
    tries: dict[bytes, bool] = field(default_factory=dict)
    epochs: dict[tuple[int, int], Epoch | None] = field(default_factory=dict)

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, or None if there is no such experiment."""
        return self.experiment if experiment_id == self.experiment_id else None

    def epoch(self, experiment_id: int, number: int) -> Epoch | None:
        """One epoch."""
        return self.epochs[experiment_id, number]

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row."""
        raw = self.units[unit]
        return rows.unit_row(experiment_id, unit, raw) if raw else None

    def has_decision(self, number: int) -> bool:
        """Whether this decision is recorded."""
        return self.decisions[number] is not None

    def has_call(self, number: int) -> bool:
        """Whether a call is recorded for this decision."""
        return self.calls[number] is not None

    def counted_call(self, number: int) -> CallRow | None:
        """The call of a decision, if its unit row took it in."""
        raw = self.calls[number]
        if raw is None:
            return None
        call, counted = rows.call_row(self.experiment_id, number, raw)
        return call if counted else None

    def effects(self, number: int) -> dict[str, Effect]:
        """The values that count for a decision, by metric."""
        raw = self.effect_texts[number]
        return rows.effects_of(raw) if raw else {}

    def seen_key(self, number: int, metric: str, idempotency_key: str) -> bool:
        """Whether this key was received for (decision, metric) before."""
        return self.tries[try_digest(number, metric, idempotency_key)]

    def seen_value(self, number: int, metric: str, value: float) -> bool:
        """Whether this value was received for (decision, metric) before and kept without an effect.

        Asked for beforehand where a value may have no effect (`_ask_values`).
        """
        return self.tries.get(value_digest(number, metric, value), False)


def _everything(part: Batch) -> tuple[DecisionRow | CallRow | FeedbackRow, ...]:
    return (*part.decisions, *part.calls, *part.feedback)


def try_digest(number: int, metric: str, idempotency_key: str) -> bytes:
    """How a received idempotency key is remembered: 16 bytes, however long the client's key."""
    return hashlib.blake2b(rows.text([number, metric, idempotency_key]).encode(), digest_size=16).digest()


def value_digest(number: int, metric: str, value: float) -> bytes:
    """How a value that was kept without an effect is remembered; no key's digest, as a number is no text."""
    return hashlib.blake2b(rows.text([number, metric, value + 0.0]).encode(), digest_size=16).digest()


def read_ahead(
    server: RedisServer, parts: Mapping[int, Batch], closed: ClosedEpochs, now_ms: int
) -> dict[int, Seen]:
    """What the join of each experiment's part will look at.

    The epochs that assigned known units come in a second exchange, unless they are closed and known already,
    and with them what is known of values that may have no effect.
    """
    found = {experiment_id: Seen(experiment_id) for experiment_id in parts}
    first, second = Questions(), Questions()
    for experiment_id, part in parts.items():
        _ask_ledger(first, server.keys, found[experiment_id], part)
        if experiment_id:
            _ask_state(first, server.keys, found[experiment_id], part, closed)
    first.put_to(server)
    for experiment_id, seen in found.items():
        assigned = {unit: rows.unit_place(raw) for unit, raw in seen.units.items() if raw}
        _ask_epochs(second, server.keys, seen, {epoch for epoch, _, _ in assigned.values()}, closed)
        _ask_values(second, server.keys, seen, parts[experiment_id], assigned, now_ms)
    second.put_to(server)
    return found


def _ask_values(
    questions: Questions,
    keys: Keyspace,
    seen: Seen,
    part: Batch,
    assigned: Mapping[bytes, Place],
    now_ms: int,
) -> None:
    """Ask whether values were kept before, where they may have no effect: late, of another candidate, of none."""
    digests = [
        value_digest(row.number, metric, value)
        for row in part.feedback
        if _may_count_nowhere(seen.experiment, row, assigned.get(row.unit), now_ms)
        for metric, value in row.values
    ]

    def take(reply: Reply) -> None:
        seen.tries.update(zip(digests, map(bool, reply), strict=True))

    if digests:
        questions.ask(take, "SMISMEMBER", keys.ledger(seen.experiment_id, "tries"), *digests)


def _may_count_nowhere(
    experiment: Experiment | None, row: FeedbackRow, place: Place | None, now_ms: int
) -> bool:
    if experiment is None or row.epoch == 0:
        return True
    _, arm, assigned_at_ms = place or (row.epoch, row.arm, row.number >> 22)
    return arm != row.arm or max(now_ms, row.received_at_ms) >= assigned_at_ms + experiment.reward.window_ms


def _ask_ledger(questions: Questions, keys: Keyspace, seen: Seen, part: Batch) -> None:
    owner = seen.experiment_id
    decided, called = [row.number for row in part.decisions], [row.number for row in part.calls]
    reported = [row.number for row in part.feedback] if owner else []

    def take_identity(reply: Reply) -> None:
        seen.identity = reply

    questions.ask(take_identity, "HGET", keys.ledger(owner, "meta"), "store")
    questions.fields(keys.ledger(owner, "decisions"), decided, number_text, seen.decisions)
    questions.fields(keys.ledger(owner, "calls"), called + reported, number_text, seen.calls)
    _ask_tries(questions, keys, seen, part)
    if not owner:
        return
    others = [(row.number, other) for row in part.feedback if (other := other_side(row.unit, row.number))]
    numbers = called + reported + [other for _, other in others]
    questions.fields(keys.ledger(owner, "effects"), numbers, number_text, seen.effect_texts)
    units = [row.unit for row in _everything(part)] + [pair_unit(other, number) for number, other in others]
    questions.fields(keys.ledger(owner, "units"), units, bytes, seen.units)


def _ask_tries(questions: Questions, keys: Keyspace, seen: Seen, part: Batch) -> None:
    tries = [
        try_digest(row.number, metric, row.idempotency_key)
        for row in part.feedback
        if row.idempotency_key is not None
        for metric, _ in row.values
    ]

    def take(reply: Reply) -> None:
        seen.tries.update(zip(tries, map(bool, reply), strict=True))

    if tries:
        questions.ask(take, "SMISMEMBER", keys.ledger(seen.experiment_id, "tries"), *tries)


def _ask_state(questions: Questions, keys: Keyspace, seen: Seen, part: Batch, closed: ClosedEpochs) -> None:
    owner = seen.experiment_id

    def take(reply: Reply) -> None:
        seen.experiment = rows.experiment_row(owner, reply).definition if reply else None

    questions.ask(take, "HGET", keys.state("experiments"), str(owner))
    _ask_epochs(questions, keys, seen, {row.epoch for row in _everything(part)}, closed)


def _ask_epochs(
    questions: Questions, keys: Keyspace, seen: Seen, numbers: set[int], closed: ClosedEpochs
) -> None:
    owner = seen.experiment_id
    places = {(owner, number) for number in numbers} - seen.epochs.keys()
    seen.epochs.update({place: closed[place] for place in places if place in closed})
    wanted = sorted(places - seen.epochs.keys())

    def take(replies: Reply) -> None:
        for place, raw in zip(wanted, replies, strict=True):
            epoch = seen.epochs[place] = rows.epoch_row(owner, raw) if raw else None
            if epoch is not None and epoch.closed_at_ms is not None:
                _remember(closed, epoch)

    if wanted:
        questions.ask(take, "HMGET", keys.epochs(owner), *(number for _, number in wanted))


def _remember(closed: ClosedEpochs, epoch: Epoch) -> None:
    if len(closed) >= _MOST_EPOCHS:
        closed.clear()
    closed[epoch.experiment_id, epoch.number] = epoch
