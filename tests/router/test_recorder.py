"""The recorder: bounded queues, and an end that loses nothing."""

import threading
from typing import Any

import pytest

from router.deciding.choose import RouteRequest
from router.errors import Overloaded, StoreDown
from router.recording import recorder as recording
from router.recording.recorder import Recorder
from storage.memory.store import MemoryStore
from storage.records import Batch, DecisionRow, FeedbackReply, FeedbackRow
from tests.router.worlds import START_MS, HandClock, World


class Gate(MemoryStore):
    """A store that takes nothing until its gate is open, and notes the size of each group."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.entered = threading.Event()
        self.groups: list[int] = []

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Wait at the gate."""
        self.entered.set()
        self.open.wait(10)
        self.groups.append(len(batch))
        return super().record(batch, now_ms)


def feedback(number: int) -> FeedbackRow:
    """Feedback outside any experiment."""
    return FeedbackRow(number, 0, 0, 0, bytes(16), (("reward", 1.0),), START_MS)


def decision(number: int) -> DecisionRow:
    """A decision outside any experiment."""
    return DecisionRow(number, 0, 0, 0, bytes(16), "t", "m", "champion", 1.0)


def test_while_one_commit_runs_the_next_group_gathers() -> None:
    """Commit when free: no fixed wait, and one fsync for many."""
    store = Gate()
    made = Recorder(store, HandClock())
    futures = [made.feedback([feedback(0)])]
    assert store.entered.wait(5)
    futures += [made.feedback([feedback(number)]) for number in range(1, 200)]
    store.open.set()
    assert all(len(future.result(5)) == 1 for future in futures)
    assert store.groups[0] == 1
    assert store.groups[1] == 199
    made.close()


def test_a_full_queue_refuses_feedback_and_counts_what_it_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: outcomes are refused aloud; decision rows, whose ids carry everything, are counted as lost."""
    monkeypatch.setattr(recording, "MAX_FEEDBACK", 10)
    monkeypatch.setattr(recording, "MAX_QUEUED", 20)
    store = Gate()
    made = Recorder(store, HandClock())
    first = made.feedback([feedback(0)])
    assert store.entered.wait(5)
    kept = [made.feedback([feedback(number)]) for number in range(1, 11)]
    with pytest.raises(Overloaded, match="10 feedback rows"):
        made.feedback([feedback(99)])
    for number in range(30):
        made.decided(decision(number))
    assert made.lost == 10
    store.open.set()
    assert all(future.result(5) for future in (first, *kept))
    made.close()
    assert len(list(store.export("decisions"))) == 20


def test_closing_commits_everything_and_refuses_more(small_world: World) -> None:
    """SIGTERM loses nothing that was queued."""
    decisions = [small_world.engine.route(RouteRequest(task="support/billing")) for _ in range(300)]
    small_world.engine.recorder.close()
    assert len(list(small_world.store.export("decisions"))) == len(decisions)
    with pytest.raises(StoreDown):
        small_world.engine.recorder.feedback([feedback(1)])


def test_an_unforeseen_error_answers_everybody_who_waits() -> None:
    """A bug must not turn into a hanging client."""

    class Broken(MemoryStore):
        def record(self, batch: Batch, now_ms: int) -> Any:
            raise ZeroDivisionError

    raised: list[Any] = []
    threading.excepthook, before = raised.append, threading.excepthook
    try:
        made = Recorder(Broken(), HandClock())
        with pytest.raises(ZeroDivisionError):
            made.feedback([feedback(1)]).result(5)
        made._thread.join(5)  # type: ignore[union-attr]  # it was started by the line above
    finally:
        threading.excepthook = before
    assert raised
