"""The store in one SQLite file: durable, shared by the threads and processes of one machine."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow
from storage import join, leases
from storage.allowances import Allowance, given_out
from storage.commits import make
from storage.exported import export_kind
from storage.records import (
    Assignment,
    AuditEntry,
    Batch,
    Change,
    ExperimentRow,
    FeedbackReply,
    Lease,
    State,
    StoredReport,
    Story,
    TrafficCount,
)
from storage.recount import recounted
from storage.sqlite import ledger as sqlite_ledger
from storage.sqlite.desk import SqliteDesk
from storage.sqlite.export import exported, story
from storage.sqlite.file import SqliteFile
from storage.sqlite.reads import SqliteReads
from storage.staging import Staging

PATIENCE_MS = 5_000
"""How long a call waits for locks of other threads and processes before it raises StoreUnavailable."""


class SqliteStore:
    """A `Store` on one local file; docs/ledger.md describes its tables."""

    def __init__(self, path: Path, patience_ms: int = PATIENCE_MS) -> None:
        self._file = SqliteFile(path, patience_ms)
        self._definitions: dict[int, Experiment] = {}

    def state_version(self) -> int:
        """A number that grows with each commit."""
        with self._file.reading() as connection:
            return self._desk(connection).version()

    def state(self) -> State:
        """Everything a snapshot is built from."""
        with self._file.reading() as connection:
            return self._desk(connection).state()

    def experiment(self, name: str) -> ExperimentRow | None:
        """One experiment in any state."""
        with self._file.reading() as connection:
            return self._desk(connection).named(name)

    def commit(
        self,
        changes: Sequence[Change],
        audit: AuditEntry | None = None,
        lease: Lease | None = None,
        now_ms: int = 0,
    ) -> int:
        """Make all changes and write the audit entry, or none; return the new state version."""
        with self._file.writing() as connection:
            if lease is not None:
                leases.check(_lease(connection, lease.name), lease, now_ms)
            desk = SqliteDesk(connection, dict(self._definitions))  # what it parses may yet be rolled back
            make(desk, changes, now_ms)
            return desk.finish(audit)

    def audit(self, limit: int = 100) -> list[AuditEntry]:
        """The newest entries first."""
        with self._file.reading() as connection:
            return self._desk(connection).audit(limit)

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Make a batch durable and move unit rows and cells; replies in the order of `batch.feedback`."""
        with self._file.writing() as connection:
            staging = Staging(SqliteReads(connection, self._desk(connection)), now_ms)
            replies = join.apply(staging, batch)
            sqlite_ledger.write(connection, staging)
        return replies

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """The first row of a sticky unit, or None if the unit is new."""
        with self._file.reading() as connection:
            return sqlite_ledger.assignment(connection, experiment_id, unit)

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All epochs by rising number, epoch 0 included."""
        with self._file.reading() as connection:
            return self._desk(connection).epochs(experiment_id)

    def cells(self, experiment_id: int, since_epoch: int = 0) -> list[CellRow]:
        """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0 (degraded decisions)."""
        with self._file.reading() as connection:
            return sqlite_ledger.cells(connection, experiment_id, since_epoch)

    def recount(self, experiment_id: int) -> list[CellRow]:
        """The same cells recomputed from the unit rows (without latency and degraded counts)."""
        with self._file.reading() as connection:
            definition = self._desk(connection).definition(experiment_id)
            return recounted(sqlite_ledger.units(connection, experiment_id), definition) if definition else []

    def traffic(self) -> list[TrafficCount]:
        """Decisions by task, experiment and reason."""
        with self._file.reading() as connection:
            return sqlite_ledger.traffic(connection)

    def export(self, kind: str, experiment_id: int | None = None) -> Iterator[dict[str, object]]:
        """Rows of one kind by rising decision number (units: by experiment and digest)."""
        return exported(self._file.reading, export_kind(kind), experiment_id)

    def story(self, experiment_id: int, number: int) -> Story | None:
        """All rows of one decision."""
        with self._file.reading() as connection:
            return story(connection, experiment_id, number)

    def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
        """Take or renew a lease; None while another holder's is valid."""
        with self._file.writing() as connection:
            lease = leases.taken(_lease(connection, name), name, holder, now_ms, ttl_ms)
            if lease is not None:
                _put_lease(connection, lease)
            return lease

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back early; nothing happens if it is no longer held."""
        with self._file.writing() as connection:
            released = leases.released(_lease(connection, lease.name), lease)
            if released is not None:
                _put_lease(connection, released)

    def progress(self, experiment_id: int) -> str:
        """What the planner remembers between ticks, as JSON; "" at first."""
        with self._file.reading() as connection:
            select = "SELECT body FROM progress WHERE experiment_id = ?"
            row = connection.execute(select, (experiment_id,)).fetchone()
            return str(row[0]) if row else ""

    def put_progress(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Remember it, unless the lease is lost."""
        with self._file.writing() as connection:
            leases.check(_lease(connection, lease.name), lease, now_ms)
            connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (experiment_id, body))

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report, or the frozen one of an ended experiment."""
        with self._file.reading() as connection:
            return self._desk(connection).report(experiment_id)

    def put_report(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Keep the newest report, unless the lease is lost. A frozen report stays."""
        with self._file.writing() as connection:
            leases.check(_lease(connection, lease.name), lease, now_ms)
            desk = self._desk(connection)
            stored = desk.report(experiment_id)
            if stored is None or not stored.frozen:
                desk.put_report(experiment_id, StoredReport(body, now_ms))

    def claim_worker(self, holder: str, now_ms: int, ttl_ms: int) -> int:
        """Take or renew the lowest worker number that no other holder has."""
        with self._file.writing() as connection:
            rows = connection.execute("SELECT number, holder, expires_at_ms FROM workers").fetchall()
            claim = leases.claimed((leases.WorkerClaim(*row) for row in rows), holder, now_ms, ttl_ms)
            connection.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?)", claim)
            return claim.number

    def take_allowance(self, name: str, period: int, wanted: float, most: float) -> float:
        """Take a slice of what is left of an allowance."""
        with self._file.writing() as connection:
            row = connection.execute(
                "SELECT period, given FROM allowances WHERE name = ?", (name,)
            ).fetchone()
            after, slice_ = given_out(Allowance(*row) if row else None, period, wanted, most)
            connection.execute("INSERT OR REPLACE INTO allowances VALUES (?, ?, ?)", (name, *after))
            return slice_

    def warnings(self) -> list[str]:
        """Nothing: SQLite syncs every commit (WAL, synchronous=FULL)."""
        return []

    def close(self) -> None:
        """Finish; further calls raise StoreUnavailable."""
        self._file.close()

    def _desk(self, connection: sqlite3.Connection) -> SqliteDesk:
        return SqliteDesk(connection, self._definitions)


def _lease(connection: sqlite3.Connection, name: str) -> Lease | None:
    row = connection.execute("SELECT * FROM leases WHERE name = ?", (name,)).fetchone()
    return Lease(*row) if row else None


def _put_lease(connection: sqlite3.Connection, lease: Lease) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
        (lease.name, lease.holder, lease.token, lease.expires_at_ms),
    )
