"""A ledger transaction in the making: what it has read, and what it will write at its end.

Every store reads through point look-ups and writes once, so a transaction that fails half-way leaves
nothing behind, and a row that a batch touches ten times is read and written once.
"""

from collections.abc import Iterable
from typing import Protocol

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.record import record
from experiments.evidence.units import UnitRow
from storage.records import CallRow, CellDelta, DecisionRow, Effect, FeedbackRow, FeedbackState

WITHOUT_EFFECT = frozenset({FeedbackState.ACCEPTED, FeedbackState.LATE, FeedbackState.UNKNOWN})
"""States of values that are kept and count nowhere."""

CellKey = tuple[int, int, int]
"""Experiment, epoch, arm."""


@record(frozen=True, slots=True)
class LogEntry:
    """One received value and what became of it."""

    row: FeedbackRow
    metric: str
    value: float
    state: FeedbackState


class Reads(Protocol):
    """Point look-ups in the stored ledger, within one transaction."""

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, or None if there is no such experiment."""

    def epoch(self, experiment_id: int, number: int) -> Epoch | None:
        """One epoch."""

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row."""

    def has_decision(self, number: int) -> bool:
        """Whether this decision is recorded."""

    def has_call(self, number: int) -> bool:
        """Whether a call is recorded for this decision."""

    def counted_call(self, number: int) -> CallRow | None:
        """The call of a decision, if its unit row took it in."""

    def effects(self, number: int) -> dict[str, Effect]:
        """The values that count for a decision, by metric, in a dict of the caller's own."""

    def seen_key(self, number: int, metric: str, idempotency_key: str) -> bool:
        """Whether this key was received for (decision, metric) before."""

    def seen_value(self, number: int, metric: str, value: float) -> bool:
        """Whether this value was received for (decision, metric) before and kept without an effect."""


class Staging:
    """The `Book` of every store: reads fall through to the store, writes stay here until it takes them."""

    __slots__ = (
        "_counted",
        "_definitions",
        "_effects",
        "_final",
        "_reads",
        "_units",
        "calls",
        "changed_effects",
        "changed_units",
        "decisions",
        "deltas",
        "fresh_keys",
        "fresh_values",
        "logged",
        "now_ms",
        "traffic",
    )

    def __init__(self, reads: Reads, now_ms: int) -> None:
        self.now_ms = now_ms
        self.decisions: dict[int, DecisionRow] = {}
        self.calls: dict[int, tuple[CallRow, bool]] = {}
        """Call and whether its unit row took it in."""
        self.changed_units: dict[tuple[int, bytes], UnitRow] = {}
        self.changed_effects: dict[tuple[int, str], Effect] = {}
        self.logged: list[LogEntry] = []
        self.fresh_keys: set[tuple[int, str, str]] = set()
        """Idempotency keys of `logged`, by decision and metric."""
        self.fresh_values: set[tuple[int, str, float]] = set()
        """Values of `logged` that were kept without an effect, by decision and metric."""
        self.deltas: dict[CellKey, CellDelta] = {}
        self.traffic: dict[tuple[str, int, str], int] = {}
        self._reads = reads
        self._definitions: dict[int, Experiment | None] = {}
        self._final: dict[tuple[int, int], bool] = {}
        self._units: dict[tuple[int, bytes], UnitRow | None] = {}
        """As the store holds them."""
        self._counted: dict[int, CallRow | None] = {}
        self._effects: dict[int, dict[str, Effect]] = {}

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, read once per transaction; there is no experiment 0."""
        found = self._definitions.get(experiment_id)
        if found is None and experiment_id and experiment_id not in self._definitions:
            found = self._definitions[experiment_id] = self._reads.definition(experiment_id)
        return found

    def final(self, experiment_id: int, epoch: int, window_ms: int) -> bool:
        """Whether the epoch's cells are final, found out once per transaction."""
        key = (experiment_id, epoch)
        final = self._final.get(key)
        if final is None:
            found = self._reads.epoch(experiment_id, epoch)
            final = self._final[key] = found is None or found.mature(window_ms, self.now_ms)
        return final

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row as this transaction sees it."""
        key = (experiment_id, unit)
        changed = self.changed_units.get(key)
        return self._stored_unit(key) if changed is None else changed

    def put_unit(self, row: UnitRow) -> None:
        """Write a unit row, new or replaced."""
        self.changed_units[row.experiment_id, row.unit] = row

    def unit_changes(self) -> Iterable[tuple[UnitRow | None, UnitRow]]:
        """Every written unit row with the one that the store holds, None for a new unit."""
        return ((self._stored_unit(key), row) for key, row in self.changed_units.items())

    def _stored_unit(self, key: tuple[int, bytes]) -> UnitRow | None:
        if key in self._units:
            return self._units[key]
        stored = self._units[key] = self._reads.unit(*key)
        return stored

    def insert_decision(self, row: DecisionRow) -> bool:
        """Append a decision and count it by task and reason; False if its number is there already."""
        if row.number in self.decisions or self._reads.has_decision(row.number):
            return False
        self.decisions[row.number] = row
        key = (row.task, row.experiment_id, row.reason)
        self.traffic[key] = self.traffic.get(key, 0) + 1
        return True

    def insert_call(self, row: CallRow, counted: bool) -> bool:
        """Append a call, saying whether its unit row took it in; False if its number is there already."""
        if row.number in self.calls or self._reads.has_call(row.number):
            return False
        self.calls[row.number] = (row, counted)
        self._counted[row.number] = row if counted else None
        return True

    def call(self, number: int) -> CallRow | None:
        """The call of a decision, if its unit row took it in."""
        if number not in self._counted:
            self._counted[number] = self._reads.counted_call(number)
        return self._counted[number]

    def effects(self, number: int) -> dict[str, Effect]:
        """The values that count for a decision, by metric."""
        found = self._effects.get(number)
        if found is None:
            found = self._effects[number] = self._reads.effects(number)
        return found

    def put_effect(self, row: FeedbackRow, metric: str, effect: Effect) -> None:
        """Let this value count for (decision, metric) in place of any other."""
        self.effects(row.number)[metric] = self.changed_effects[row.number, metric] = effect

    def log(self, row: FeedbackRow, metric: str, value: float, state: FeedbackState) -> None:
        """Append to the record of everything received."""
        self.logged.append(LogEntry(row, metric, value, state))
        if row.idempotency_key is not None:
            self.fresh_keys.add((row.number, metric, row.idempotency_key))
        if state in WITHOUT_EFFECT:
            self.fresh_values.add((row.number, metric, value))

    def seen_key(self, number: int, metric: str, idempotency_key: str) -> bool:
        """Whether this key was received for (decision, metric) before, in this transaction or an earlier one."""
        key = (number, metric, idempotency_key)
        return key in self.fresh_keys or self._reads.seen_key(number, metric, idempotency_key)

    def seen_value(self, number: int, metric: str, value: float) -> bool:
        """Whether this value was kept without an effect before, in this transaction or an earlier one."""
        key = (number, metric, value)
        return key in self.fresh_values or self._reads.seen_value(number, metric, value)

    def delta(self, experiment_id: int, epoch: int, arm: int) -> CellDelta:
        """The change collected for one cell in this transaction."""
        key = (experiment_id, epoch, arm)
        if key not in self.deltas:
            self.deltas[key] = CellDelta()
        return self.deltas[key]
