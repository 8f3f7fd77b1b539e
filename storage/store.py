"""The Store protocol: one plain synchronous interface for SQLite, memory and Redis.

Each process uses a store only from its own reader and writer threads; a store may be called from
several threads at once. Every method is one transaction: it happens whole or raises a StoreError.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow
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


class Store(Protocol):
    """What every store does; the contract is the suite tests/storage/test_store_*.py."""

    # State: champions, experiments, epochs, configuration, keys

    def state_version(self) -> int:
        """A number that grows with each change of State; cheap enough to poll every half second."""

    def state(self) -> State:
        """Everything a snapshot is built from."""

    def experiment(self, name: str) -> ExperimentRow | None:
        """One experiment in any state."""

    def commit(
        self,
        changes: Sequence[Change],
        audit: AuditEntry | None = None,
        lease: Lease | None = None,
        now_ms: int = 0,
    ) -> int:
        """Make all changes and write the audit entry, or none; return the new state version.

        Raises StoreConflict where an expectation fails and LeaseLost where `lease` is given and is not
        the newest or is over at `now_ms`.
        """

    def audit(self, limit: int = 100) -> list[AuditEntry]:
        """The newest entries first."""

    # Ledger

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Make a batch durable and move unit rows and cells; replies in the order of `batch.feedback`."""

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """The first row of a sticky unit, or None if the unit is new."""

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All epochs by rising number, epoch 0 included."""

    def cells(self, experiment_id: int, since_epoch: int = 0) -> list[CellRow]:
        """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0 (degraded decisions)."""

    def recount(self, experiment_id: int) -> list[CellRow]:
        """The same cells recomputed from the unit rows (without latency and degraded counts)."""

    def traffic(self) -> list[TrafficCount]:
        """Decisions by task, experiment and reason."""

    def export(self, kind: str, experiment_id: int | None = None) -> Iterator[dict[str, object]]:
        """Rows of the ledger (`decisions`, `calls`, `feedback`, `units`) by rising decision number."""

    def story(self, experiment_id: int, number: int) -> Story | None:
        """All rows of one decision, or None if it is not recorded (yet)."""

    # Planner

    def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
        """Take or renew a lease; None while another holder's is valid. A new holder gets a greater token."""

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back early; nothing happens if it is no longer held."""

    def progress(self, experiment_id: int) -> str:
        """What the planner remembers between ticks, as JSON; "" at first."""

    def put_progress(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Remember it; fenced like `commit`."""

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report, or the frozen one of an ended experiment."""

    def put_report(self, experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        """Keep the newest report; fenced like `commit`. A frozen report stays."""

    # Processes

    def claim_worker(self, holder: str, now_ms: int, ttl_ms: int) -> int:
        """Take or renew a worker number in 0..63 of one's own; StoreUnavailable if none is free."""

    def take_allowance(self, name: str, period: int, wanted: float, most: float) -> float:
        """Take a slice of an allowance of `most` per period: `wanted`, or what is left of it.

        All slices of one period together never exceed the greatest `most` that was named for it.
        """

    def warnings(self) -> list[str]:
        """What about the store's set-up endangers acknowledged outcomes, a line each; empty if nothing does."""

    def close(self) -> None:
        """Finish; further calls raise StoreUnavailable."""
