"""State in SQLite: configuration, champions, experiments, epochs, reports and keys."""

import json
import sqlite3
from collections.abc import MutableMapping
from typing import Any

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from experiments.evidence.epochs import Epoch
from storage.records import AuditEntry, ConfigRow, ExperimentRow, KeyRow, RouteRow, State, StoredReport

Row = tuple[Any, ...]  # what SQLite returns; the schema gives the types
Definitions = MutableMapping[int, Experiment]


class SqliteDesk:
    """State inside one transaction; definitions of started experiments are frozen, so they are kept parsed."""

    def __init__(self, connection: sqlite3.Connection, definitions: Definitions) -> None:
        self._connection = connection
        self._definitions = definitions

    def version(self) -> int:
        """The state version."""
        return int(self._one("SELECT state_version FROM meta")[0])

    def state(self) -> State:
        """Everything a snapshot is built from."""
        newest = """
            SELECT * FROM epochs AS e
            WHERE number = (SELECT max(number) FROM epochs WHERE experiment_id = e.experiment_id)
            ORDER BY experiment_id
        """
        return State(
            version=self.version(),
            config=self.config(),
            routes=tuple(RouteRow(*row) for row in self._all("SELECT * FROM routes ORDER BY task")),
            experiments=tuple(
                self._experiment(row)
                for row in self._all("SELECT * FROM experiments ORDER BY created_at_ms, id")
            ),
            epochs=tuple(_epoch(row) for row in self._all(newest)),
            keys=tuple(_key(row) for row in self._all("SELECT * FROM api_keys ORDER BY id")),
        )

    def finish(self, audit: AuditEntry | None) -> int:
        """Write the audit entry and return the new state version."""
        if audit is not None:
            self._connection.execute(
                "INSERT INTO audit (at_ms, actor, action, subject, why, digest, forced) VALUES (?,?,?,?,?,?,?)",
                (
                    audit.at_ms,
                    audit.actor,
                    audit.action,
                    audit.subject,
                    audit.why,
                    audit.digest,
                    audit.forced,
                ),
            )
        self._connection.execute("UPDATE meta SET state_version = state_version + 1")
        return self.version()

    def audit(self, limit: int) -> list[AuditEntry]:
        """The newest entries first."""
        rows = self._all(
            "SELECT at_ms, actor, action, subject, why, digest, forced FROM audit ORDER BY entry DESC LIMIT ?",
            limit,
        )
        return [_entry(row) for row in rows]

    def config(self) -> ConfigRow | None:
        """The configuration in force."""
        row = self._one("SELECT body, version, applied_at_ms FROM config")
        return ConfigRow(*row) if row else None

    def put_config(self, row: ConfigRow) -> None:
        """Replace the configuration."""
        self._connection.execute(
            "INSERT OR REPLACE INTO config VALUES (1, ?, ?, ?)", (row.body, row.version, row.applied_at_ms)
        )

    def route(self, task: str) -> RouteRow | None:
        """The champion of one task."""
        row = self._one("SELECT * FROM routes WHERE task = ?", task)
        return RouteRow(*row) if row else None

    def put_route(self, row: RouteRow) -> None:
        """Write a champion."""
        self._connection.execute(
            "INSERT OR REPLACE INTO routes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.task,
                row.model,
                row.version,
                row.source,
                row.changed_at_ms,
                row.changed_by,
                row.previous,
                row.file_model,
            ),
        )

    def experiment(self, experiment_id: int) -> ExperimentRow | None:
        """One experiment by number."""
        row = self._one("SELECT * FROM experiments WHERE id = ?", experiment_id)
        return self._experiment(row) if row else None

    def named(self, name: str) -> ExperimentRow | None:
        """One experiment by name."""
        row = self._one("SELECT * FROM experiments WHERE name = ?", name)
        return self._experiment(row) if row else None

    def live(self, task: str) -> ExperimentRow | None:
        """The task's running or paused experiment."""
        row = self._one("SELECT * FROM experiments WHERE task = ? AND state IN ('running', 'paused')", task)
        return self._experiment(row) if row else None

    def put_experiment(self, row: ExperimentRow) -> None:
        """Write an experiment, new or replaced."""
        self._connection.execute(
            """
            INSERT INTO experiments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET
                definition = excluded.definition, state = excluded.state, version = excluded.version,
                task = excluded.task, salt = excluded.salt, started_at_ms = excluded.started_at_ms,
                ended_at_ms = excluded.ended_at_ms, dropped = excluded.dropped,
                predecessor = excluded.predecessor, ended_because = excluded.ended_because
            """,
            (
                row.id,
                row.name,
                row.definition.task,
                row.definition.model_dump_json(by_alias=True),
                row.state,
                row.version,
                row.salt,
                row.created_at_ms,
                row.started_at_ms,
                row.ended_at_ms,
                json.dumps(row.dropped),
                row.predecessor,
                row.ended_because,
            ),
        )

    def has_epoch(self, experiment_id: int, number: int) -> bool:
        """Whether this epoch is recorded."""
        return self.epoch(experiment_id, number) is not None

    def epoch(self, experiment_id: int, number: int) -> Epoch | None:
        """One epoch."""
        row = self._one("SELECT * FROM epochs WHERE experiment_id = ? AND number = ?", experiment_id, number)
        return _epoch(row) if row else None

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All epochs by rising number."""
        rows = self._all("SELECT * FROM epochs WHERE experiment_id = ? ORDER BY number", experiment_id)
        return [_epoch(row) for row in rows]

    def newest_epoch(self, experiment_id: int) -> Epoch | None:
        """The epoch with the greatest number."""
        row = self._one(
            "SELECT * FROM epochs WHERE experiment_id = ? ORDER BY number DESC LIMIT 1", experiment_id
        )
        return _epoch(row) if row else None

    def put_epoch(self, epoch: Epoch) -> None:
        """Write an epoch, new or now closed."""
        self._connection.execute(
            "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                epoch.experiment_id,
                epoch.number,
                epoch.opened_at_ms,
                json.dumps(epoch.shares),
                epoch.cost_series,
                epoch.price_version,
                epoch.closed_at_ms,
                epoch.model_series,
                epoch.model_version,
            ),
        )

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report, or the frozen one."""
        row = self._one(
            "SELECT body, rendered_at_ms, frozen FROM reports WHERE experiment_id = ?", experiment_id
        )
        return StoredReport(row[0], row[1], bool(row[2])) if row else None

    def put_report(self, experiment_id: int, report: StoredReport) -> None:
        """Replace the newest report."""
        self._connection.execute(
            "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?)",
            (experiment_id, report.body, report.rendered_at_ms, report.frozen),
        )

    def put_key(self, row: KeyRow) -> None:
        """Write a key by id."""
        self._connection.execute(
            "INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?, ?, ?)",
            (row.id, row.hash, json.dumps(row.scopes), row.created_at_ms, row.revoked_at_ms),
        )

    def definition(self, experiment_id: int) -> Experiment | None:
        """The experiment's definition, parsed once after its start."""
        kept = self._definitions.get(experiment_id)
        if kept is not None:
            return kept
        row = self.experiment(experiment_id)
        return row.definition if row else None

    def _experiment(self, row: Row) -> ExperimentRow:
        experiment_id, name, _, body, state, version, salt, *rest = row
        created_at_ms, started_at_ms, ended_at_ms, dropped, predecessor, because = rest
        definition = self._definitions.get(experiment_id) or Experiment.model_validate_json(body)
        if state != ExperimentState.DRAFT:
            self._definitions[experiment_id] = definition
        return ExperimentRow(
            experiment_id,
            name,
            definition,
            ExperimentState(state),
            version,
            salt,
            created_at_ms,
            started_at_ms,
            ended_at_ms,
            tuple(json.loads(dropped)),
            predecessor,
            because,
        )

    def _one(self, statement: str, *values: object) -> Row:
        """First row of a constant statement, or ()."""
        row: Row | None = self._connection.execute(statement, values).fetchone()
        return row or ()

    def _all(self, statement: str, *values: object) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()


def _entry(row: Row) -> AuditEntry:
    values: Row = (*row[:-1], bool(row[-1]))
    return AuditEntry(*values)


def _epoch(row: Row) -> Epoch:
    experiment_id, number, opened_at_ms, shares, *rest = row
    return Epoch(experiment_id, number, opened_at_ms, tuple(json.loads(shares)), *rest)


def _key(row: Row) -> KeyRow:
    key_id, digest, scopes, *times = row
    return KeyRow(key_id, digest, tuple(json.loads(scopes)), *times)
