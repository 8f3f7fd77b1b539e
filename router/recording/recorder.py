"""The recorder: rows queue in memory, one writer thread commits them in groups.

Decisions and calls are written behind, at the latest after 50 ms or at 500 rows: their signed ids carry
what feedback needs, so losing a queue costs counts and no outcome. Feedback is acknowledged only after
its commit, and waits for nothing: while one commit runs the next group gathers.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from router.clock import Clock
from router.errors import Overloaded, StoreDown
from storage.errors import StoreError
from storage.records import Batch, CallRow, DecisionRow, FeedbackReply, FeedbackRow
from storage.store import Store

WRITE_BEHIND_S = 0.05
GROUP_ROWS = 500
LARGEST_GROUP = 2_000
MAX_QUEUED = 200_000
MAX_FEEDBACK = 20_000
_RETRY_S = 0.5

Waiting = tuple[Sequence[FeedbackRow], Future[list[FeedbackReply]]]


class Recorder:
    """Queues of one process; the writer thread starts with the first row and again after a fork."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._decisions: list[DecisionRow] = []
        self._calls: list[CallRow] = []
        self._feedback: list[Waiting] = []
        self._feedback_rows = 0
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._lock = threading.Lock()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._pid = 0
        self.lost = 0
        """Decision and call rows dropped because the store was away for too long."""

    def decided(self, row: DecisionRow) -> None:
        """Queue a decision."""
        self._enqueue(self._decisions, row)

    def finished(self, row: CallRow) -> None:
        """Queue what came back from the upstream."""
        self._enqueue(self._calls, row)

    def feedback(self, rows: Sequence[FeedbackRow]) -> Future[list[FeedbackReply]]:
        """Queue feedback; the future holds its replies once they are durable, or StoreDown."""
        future: Future[list[FeedbackReply]] = Future()
        with self._lock:
            if self._closing:
                raise StoreDown("the ledger is closing; send the feedback again to the next server")
            if self._feedback_rows + len(rows) > MAX_FEEDBACK:
                raise Overloaded(
                    f"{self._feedback_rows} feedback rows wait for the ledger; try again in a second"
                )
            self._feedback.append((rows, future))
            self._feedback_rows += len(rows)
        self._rouse()
        self._urgent.set()
        return future

    def record(self, rows: Sequence[FeedbackRow]) -> list[FeedbackReply]:
        """The same for a caller that waits."""
        return self.feedback(rows).result()

    def flush(self) -> None:
        """Commit everything queued so far; raises StoreDown if the store does not take it."""
        while self._decisions or self._calls:
            self.feedback(()).result()

    def close(self) -> None:
        """Commit what is queued and end the writer thread."""
        if self._thread is not None and self._pid == os.getpid():
            self._rouse()
            with self._lock:
                self._closing = True
            self._urgent.set()
            self._thread.join()
        self._closing = True

    def _rouse(self) -> None:
        """Wake the writer thread, starting it where this process has none yet."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._pid = os.getpid()
                    self._thread = threading.Thread(target=self._write, name="pointsman-writer", daemon=True)
                    self._thread.start()
        self._wake.set()

    def _enqueue(self, queue: list[Any], row: DecisionRow | CallRow) -> None:  # reason: either queue
        """Append without waiting; a full queue, as when the store is away for long, loses the newest row."""
        if len(queue) >= MAX_QUEUED:
            self.lost += 1
            return
        queue.append(row)
        if not self._wake.is_set() or self._pid != os.getpid():
            self._rouse()
        if len(queue) == GROUP_ROWS:
            self._urgent.set()

    def _write(self) -> None:
        while not (self._closing and self._idle()):
            if not self._closing:
                self._wake.wait()
                self._urgent.wait(WRITE_BEHIND_S)
            self._wake.clear()
            self._urgent.clear()
            self._commit_all()

    def _idle(self) -> bool:
        return not (self._decisions or self._calls or self._feedback)

    def _commit_all(self) -> None:
        """Commit group after group until the queues are empty or the store refuses."""
        while not self._idle():
            decisions, calls, waiting = self._take()
            rows = tuple(row for group, _ in waiting for row in group)
            try:
                replies = self._store.record(Batch(decisions, calls, rows), self._clock())
            except StoreError as error:
                self._give_back(decisions, calls, waiting, error)
                return
            except Exception as error:  # whatever it was, nobody may wait for ever
                self._answer_failed(waiting, error)
                raise
            _answer(waiting, replies)

    def _take(self) -> tuple[tuple[DecisionRow, ...], tuple[CallRow, ...], list[Waiting]]:
        """The next group; slices of the queues, so that appending never needs the lock."""
        decisions = tuple(self._decisions[:LARGEST_GROUP])
        del self._decisions[: len(decisions)]
        calls = tuple(self._calls[:LARGEST_GROUP])
        del self._calls[: len(calls)]
        with self._lock:
            waiting, rows = [], 0
            while self._feedback and rows < LARGEST_GROUP:
                waiting.append(self._feedback.pop(0))
                rows += len(waiting[-1][0])
            self._feedback_rows -= rows
        return decisions, calls, waiting

    def _give_back(
        self,
        decisions: tuple[DecisionRow, ...],
        calls: tuple[CallRow, ...],
        waiting: list[Waiting],
        error: StoreError,
    ) -> None:
        """Refuse the feedback, keep the rest for the next try, or count it as lost when closing."""
        self._answer_failed(
            waiting, StoreDown(f"the ledger did not take the feedback ({error}); send it again")
        )
        if self._closing:
            self.lost += len(decisions) + len(calls)
            return
        self._decisions[:0] = decisions
        self._calls[:0] = calls
        self._urgent.wait(_RETRY_S)
        self._wake.set()

    def _answer_failed(self, waiting: list[Waiting], error: BaseException) -> None:
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _answer(waiting: list[Waiting], replies: list[FeedbackReply]) -> None:
    start = 0
    for group, future in waiting:
        if future.set_running_or_notify_cancel():
            future.set_result(replies[start : start + len(group)])
        start += len(group)
