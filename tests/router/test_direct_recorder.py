"""The recorder without a thread: the same rows, in the caller's thread."""

import threading

import pytest

from router.deciding.choose import RouteRequest
from router.errors import StoreDown
from router.in_process import Router
from router.recording.direct import GROUP_ROWS, DirectRecorder
from storage.errors import StoreUnavailable
from storage.memory.store import MemoryStore
from storage.records import Batch, DecisionRow, FeedbackReply, FeedbackRow, FeedbackState
from tests.router.worlds import START_MS, HandClock, document, experiment, world


class Stubborn(MemoryStore):
    """A store that refuses batches while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = False

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Refuse, or record."""
        if self.refuses:
            raise StoreUnavailable("away for a test")
        return super().record(batch, now_ms)


def decision(number: int) -> DecisionRow:
    """A decision outside any experiment."""
    return DecisionRow(number, 0, 0, 0, bytes(16), "t", "m", "champion", 1.0)


def feedback(number: int) -> FeedbackRow:
    """Feedback outside any experiment."""
    return FeedbackRow(number, 0, 0, 0, bytes(16), (("reward", 1.0),), START_MS)


def decisions_in(store: MemoryStore) -> int:
    """Decisions that the ledger holds."""
    return len(list(store.export("decisions")))


def test_feedback_commits_the_decisions_before_it() -> None:
    """A reply means that the outcome and everything it rests on is in the ledger."""
    store = MemoryStore()
    made = DirectRecorder(store, HandClock())
    made.decided(decision(1))
    assert decisions_in(store) == 0
    assert [reply.state for reply in made.record([feedback(1)])] == [FeedbackState.UNKNOWN]
    assert decisions_in(store) == 1


def test_decisions_without_feedback_commit_in_groups_and_at_the_end() -> None:
    """Nothing waits for ever for an outcome that may never come."""
    store = MemoryStore()
    made = DirectRecorder(store, HandClock())
    for number in range(1, GROUP_ROWS + 3):
        made.decided(decision(number))
    assert decisions_in(store) == GROUP_ROWS
    made.close()
    assert decisions_in(store) == GROUP_ROWS + 2
    with pytest.raises(StoreDown, match="closed"):
        made.record([feedback(1)])


def test_what_the_store_refuses_is_kept_for_the_next_commit() -> None:
    """A store that is away for a moment costs no decision; feedback is refused aloud."""
    store = Stubborn()
    made = DirectRecorder(store, HandClock())
    made.decided(decision(1))
    store.refuses = True
    with pytest.raises(StoreDown, match="send it again"):
        made.record([feedback(1)])
    assert isinstance(made.feedback([feedback(1)]).exception(), StoreDown)
    made.decided(decision(2))
    store.refuses = False
    made.record([feedback(1)])
    assert decisions_in(store) == 2
    store.refuses = True
    made.decided(decision(3))
    made.close()
    assert made.lost == 1


def test_the_library_in_memory_with_a_hand_clock_starts_no_thread() -> None:
    """A simulation gives the same rows on every run only if nothing else runs beside it."""
    before = threading.active_count()
    with Router.open(document(), "memory:", clock=HandClock(), tick="manual", start=True) as router:
        for index in range(20):
            chosen = router.route("support/billing", user=f"user-{index}")
            router.feedback(chosen.id, 1.0, cost_usd=0.01)
        router.tick()
        assert threading.active_count() == before


def test_a_sticky_unit_is_found_even_if_its_first_decision_was_not_committed_yet() -> None:
    """Two requests of one user without feedback between them get one candidate, whatever the shares do meanwhile."""
    configured = document(experiments={"cheaper": experiment(unit="user")})
    clock = HandClock()
    with Router.open(configured, "memory:", clock=clock, tick="manual", start=True) as router:
        first = {name: router.route("support/billing", user=name).model for name in map(str, range(100))}
        clock.forward(3_600_000)  # what is held in memory is not trusted that long
        again = {name: router.route("support/billing", user=name) for name in first}
    assert {name: each.model for name, each in again.items()} == first
    assert {each.reason for each in again.values()} == {"held"}


def test_many_reports_in_one_commit_count_as_one_by_one() -> None:
    """`feedback_many` is faster and nothing else."""
    from router.recording.feedback import FeedbackItem

    def cells(at_once: bool) -> object:
        made = world()
        chosen = [made.engine.route(RouteRequest(task="support/billing")) for _ in range(60)]
        items = [
            FeedbackItem(decision_id=one.id, value=float(index % 2), cost_usd=0.25 * (index % 3))
            for index, one in enumerate(chosen)
        ]
        for group in [items] if at_once else [[item] for item in items]:
            assert {reply.state for reply in made.engine.give_feedback(group)} == {FeedbackState.APPLIED}
        made.engine.recorder.flush()
        (row,) = made.control.experiments()
        found = made.store.cells(row.id)
        assert found == made.store.recount(row.id)
        made.close()
        return found

    assert cells(at_once=True) == cells(at_once=False)
