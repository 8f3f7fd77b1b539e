"""The recorder without a thread: feedback commits in the caller's thread, with the decisions before it.

For a store in memory that nobody else writes to, where a hand-over between threads costs more than the commit and
a simulation must give the same rows on every run.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock

from router.clock import Clock
from router.errors import StoreDown
from storage.errors import StoreError
from storage.records import Batch, CallRow, DecisionRow, FeedbackReply, FeedbackRow
from storage.store import Store

GROUP_ROWS = 500
_MOST_KEPT = 200_000
"""Rows kept while the store does not take them, as `router.recording.recorder` keeps them."""


class DirectRecorder:
    """What `Recorder` does, in the thread that asks for it; safe for several threads."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._decisions: list[DecisionRow] = []
        self._calls: list[CallRow] = []
        self._lock = Lock()
        self._closed = False
        self.lost = 0
        """Decision and call rows dropped because the store was away for too long."""

    def decided(self, row: DecisionRow) -> None:
        """Keep a decision until the next commit."""
        self._decisions.append(row)
        if len(self._decisions) >= GROUP_ROWS:
            self._try_commit()

    def finished(self, row: CallRow) -> None:
        """Keep what came back from the upstream until the next commit."""
        self._calls.append(row)
        if len(self._calls) >= GROUP_ROWS:
            self._try_commit()

    def record(self, rows: Sequence[FeedbackRow]) -> list[FeedbackReply]:
        """Commit feedback with everything kept before it; raises StoreDown if the store does not take it."""
        if self._closed:
            raise StoreDown("the ledger is closed; open the router anew and send the feedback again")
        with self._lock:
            decisions, calls = self._decisions, self._calls
            self._decisions, self._calls = [], []
            try:
                return self._store.record(Batch(tuple(decisions), tuple(calls), tuple(rows)), self._clock())
            except StoreError as error:
                self._give_back(decisions, calls)
                raise StoreDown(f"the ledger did not take the feedback ({error}); send it again") from error

    def feedback(self, rows: Sequence[FeedbackRow]) -> Future[list[FeedbackReply]]:
        """The same as a future that is done already."""
        future: Future[list[FeedbackReply]] = Future()
        try:
            future.set_result(self.record(rows))
        except StoreDown as error:
            future.set_exception(error)
        return future

    def flush(self) -> None:
        """Commit everything kept so far; raises StoreDown if the store does not take it."""
        if self._decisions or self._calls:
            self.record(())

    def close(self) -> None:
        """Commit what is kept; what the store does not take now is lost."""
        if not self._closed:
            self._try_commit()
            self.lost += len(self._decisions) + len(self._calls)
        self._closed = True

    def _try_commit(self) -> None:
        """Commit, or go on keeping: a decision never fails for the ledger."""
        try:
            self.flush()
        except StoreDown:
            return

    def _give_back(self, decisions: list[DecisionRow], calls: list[CallRow]) -> None:
        """Keep rows for the next try, the oldest first, up to a bound."""
        self._decisions[:0] = decisions
        self._calls[:0] = calls
        for kept in (self._decisions, self._calls):
            self.lost += len(kept[_MOST_KEPT:])
            del kept[_MOST_KEPT:]
