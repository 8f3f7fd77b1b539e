"""The store in memory: for simulations, replay and tests; as fast as dicts, and gone with the process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow
from storage import join, leases
from storage.allowances import Allowance, given_out
from storage.commits import make
from storage.errors import StoreUnavailable
from storage.exported import export_kind
from storage.memory.desk import MemoryDesk, StateTables
from storage.memory.ledger import MemoryLedger
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
from storage.staging import Staging


class MemoryStore:
    """A `Store` of dicts behind one lock."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._closed = False
        self._state = StateTables()
        self._ledger = MemoryLedger(self._state)
        self._leases: dict[str, Lease] = {}
        self._workers: dict[int, leases.WorkerClaim] = {}
        self._progress: dict[int, str] = {}
        self._allowances: dict[str, Allowance] = {}

    def state_version(self) -> int:
        """A number that grows with each commit."""
        with self._open():
            return self._state.version

    def state(self) -> State:
        """Everything a snapshot is built from."""
        with self._open():
            return self._state.state()

    def experiment(self, name: str) -> ExperimentRow | None:
        """One experiment in any state."""
        with self._open():
            return self._state.named(name)

    def commit(
        self,
        changes: Sequence[Change],
        audit: AuditEntry | None = None,
        lease: Lease | None = None,
        now_ms: int = 0,
    ) -> int:
        """Make all changes and write the audit entry, or none; return the new state version."""
        with self._open():
            if lease is not None:
                leases.check(self._leases.get(lease.name), lease, now_ms)
            desk = MemoryDesk(self._state)
            make(desk, changes, now_ms)
            return desk.take_in(audit)

    def audit(self, limit: int = 100) -> list[AuditEntry]:
        """The newest entries first."""
        with self._open():
            return self._state.audit[::-1][:limit]

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Move unit rows and cells by a batch; replies in the order of `batch.feedback`."""
        with self._lock:
            self._check_open()
            staging = Staging(self._ledger, now_ms)
            replies = join.apply(staging, batch)
            self._ledger.take_in(staging)
            return replies

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """The first row of a sticky unit, or None if the unit is new."""
        with self._open():
            return self._ledger.assignment(experiment_id, unit)

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All epochs by rising number, epoch 0 included."""
        with self._open():
            return [epoch for _, epoch in sorted(self._state.epochs.get(experiment_id, {}).items())]

    def cells(self, experiment_id: int, since_epoch: int = 0) -> list[CellRow]:
        """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0 (degraded decisions)."""
        with self._open():
            return self._ledger.cells(experiment_id, since_epoch)

    def recount(self, experiment_id: int) -> list[CellRow]:
        """The same cells recomputed from the unit rows (without latency and degraded counts)."""
        with self._open():
            definition = self._ledger.definition(experiment_id)
            return recounted(self._ledger.units(experiment_id), definition) if definition else []

    def traffic(self) -> list[TrafficCount]:
        """Decisions by task, experiment and reason."""
        with self._open():
            return self._ledger.traffic()

    def export(self, kind: str, experiment_id: int | None = None) -> Iterator[dict[str, object]]:
        """Rows of one kind by rising decision number (units: by experiment and digest)."""
        with self._open():
            return self._ledger.exported(export_kind(kind), experiment_id)

    def story(self, experiment_id: int, number: int) -> Story | None:
        """All rows of one decision."""
        with self._open():
            return self._ledger.story(experiment_id, number)

    def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
        """Take or renew a lease; None while another holder's is valid."""
        with self._open():
            lease = leases.taken(self._leases.get(name), name, holder, now_ms, ttl_ms)
            if lease is not None:
                self._leases[name] = lease
            return lease

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back early; nothing happens if it is no longer held."""
        with self._open():
            released = leases.released(self._leases.get(lease.name), lease)
            if released is not None:
                self._leases[lease.name] = released

    def progress(self, experiment_id: int) -> str:
        """What the planner remembers between ticks, as JSON; "" at first."""
        with self._open():
            return self._progress.get(experiment_id, "")

    def put_progress(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Remember it, unless the lease is lost."""
        with self._open():
            leases.check(self._leases.get(lease.name), lease, now_ms)
            self._progress[experiment_id] = body

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report, or the frozen one of an ended experiment."""
        with self._open():
            return self._state.reports.get(experiment_id)

    def put_report(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Keep the newest report, unless the lease is lost. A frozen report stays."""
        with self._open():
            leases.check(self._leases.get(lease.name), lease, now_ms)
            stored = self._state.reports.get(experiment_id)
            if stored is None or not stored.frozen:
                self._state.reports[experiment_id] = StoredReport(body, now_ms)

    def claim_worker(self, holder: str, now_ms: int, ttl_ms: int) -> int:
        """Take or renew the lowest worker number that no other holder has."""
        with self._open():
            claim = leases.claimed(self._workers.values(), holder, now_ms, ttl_ms)
            self._workers[claim.number] = claim
            return claim.number

    def take_allowance(self, name: str, period: int, wanted: float, most: float) -> float:
        """Take a slice of what is left of an allowance."""
        with self._open():
            self._allowances[name], slice_ = given_out(self._allowances.get(name), period, wanted, most)
            return slice_

    def warnings(self) -> list[str]:
        """Nothing: a store in memory promises nothing beyond its process."""
        return []

    def close(self) -> None:
        """Finish; further calls raise StoreUnavailable."""
        with self._lock:
            self._closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            self._check_open()
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store was closed; open it anew")
