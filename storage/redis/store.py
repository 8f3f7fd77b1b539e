"""The store on a Redis server: one state and one ledger for the processes of several machines."""

from collections.abc import Iterator, Sequence

from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow
from storage import leases
from storage.allowances import given_out
from storage.commits import make
from storage.exported import export_kind
from storage.memory.desk import MemoryDesk
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
from storage.redis import rows
from storage.redis.address import parse_address
from storage.redis.client import RedisServer
from storage.redis.desk import Cell, copied, difference, look, persistently, swap
from storage.redis.export import exported, story
from storage.redis.health import warnings_of
from storage.redis.keys import StateName
from storage.redis.ledger import RedisLedger


class RedisStore:
    """A `Store` under one prefix of a Redis server; docs/keyspace.md describes its keys."""

    def __init__(self, url: str) -> None:
        """Connect to `url`: redis://, rediss:// or unix://, with `?prefix=` for a store beside others."""
        self._server = RedisServer(parse_address(url))
        self._ledger = RedisLedger(self._server)

    def warnings(self) -> list[str]:
        """What about this server endangers acknowledged outcomes, one line each; empty if nothing does."""
        return warnings_of(self._server.call("INFO"))

    def state_version(self) -> int:
        """A number that grows with each commit."""
        key = self._server.keys.state("meta")
        identity, version = self._server.look_up("HMGET", key, "store", "version")
        self._server.check(identity)
        return int(version)

    def state(self) -> State:
        """Everything a snapshot is built from."""
        return look(self._server, keys=True).tables.state()

    def experiment(self, name: str) -> ExperimentRow | None:
        """One experiment in any state."""
        (found,) = self._server.read(("HGETALL", self._key("experiments")))
        named = ((number, raw) for number, raw in found.items() if rows.experiment_name(raw) == name)
        return next((rows.experiment_row(int(number), raw) for number, raw in named), None)

    def commit(
        self,
        changes: Sequence[Change],
        audit: AuditEntry | None = None,
        lease: Lease | None = None,
        now_ms: int = 0,
    ) -> int:
        """Make all changes and write the audit entry, or none; return the new state version.

        StoreUnavailable may leave open whether a commit took place; look at the state before another try.
        """

        def attempt() -> int:
            seen = look(self._server, changes, lease.name if lease else None)
            if lease is not None:
                leases.check(rows.lease_row(lease.name, seen.lease), lease, now_ms)
            after = copied(seen.tables)
            desk = MemoryDesk(after)
            make(desk, changes, now_ms)
            desk.take_in(None)
            held = [Cell(self._key("leases"), lease.name, seen.lease)] if lease else []
            held += [Cell(self._key("reports"), str(number), raw) for number, raw in seen.reports.items()]
            writes = difference(self._server, seen.tables, after)
            return swap(
                self._server, held, writes, seen.tables.version, rows.audit_text(audit) if audit else ""
            )

        return persistently(self._server, attempt)

    def audit(self, limit: int = 100) -> list[AuditEntry]:
        """The newest entries first."""
        if limit < 1:
            return []
        (found,) = self._server.read(("LRANGE", self._key("audit"), 0, limit - 1))
        return [rows.audit_row(raw) for raw in found]

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Make a batch as durable as the server is, and move unit rows and cells."""
        return self._ledger.record(batch, now_ms)

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """The first row of a sticky unit, or None if the unit is new."""
        return self._ledger.assignment(experiment_id, unit)

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All epochs by rising number, epoch 0 included."""
        return self._ledger.epochs(experiment_id)

    def cells(self, experiment_id: int, since_epoch: int = 0) -> list[CellRow]:
        """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0 (degraded decisions)."""
        return self._ledger.cells(experiment_id, since_epoch)

    def recount(self, experiment_id: int) -> list[CellRow]:
        """The same cells recomputed from the unit rows (without latency and degraded counts)."""
        return self._ledger.recount(experiment_id)

    def traffic(self) -> list[TrafficCount]:
        """Decisions by task, experiment and reason."""
        return self._ledger.traffic()

    def export(self, kind: str, experiment_id: int | None = None) -> Iterator[dict[str, object]]:
        """Rows of one kind by rising decision number (units: by experiment and digest)."""
        return exported(self._server, self._ledger, export_kind(kind), experiment_id)

    def story(self, experiment_id: int, number: int) -> Story | None:
        """All rows of one decision."""
        return story(self._server, experiment_id, number)

    def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
        """Take or renew a lease; None while another holder's is valid."""

        def attempt() -> Lease | None:
            raw = self._value("leases", name)
            lease = leases.taken(rows.lease_row(name, raw), name, holder, now_ms, ttl_ms)
            if lease is not None:
                self._swap("leases", name, raw, rows.lease_text(lease))
            return lease

        return persistently(self._server, attempt)

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back early; nothing happens if it is no longer held."""

        def attempt() -> None:
            raw = self._value("leases", lease.name)
            released = leases.released(rows.lease_row(lease.name, raw), lease)
            if released is not None:
                self._swap("leases", lease.name, raw, rows.lease_text(released))

        persistently(self._server, attempt)

    def progress(self, experiment_id: int) -> str:
        """What the planner remembers between ticks, as JSON; "" at first."""
        return (self._value("progress", str(experiment_id)) or b"").decode()

    def put_progress(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Remember it, unless the lease is lost."""

        def attempt() -> None:
            held = self._held(lease, now_ms)
            swap(self._server, [held], [Cell(self._key("progress"), str(experiment_id), body)])

        persistently(self._server, attempt)

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report, or the frozen one of an ended experiment."""
        raw = self._value("reports", str(experiment_id))
        return rows.report_row(raw) if raw else None

    def put_report(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Keep the newest report, unless the lease is lost. A frozen report stays."""

        def attempt() -> None:
            held = self._held(lease, now_ms)
            stored = Cell(
                self._key("reports"), str(experiment_id), self._value("reports", str(experiment_id))
            )
            if isinstance(stored.value, bytes) and rows.report_row(stored.value).frozen:
                return
            fresh = rows.report_text(StoredReport(body, now_ms))
            swap(self._server, [held, stored], [stored._replace(value=fresh)])

        persistently(self._server, attempt)

    def claim_worker(self, holder: str, now_ms: int, ttl_ms: int) -> int:
        """Take or renew the lowest worker number that no other holder has."""

        def attempt() -> int:
            (found,) = self._server.read(("HGETALL", self._key("workers")))
            claims = (rows.claim_row(number, raw) for number, raw in found.items())
            claim = leases.claimed(claims, holder, now_ms, ttl_ms)
            field = str(claim.number)
            self._swap("workers", field, found.get(field.encode()), rows.claim_text(claim))
            return claim.number

        return persistently(self._server, attempt)

    def take_allowance(self, name: str, period: int, wanted: float, most: float) -> float:
        """Take a slice of what is left of an allowance."""

        def attempt() -> float:
            raw = self._value("allowances", name)
            after, slice_ = given_out(rows.allowance_row(raw) if raw else None, period, wanted, most)
            self._swap("allowances", name, raw, rows.allowance_text(after))
            return slice_

        return persistently(self._server, attempt)

    def close(self) -> None:
        """Finish; further calls raise StoreUnavailable."""
        self._server.close()

    def _key(self, name: StateName) -> str:
        return self._server.keys.state(name)

    def _value(self, name: StateName, field: str) -> bytes | None:
        (raw,) = self._server.read(("HGET", self._key(name), field))
        return bytes(raw) if raw is not None else None

    def _swap(self, name: StateName, field: str, seen: bytes | None, fresh: str) -> None:
        key = self._key(name)
        swap(self._server, [Cell(key, field, seen)], [Cell(key, field, fresh)])

    def _held(self, lease: Lease, now_ms: int) -> Cell:
        """The lease as it is stored, to be still so at the write; raises LeaseLost if it is another's."""
        raw = self._value("leases", lease.name)
        leases.check(rows.lease_row(lease.name, raw), lease, now_ms)
        return Cell(self._key("leases"), lease.name, raw)
