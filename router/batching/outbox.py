"""The outbox: rows reach the ledger only after the spool has them, and again until the ledger says so.

The ledger takes each decision and each call once, by its number. So a crash at any moment neither loses a row nor
makes one of a decision that no line remembers.
"""

from collections.abc import Sequence

from router.batching.kept import load_call, load_decision
from router.clock import Clock
from router.recording.recorder import Recorder
from storage.records import CallRow, DecisionRow
from storage.spool.rows import Owed
from storage.spool.workbench import Workbench
from storage.store import Store

GROUP = 500


class OutboxRecorder(Recorder):
    """A recorder that queues nothing by itself: what is decided and what came back is kept in the spool first."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)

    def decided(self, row: DecisionRow) -> None:
        """Nothing yet."""

    def finished(self, row: CallRow) -> None:
        """Nothing yet."""

    def deliver(self, owed: Sequence[Owed]) -> None:
        """Commit these rows; raises StoreDown if the ledger does not take them."""
        for each in owed:
            if each.decision:
                super().decided(load_decision(each.decision).row())
            if each.call:
                super().finished(load_call(each.call))
        self.flush()


def deliver(bench: Workbench, recorder: OutboxRecorder) -> int:
    """Give the ledger what it is owed; how many lines that was. Raises StoreDown, StoreError."""
    delivered = 0
    while owed := bench.owed(GROUP):
        recorder.deliver(owed)
        bench.paid(owed)
        delivered += len(owed)
    return delivered
