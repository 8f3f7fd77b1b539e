"""The ledger in memory: appended rows, effects, unit rows and cells."""

from collections.abc import Iterable, Iterator

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow, UnitRow
from storage.exported import ExportKind, Fields, call_fields, decision_fields, feedback_fields, unit_fields
from storage.memory.desk import StateTables
from storage.memory.packed import Decisions, Log, Units
from storage.records import Assignment, CallRow, CellDelta, Effect, Story, TrafficCount
from storage.recount import cell_row, merge
from storage.staging import Staging


class MemoryLedger:
    """Dicts by decision number and by experiment; answers the `Reads` of a transaction."""

    def __init__(self, state: StateTables) -> None:
        self._state = state
        self._decisions = Decisions()
        self._calls: dict[int, tuple[CallRow, bool]] = {}
        self._logged = Log()
        self._effects: dict[str, dict[int, tuple[float, int, str]]] = {}
        """By metric, which are few, then by decision number: a dict for each decision would be most of the memory."""
        self._keys: set[tuple[int, str, str]] = set()
        self._without_effect: set[tuple[int, str, float]] = set()
        self._units: dict[int, Units] = {}
        self._cells: dict[int, dict[tuple[int, int], CellDelta]] = {}
        self._traffic: dict[tuple[str, int, str], int] = {}

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, or None if there is no such experiment."""
        row = self._state.experiments.get(experiment_id)
        return row.definition if row else None

    def epoch(self, experiment_id: int, number: int) -> Epoch | None:
        """One epoch."""
        epochs = self._state.epochs.get(experiment_id)
        return epochs.get(number) if epochs else None

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row."""
        units = self._units.get(experiment_id)
        return units.get(unit) if units else None

    def has_decision(self, number: int) -> bool:
        """Whether this decision is recorded."""
        return number in self._decisions

    def has_call(self, number: int) -> bool:
        """Whether a call is recorded for this decision."""
        return number in self._calls

    def counted_call(self, number: int) -> CallRow | None:
        """The call of a decision, if its unit row took it in."""
        found = self._calls.get(number)
        return found[0] if found and found[1] else None

    def effects(self, number: int) -> dict[str, Effect]:
        """The values that count for a decision, by metric."""
        return {metric: Effect(*kept[number]) for metric, kept in self._effects.items() if number in kept}

    def seen_key(self, number: int, metric: str, idempotency_key: str) -> bool:
        """Whether this key was received for (decision, metric) before."""
        return (number, metric, idempotency_key) in self._keys

    def seen_value(self, number: int, metric: str, value: float) -> bool:
        """Whether this value was received for (decision, metric) before and kept without an effect."""
        return (number, metric, value) in self._without_effect

    def take_in(self, staging: Staging) -> None:
        """Write a finished transaction; nothing here can fail half-way."""
        for decision in staging.decisions.values():
            self._decisions.append(decision)
        self._calls.update(staging.calls)
        for entry in staging.logged:
            self._logged.append(entry)
        self._keys.update(staging.fresh_keys)
        self._without_effect.update(staging.fresh_values)
        for (number, metric), effect in staging.changed_effects.items():
            kept = (effect.value, effect.order_at_ms, effect.digest)
            self._effects.setdefault(metric, {})[number] = kept
        for row in staging.changed_units.values():
            self._units_of(row.experiment_id).put(row)
        for (experiment_id, epoch, arm), delta in staging.deltas.items():
            self._add_cell(self._cells.setdefault(experiment_id, {}), (epoch, arm), delta)
        for key, decisions in staging.traffic.items():
            self._traffic[key] = self._traffic.get(key, 0) + decisions

    def _units_of(self, experiment_id: int) -> Units:
        units = self._units.get(experiment_id)
        if units is None:
            units = self._units[experiment_id] = Units(experiment_id)
        return units

    def _add_cell(
        self, cells: dict[tuple[int, int], CellDelta], key: tuple[int, int], delta: CellDelta
    ) -> None:
        """Add to a cell; a new one is the delta itself, which its transaction needs no more."""
        cell = cells.get(key)
        if cell is None:
            cells[key] = delta
        else:
            merge(cell, delta)

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """The first row of a sticky unit with the share in force then."""
        row = self.unit(experiment_id, unit)
        epoch = self.epoch(experiment_id, row.epoch) if row else None
        return Assignment(row.epoch, row.arm, epoch.shares[row.arm]) if row and epoch else None

    def units(self, experiment_id: int) -> Iterable[UnitRow]:
        """All unit rows of an experiment."""
        return self._units.get(experiment_id, ())

    def cells(self, experiment_id: int, since_epoch: int) -> list[CellRow]:
        """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0."""
        kept = self._cells.get(experiment_id, {})
        return [cell_row(*key, kept[key]) for key in sorted(kept) if key[0] >= since_epoch or key[0] == 0]

    def traffic(self) -> list[TrafficCount]:
        """Decisions by task, experiment and reason."""
        return [TrafficCount(*key, decisions) for key, decisions in sorted(self._traffic.items())]

    def story(self, experiment_id: int, number: int) -> Story | None:
        """All rows of one decision; the log is searched, as nobody asks a store in memory often."""
        kinds: tuple[ExportKind, ...] = ("decisions", "calls", "feedback")
        rows = [
            [row for row in self.exported(kind, experiment_id) if row["number"] == number] for kind in kinds
        ]
        decisions, calls, feedback = rows
        return Story(decisions[0], calls[0] if calls else None, tuple(feedback)) if decisions else None

    def exported(self, kind: ExportKind, experiment_id: int | None) -> Iterator[Fields]:
        """Rows of one kind, for the experiment if one is named."""
        rows = self._fields(kind)
        return (
            rows if experiment_id is None else (row for row in rows if row["experiment_id"] == experiment_id)
        )

    def _fields(self, kind: ExportKind) -> Iterator[Fields]:
        match kind:
            case "decisions":
                return (decision_fields(row) for row in sorted(self._decisions, key=lambda row: row.number))
            case "calls":
                return (call_fields(row, counted) for _, (row, counted) in sorted(self._calls.items()))
            case "feedback":
                return (
                    feedback_fields(entry)
                    for entry in sorted(self._logged, key=lambda entry: entry.row.number)
                )
            case "units":
                units = [row for owned in self._units.values() for row in owned]
                return (
                    unit_fields(row) for row in sorted(units, key=lambda row: (row.experiment_id, row.unit))
                )
