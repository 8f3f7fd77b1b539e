"""Point look-ups in the SQLite ledger while a batch is applied."""

import json
import sqlite3
from typing import Literal

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import UnitRow
from storage.records import CallRow, DecisionRow, Effect
from storage.sqlite.desk import Row, SqliteDesk


class SqliteReads:
    """The `Reads` of one transaction: each look-up is one indexed read in pages that are mostly cached."""

    def __init__(self, connection: sqlite3.Connection, desk: SqliteDesk) -> None:
        self._execute = connection.execute
        self._desk = desk
        self._newest: dict[str, int] = {}
        """Highest number in a table when the transaction first asked; what it writes itself it knows already."""
        self._last_units: dict[int, bytes] = {}

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, or None if there is no such experiment."""
        return self._desk.definition(experiment_id)

    def epoch(self, experiment_id: int, number: int) -> Epoch | None:
        """One epoch."""
        return self._desk.epoch(experiment_id, number)

    def unit(self, experiment_id: int, unit: bytes) -> UnitRow | None:
        """One unit row; requests that are units of their own rise with their numbers, so a new one is seen at once."""
        if unit > self._last_unit(experiment_id):
            return None
        statement = "SELECT * FROM units WHERE experiment_id = ? AND unit = ?"
        row = self._execute(statement, (experiment_id, unit)).fetchone()
        return unit_row(row) if row else None

    def has_decision(self, number: int) -> bool:
        """Whether this decision is recorded; numbers rise, so most are seen to be new without a look-up."""
        if number > self._highest("decisions"):
            return False
        return self._execute("SELECT 1 FROM decisions WHERE number = ?", (number,)).fetchone() is not None

    def has_call(self, number: int) -> bool:
        """Whether a call is recorded for this decision."""
        if number > self._highest("calls"):
            return False
        return self._execute("SELECT 1 FROM calls WHERE number = ?", (number,)).fetchone() is not None

    def counted_call(self, number: int) -> CallRow | None:
        """The call of a decision, if its unit row took it in."""
        row = self._execute("SELECT * FROM calls WHERE number = ? AND counted", (number,)).fetchone()
        return call_row(row) if row else None

    def effects(self, number: int) -> dict[str, Effect]:
        """The values that count for a decision, by metric; before any feedback there are none to look for."""
        if number > self._highest("effects"):
            return {}
        statement = "SELECT metric, value, order_at_ms, digest FROM effects WHERE number = ?"
        return {row[0]: Effect(row[1], row[2], row[3]) for row in self._execute(statement, (number,))}

    def seen_key(self, number: int, metric: str, idempotency_key: str) -> bool:
        """Whether this key was received for (decision, metric) before."""
        statement = "SELECT 1 FROM feedback WHERE number = ? AND metric = ? AND idempotency_key = ?"
        return self._execute(statement, (number, metric, idempotency_key)).fetchone() is not None

    def seen_value(self, number: int, metric: str, value: float) -> bool:
        """Whether this value was received for (decision, metric) before and kept without an effect."""
        statement = """
            SELECT 1 FROM feedback WHERE number = ? AND metric = ? AND value = ?
            AND state IN ('accepted', 'late', 'unknown')
        """
        return self._execute(statement, (number, metric, value)).fetchone() is not None

    def _highest(self, table: Literal["decisions", "calls", "effects"]) -> int:
        """The highest number that stands in a table, -1 for none."""
        found = self._newest.get(table)
        if found is None:
            select = f"SELECT coalesce(max(number), -1) FROM {table}"  # noqa: S608  # one of three words
            found = self._newest[table] = self._execute(select).fetchone()[0]
        return found

    def _last_unit(self, experiment_id: int) -> bytes:
        """The last unit of an experiment in the order of the primary key."""
        found = self._last_units.get(experiment_id)
        if found is None:
            select = "SELECT coalesce(max(unit), x'') FROM units WHERE experiment_id = ?"
            found = self._last_units[experiment_id] = self._execute(select, (experiment_id,)).fetchone()[0]
        return found


def decision_row(row: Row) -> DecisionRow:
    """A row of `decisions`."""
    *rest, degraded, covariate, found, predicted = row
    values: Row = (*rest, bool(degraded), covariate, found, predicted)
    return DecisionRow(*values)


def call_row(row: Row) -> CallRow:
    """A row of `calls`, without `counted`."""
    number, experiment_id, epoch, arm, unit, served, diverted, error, cost_usd, estimated, *rest, _ = row
    return CallRow(
        number,
        experiment_id,
        epoch,
        arm,
        unit,
        served,
        bool(diverted),
        error,
        cost_usd,
        bool(estimated),
        *rest,
    )


def unit_row(row: Row) -> UnitRow:
    """A row of `units`."""
    if row[-1] == "{}":
        return UnitRow(*row[:-1])
    metrics = {name: (reports, total) for name, (reports, total) in json.loads(row[-1]).items()}
    values: Row = (*row[:-1], metrics)
    return UnitRow(*values)
