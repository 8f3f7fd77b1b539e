"""Conversations that stay: who keeps which model after an experiment's end, and for how long."""

import asyncio

import pytest

from router.deciding.choose import Decision, RouteRequest
from router.deciding.kept import IDLE_MS, LONGEST_MS
from router.engine import LOOK_UP_S, Engine
from storage.errors import StoreUnavailable
from storage.memory.store import MemoryStore
from storage.records import Assignment
from tests.router.worlds import SIGNER, World, document, experiment, world

HOUR_MS = 3_600_000


def ask(made: World, session: str, engine: Engine | None = None, task: str = "support/billing") -> Decision:
    """One request of a conversation."""
    return (engine or made.engine).route(RouteRequest(task=task, session=session))


@pytest.fixture
def made() -> World:
    """A world whose experiment is assigned by conversation, with twenty conversations under way."""
    kept = world(
        document(experiments={"cheaper": experiment(unit="conversation", decision={"holdback": 0.0})})
    )
    for number in range(20):
        ask(kept, f"talk-{number}")
    kept.engine.recorder.flush()
    return kept


def models(made: World) -> dict[str, str]:
    """The model of each conversation, as the ledger holds it."""
    names = [f"talk-{number}" for number in range(20)]
    return {name: ask(made, name).model for name in names}


def end(made: World, how: str) -> None:
    """End the experiment in one of the three ways that people have."""
    if how == "stop":
        made.control.stop("cheaper", "ann")
    else:
        made.control.promote("cheaper", "ann", "told so", "cheap", force=True)
    if how == "rollback":
        made.control.rollback("support/billing", "ann", "told so")
    made.engine.refresh()


@pytest.mark.parametrize("how", ["promote", "stop", "rollback"])
def test_open_conversations_keep_their_model_and_new_ones_get_the_champion(made: World, how: str) -> None:
    """A model that changes in mid-conversation answers in another voice; nobody asked for that."""
    before = models(made)
    assert set(before.values()) == {"dear", "cheap"}
    end(made, how)
    assert models(made) == before
    champion = "cheap" if how == "promote" else "dear"
    newcomer = ask(made, "new")
    assert (newcomer.model, newcomer.reason) == (champion, "champion")
    stayed = ask(made, "talk-0")
    assert (stayed.reason, stayed.experiment, stayed.experiment_id, stayed.propensity) == (
        "kept",
        None,
        0,
        1.0,
    )
    assert "until it is idle for a day" in stayed.explanation
    made.close()


def test_another_worker_reads_what_the_ledger_holds(made: World) -> None:
    """Conversations do not stay with one process, and a process may start after the end."""
    before = models(made)
    end(made, "stop")
    other = Engine(made.store, SIGNER, 1, made.clock, follow=False)
    assert {name: ask(made, name, other).model for name in before} == before
    again = asyncio.run(other.route_async(RouteRequest(task="support/billing", session="talk-3")))
    assert (again.model, again.reason) == (before["talk-3"], "kept")
    other.close()
    late = Engine(made.store, SIGNER, 2, made.clock, follow=False)
    fresh = asyncio.run(late.route_async(RouteRequest(task="support/billing", session="talk-3")))
    assert (fresh.model, fresh.reason) == (before["talk-3"], "kept")
    late.close()
    made.close()


def test_an_engine_without_a_writer_thread_reads_what_it_has_just_decided(made: World) -> None:
    """Simulations commit in the caller's thread; what is queued there counts as written."""
    direct = Engine(made.store, SIGNER, 3, made.clock, follow=False, behind=False)
    first = ask(made, "direct", direct)
    made.clock.forward(2_000)
    made.control.stop("cheaper", "ann")
    direct.refresh()
    assert (ask(made, "direct", direct).model, ask(made, "direct", direct).reason) == (first.model, "kept")
    direct.close()
    made.close()


def test_a_conversation_that_is_idle_for_a_day_moves(made: World) -> None:
    """Each request renews it; a day of silence ends it, and so does a month."""
    cheap = next(name for name, model in models(made).items() if model == "cheap")
    end(made, "stop")
    for _ in range(4):
        made.clock.forward(IDLE_MS - HOUR_MS)
        assert ask(made, cheap).reason == "kept"
    made.clock.forward(IDLE_MS)
    assert (ask(made, cheap).model, ask(made, cheap).reason) == ("dear", "champion")
    made.close()


def test_the_last_conversation_moves_after_a_month(made: World) -> None:
    """Nothing is kept for ever: a bot may speak every hour."""
    end(made, "stop")
    for _ in range(LONGEST_MS // (IDLE_MS // 2)):
        assert ask(made, "talk-1").reason == "kept"
        made.clock.forward(IDLE_MS // 2)
    assert ask(made, "talk-1").reason == "champion"
    made.close()


def test_a_worker_that_never_saw_a_conversation_keeps_it_for_a_day_after_the_end(made: World) -> None:
    """When it last spoke is not recorded: the end itself counts."""
    end(made, "stop")
    made.clock.forward(IDLE_MS - 1)
    other = Engine(made.store, SIGNER, 1, made.clock, follow=False)
    assert ask(made, "talk-1", other).reason == "kept"
    made.clock.forward(1)
    assert ask(made, "talk-2", other).reason == "champion"
    other.close()
    made.close()


def test_a_conversation_stays_out_of_the_holdback(made: World) -> None:
    """It was assigned by the shares of an experiment that is over; the holdback counts new ones only."""
    made.close()
    made = world(document(experiments={"cheaper": experiment(unit="conversation")}))
    for number in range(20):
        ask(made, f"talk-{number}")
    before = models(made)
    made.control.promote("cheaper", "ann", "told so", "cheap", force=True)
    made.engine.refresh()
    assert models(made) == before
    assert ask(made, "talk-0").reason == "kept"
    newcomer = ask(made, "new")
    assert (newcomer.experiment, newcomer.reason) == ("cheaper~holdback", "experiment")
    assert ask(made, "new").reason == "held"
    made.close()


def test_a_candidate_that_did_harm_keeps_nobody(made: World) -> None:
    """Who was shown to answer badly does not go on answering."""
    from dataclasses import replace

    from experiments.definition.lifecycle import ExperimentState
    from storage.records import CloseEpoch, PutExperiment

    row = made.control.experiment("cheaper")
    ended = replace(row, state=ExperimentState.ROLLED_BACK, dropped=(1,), ended_at_ms=made.clock())
    made.store.commit([PutExperiment(ended), CloseEpoch(row.id, made.clock())])
    made.engine.refresh()
    assert set(models(made).values()) == {"dear"}
    made.close()


@pytest.mark.parametrize("unit", ["user", "request"])
def test_users_and_requests_move(unit: str) -> None:
    """A user comes back for years."""
    made = world(document(experiments={"cheaper": experiment(unit=unit, decision={"holdback": 0.0})}))
    for number in range(10):
        made.engine.route(RouteRequest(task="support/billing", user=f"u{number}", session=f"s{number}"))
    made.engine.recorder.flush()
    made.control.stop("cheaper", "ann")
    made.engine.refresh()
    for number in range(10):
        decision = made.engine.route(
            RouteRequest(task="support/billing", user=f"u{number}", session=f"s{number}")
        )
        assert (decision.model, decision.reason) == ("dear", "champion")
    made.close()


def test_a_hint_and_another_task_are_not_kept(made: World) -> None:
    """The caller's own choice is honoured, and a conversation belongs to its task."""
    end(made, "stop")
    pinned = made.engine.route(RouteRequest(task="support/billing", session="talk-0", override="spare"))
    assert (pinned.model, pinned.reason) == ("spare", "override")
    assert ask(made, "talk-0", task="support").reason == "champion"
    made.close()


class _Failing(MemoryStore):
    """A store that can stop answering look-ups."""

    down = False
    asked = 0

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("away")
        return super().assignment(experiment_id, unit)


def test_traffic_flows_when_the_ledger_does_not_answer() -> None:
    """The conversation gets the champion, and its own model again once the ledger is back."""
    store = _Failing()
    made = world(
        document(experiments={"cheaper": experiment(unit="conversation", decision={"holdback": 0.0})}),
        store=store,
    )
    ask(made, "talk")
    made.engine.recorder.flush()
    end(made, "stop")
    other = Engine(store, SIGNER, 1, made.clock, follow=False)
    store.down = True
    assert ask(made, "talk", other).reason == "champion"
    store.down = False
    assert ask(made, "talk", other).reason == "kept"
    other.close()
    made.close()


def test_a_newcomer_is_looked_up_once() -> None:
    """Most requests need no look-up, also in the days after an experiment."""
    store = _Failing()
    made = world(
        document(experiments={"cheaper": experiment(unit="conversation", decision={"holdback": 0.0})}),
        store=store,
    )
    end(made, "stop")
    for _ in range(5):
        assert ask(made, "new").reason == "champion"
    assert store.asked == 1
    made.clock.forward(IDLE_MS)
    ask(made, "newer")
    assert store.asked == 1
    made.close()


def test_a_task_without_such_an_experiment_has_nobody_to_ask(small_world: World) -> None:
    """The hot path of everybody else is what it was."""
    assert small_world.engine.snapshot.tasks["support"].ended == ()
    small_world.control.stop("cheaper", "ann")
    small_world.engine.refresh()
    assert small_world.engine.snapshot.tasks["support/billing"].ended == ()  # its unit was the request
    assert LOOK_UP_S == 0.05
