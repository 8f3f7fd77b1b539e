"""The engine: routing on a snapshot, sticky units, and going on without the store."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.deciding.choose import RouteRequest
from router.engine import Engine
from router.errors import StoreDown
from storage.errors import StoreUnavailable
from storage.memory.store import MemoryStore
from storage.records import Assignment, Batch, FeedbackReply, FeedbackState
from tests.router.worlds import SIGNER, HandClock, World, document, experiment, world

BILLING = RouteRequest(task="support/billing")


@pytest.fixture
def sticky() -> Iterator[World]:
    """An experiment whose unit is the user."""
    made = world(document(experiments={"cheaper": experiment(unit="user")}))
    yield made
    made.close()


def test_a_user_keeps_the_candidate_over_processes_shares_and_restarts(sticky: World) -> None:
    """G3: the first row wins for the life of the experiment."""
    requests = [replace(BILLING, user=f"u{n}") for n in range(60)]
    first = {request.user: sticky.engine.route(request).candidate for request in requests}
    sticky.engine.recorder.flush()
    other = Engine(sticky.store, SIGNER, 1, sticky.clock, follow=False)
    again = {request.user: other.route(request) for request in requests}
    assert {user: decision.candidate for user, decision in again.items()} == first
    assert {decision.reason for decision in again.values()} == {"held"}
    other.close()


def test_the_event_loop_decides_as_the_library_does(sticky: World) -> None:
    """Gateway and library are one engine."""
    sticky.engine.route(replace(BILLING, user="ann"))
    sticky.engine.recorder.flush()
    other = Engine(sticky.store, SIGNER, 1, sticky.clock, follow=False)
    decision = asyncio.run(other.route_async(replace(BILLING, user="ann")))
    assert (decision.reason, decision.candidate) == (
        "held",
        sticky.engine.route(replace(BILLING, user="ann")).candidate,
    )
    other.close()


class SlowStore(MemoryStore):
    """A store whose look-ups hang until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """Wait, then look up."""
        self.answer.wait(5)
        return super().assignment(experiment_id, unit)


@pytest.mark.parametrize("way", ["library", "event loop"])
def test_a_hanging_look_up_degrades_one_decision_and_holds_up_nothing(way: str) -> None:
    """G4: at most 50 ms, then the configured shares, out of the statistics."""
    store = SlowStore()
    made = world(document(experiments={"cheaper": experiment(unit="user")}), store=store)
    request = replace(BILLING, user="ann")
    began = time.monotonic()
    decision = (
        made.engine.route(request) if way == "library" else asyncio.run(made.engine.route_async(request))
    )
    assert time.monotonic() - began < 1.0
    assert (decision.degraded, decision.epoch, decision.propensity) == (True, 0, 0.5)
    store.answer.set()
    assert made.give(decision.id, value=1.0).state is FeedbackState.ACCEPTED
    assert sum(row.counts[0] for row in store.cells(decision.experiment_id)) == 0
    made.close()


def test_a_lost_race_leaves_the_statistics_and_the_unit_alone(sticky: World) -> None:
    """Two workers meet a new user at once under different shares: the first row wins, the other is flagged."""
    request = replace(BILLING, user="ann")
    mine = sticky.engine.route(request)
    rival = replace(mine.row(), arm=1 - mine.arm, number=mine.number - 1)
    sticky.store.record(Batch(decisions=(rival,)), sticky.clock())
    sticky.engine.recorder.flush()
    assert sticky.give(mine.id, value=1.0).state is FeedbackState.ACCEPTED
    sticky.clock.forward(2_000)
    assert sticky.engine.route(request).arm == rival.arm
    cells = {(row.epoch, row.arm): row.counts for row in sticky.store.cells(mine.experiment_id)}
    assert cells[0, mine.arm][6] == 1
    assert cells[1, rival.arm][0] == 1


class GoneStore(MemoryStore):
    """A store that can go away and come back."""

    away = False

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Refuse while away."""
        if self.away:
            raise StoreUnavailable("gone")
        return super().record(batch, now_ms)

    def state_version(self) -> int:
        """Refuse while away."""
        if self.away:
            raise StoreUnavailable("gone")
        return super().state_version()


def test_feedback_is_refused_while_the_store_is_away_and_decisions_go_on() -> None:
    """G1 and G4: nothing is acknowledged that is not durable; queued decisions are kept for later."""
    store = GoneStore()
    made = world(store=store)
    kept = made.engine.route(BILLING)
    made.engine.recorder.flush()
    store.away = True
    decision = made.engine.route(BILLING)
    with pytest.raises(StoreDown):
        made.give(kept.id, value=1.0)
    store.away = False
    assert made.give(kept.id, value=1.0).state is FeedbackState.APPLIED
    made.engine.recorder.flush()
    assert {row["number"] for row in store.export("decisions")} == {kept.number, decision.number}
    made.close()


def test_a_follower_takes_over_changes_and_flags_decisions_once_it_is_cut_off() -> None:
    """A snapshot is trusted for 1.5 s after the last answer of the store."""
    store, clock = GoneStore(), HandClock()
    made = world(store=store)
    follower = Engine(store, SIGNER, 2, clock, follow=True)
    made.control.set_route("support", "cheap", "test")
    deadline = time.monotonic() + 5
    while follower.snapshot.tasks["support"].champion != "cheap" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert follower.snapshot.tasks["support"].champion == "cheap"
    assert follower.healthy()
    store.away = True
    clock.forward(2_000)
    assert follower.route(BILLING).degraded
    assert not follower.healthy()
    follower.close()
    made.close()


def test_a_fork_gets_a_writer_of_its_own(small_world: World) -> None:
    """Threads do not survive a fork; rows queued in the child must still be written."""
    small_world.engine.route(BILLING)
    small_world.engine.recorder.flush()
    small_world.engine.recorder._pid = 0  # what a forked child sees: another pid than the thread's
    decision = small_world.engine.route(BILLING)
    small_world.engine.recorder.flush()
    assert decision.number in {row["number"] for row in small_world.store.export("decisions")}


def test_many_threads_lose_no_row() -> None:
    """The queue is appended to without a lock."""
    made = world()
    threads = [
        threading.Thread(target=lambda: [made.engine.route(BILLING) for _ in range(500)]) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.engine.recorder.flush()
    numbers = [row["number"] for row in made.store.export("decisions")]
    assert len(numbers) == len(set(numbers)) == 3_000
    made.close()
