"""Commits in every store: compare-and-set, all or nothing, life cycle, epochs, keys and audit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState as State
from experiments.evidence.epochs import Epoch
from storage.errors import NameTaken, StoreConflict, StoreUnavailable, TaskTaken
from storage.records import (
    AuditEntry,
    Batch,
    Change,
    CloseEpoch,
    ConfigRow,
    ExperimentRow,
    FreezeReport,
    KeyRow,
    OpenEpoch,
    PutConfig,
    PutExperiment,
    PutKey,
    PutRoute,
    RouteRow,
    StoredReport,
)
from storage.store import Store
from tests.storage.scenes import Scene

ENTRY = AuditEntry(5, "ann", "apply", "file", "because", "d1", True)
RICH = Experiment.model_validate_json("""{
    "name": "first", "task": "support/billing", "hypothesis": "cheap is as good",
    "candidates": ["dear", "cheap", "tiny"], "unit": "user", "mode": "ab", "shares": [0.5, 0.3, 0.2],
    "traffic": 0.1, "reward": {"metric": "stars", "kind": "score", "range": [1, 5], "window": "36h", "missing": 1.5},
    "objective": {"kind": "reward", "cost_cap_usd": 0.7},
    "guardrails": [{"metric": "error", "max_increase": 0.01}, {"metric": "cost_usd", "max_ratio": 1.5}],
    "decision": {"alpha": 0.01, "min_days": 2, "promote": "auto"}
}""")


def draft(experiment_id: int = 1, name: str = "first", task: str = "support", **fields: Any) -> ExperimentRow:
    """An experiment that does not exist yet."""
    definition = Experiment(name=name, task=task, candidates=("dear", "cheap"))
    return ExperimentRow(experiment_id, name, definition, State.DRAFT, 0, "salt", 10, **fields)


def route(model: str = "dear", version: int = 0, task: str = "support", **fields: Any) -> RouteRow:
    """A champion set by hand."""
    return RouteRow(task, model, version, "hand", 20, "ann", **fields)


def test_a_new_store_is_empty(store: Store) -> None:
    """Everything starts at nothing, and reading nothing is no error."""
    state = store.state()
    assert (state.version, state.config) == (0, None)
    assert state.routes == state.experiments == state.epochs == state.keys == ()
    assert store.experiment("first") is None
    assert (store.audit(), store.epochs(1), store.cells(1), store.traffic()) == ([], [], [], [])
    assert (store.report(1), store.progress(1)) == (None, "")


def test_state_returns_what_was_committed(store: Store) -> None:
    """A snapshot is built from this alone, so every field must come back as it went in."""
    experiment = replace(draft(), definition=RICH, predecessor="zero", dropped=(2,))
    key = KeyRow("k1", "hash", ("traffic", "view"), 30)
    champion = route(previous="old", file_model="dear")
    version = store.commit(
        [PutConfig("{}", 0), PutRoute(champion), PutExperiment(experiment), PutKey(key)], ENTRY, now_ms=40
    )
    state = store.state()
    assert state.version == store.state_version() == version == 1
    assert state.config == ConfigRow("{}", 1, 40)
    assert state.routes == (replace(champion, version=1),)
    assert state.experiments == (replace(experiment, version=1),)
    assert state.experiments[0].definition == RICH
    assert state.keys == (key,)
    assert store.experiment("first") == state.experiments[0]
    assert store.audit() == [ENTRY]


def test_the_version_grows_by_one_with_each_commit(store: Store) -> None:
    """Workers poll the version; a commit that left it would be served late or never."""
    assert [store.commit([PutConfig("{}", version)]) for version in range(3)] == [1, 2, 3]
    assert store.commit([], ENTRY) == 4


@pytest.mark.parametrize(
    "stale", [PutConfig("new", 0), PutRoute(route("cheap")), PutExperiment(replace(draft(), version=7))]
)
def test_a_stale_expectation_is_refused_and_nothing_changes(store: Store, stale: Change) -> None:
    """Whoever decided on old rows must decide again; otherwise the last writer silently wins."""
    store.commit([PutConfig("{}", 0), PutRoute(route()), PutExperiment(draft())])
    before = store.state()
    with pytest.raises(StoreConflict, match=r"has version 1, expected"):
        store.commit([stale], ENTRY)
    assert store.state() == before
    assert store.audit() == []


@pytest.mark.parametrize(
    "unborn", [PutConfig("new", 1), PutRoute(route(version=1)), PutExperiment(replace(draft(), version=1))]
)
def test_expecting_a_row_that_is_not_there_is_refused(store: Store, unborn: Change) -> None:
    """Version 0 is the only way to create, so a typo cannot."""
    with pytest.raises(StoreConflict, match="has version 0, expected 1"):
        store.commit([unborn])


def test_a_commit_is_all_or_nothing(store: Store) -> None:
    """A promotion changes route, experiment, epoch, report and audit together, or nothing at all."""
    store.commit(
        [PutExperiment(replace(draft(), state=State.RUNNING)), OpenEpoch(Epoch(1, 1, 10, (0.5, 0.5)))]
    )
    before, epochs = store.state(), store.epochs(1)
    ended = replace(draft(), state=State.PROMOTED, version=1)
    everything = [
        PutConfig("{}", 0),
        PutKey(KeyRow("k", "h", ("admin",), 1)),
        PutExperiment(ended),
        CloseEpoch(1, 50),
        FreezeReport(1, "evidence"),
        PutRoute(route(version=3)),
    ]
    with pytest.raises(StoreConflict):
        store.commit(everything, ENTRY, now_ms=60)
    assert (store.state(), store.epochs(1), store.report(1), store.audit()) == (before, epochs, None, [])
    store.commit([*everything[:-1], PutRoute(route())], ENTRY, now_ms=60)
    assert store.state().experiments[0].state is State.PROMOTED
    assert store.epochs(1)[0].closed_at_ms == 50
    assert store.report(1) == StoredReport("evidence", 60, frozen=True)


def test_a_route_is_replaced_version_by_version(store: Store) -> None:
    """A promotion is a compare-and-set on one row; the second of two rivals loses."""
    store.commit([PutRoute(route())])
    store.commit([PutRoute(route("cheap", version=1, previous="dear"))])
    with pytest.raises(StoreConflict):
        store.commit([PutRoute(route("tiny", version=1))])
    assert store.state().routes == (route("cheap", version=2, previous="dear"),)


def test_a_name_is_used_once(store: Store) -> None:
    """Reports and links name experiments; a second bearer would make them lie."""
    store.commit([PutExperiment(draft())])
    with pytest.raises(NameTaken, match="'first' exists"):
        store.commit([PutExperiment(draft(2, task="sales"))])
    store.commit([PutExperiment(replace(draft(), state=State.STOPPED, version=1))])
    with pytest.raises(NameTaken):
        store.commit([PutExperiment(draft(3))])
    with pytest.raises(StoreConflict, match="number 1"):
        store.commit([PutExperiment(draft(1, name="second"))])


@pytest.mark.parametrize("live", [State.RUNNING, State.PAUSED])
def test_one_experiment_of_a_task_is_live(store: Store, live: State) -> None:
    """Two experiments on one task would count each other's traffic."""
    running = replace(draft(), state=State.RUNNING)
    store.commit([PutExperiment(running)])
    store.commit([PutExperiment(replace(running, state=live, version=1))])
    rival = replace(draft(2, "second"), state=State.RUNNING)
    with pytest.raises(TaskTaken, match=f"'first' of task 'support' is {live}"):
        store.commit([PutExperiment(rival)])
    store.commit([PutExperiment(draft(2, "second"))])
    with pytest.raises(TaskTaken):
        store.commit([PutExperiment(replace(rival, version=1))])
    store.commit([PutExperiment(replace(draft(3, "third", "support/billing"), state=State.RUNNING))])


def test_a_successor_starts_in_the_commit_that_ends_its_predecessor(store: Store) -> None:
    """A promotion leaves no moment in which the task has two experiments or none."""
    store.commit([PutExperiment(replace(draft(), state=State.RUNNING))])
    ended = replace(draft(), state=State.PROMOTED, version=1)
    successor = replace(draft(2, "first~holdback"), state=State.RUNNING, predecessor="first")
    store.commit([PutExperiment(ended), PutExperiment(successor), OpenEpoch(Epoch(2, 1, 9, (0.5, 0.5)))])
    assert [row.state for row in store.state().experiments] == [State.PROMOTED, State.RUNNING]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (State.DRAFT, State.PAUSED),
        (State.DRAFT, State.PROMOTED),
        (State.RUNNING, State.DRAFT),
        (State.STOPPED, State.RUNNING),
        (State.PROMOTED, State.ROLLED_BACK),
    ],
)
def test_moves_outside_the_life_cycle_are_refused(store: Store, old: State, new: State) -> None:
    """An ended experiment stays ended, whoever asks."""
    store.commit([PutExperiment(draft())])
    row = draft()
    for state in {State.DRAFT: (), State.STOPPED: (old,), State.RUNNING: (old,)}.get(
        old, (State.RUNNING, old)
    ):
        row = replace(row, version=row.version + 1, state=state)
        store.commit([PutExperiment(row)])
    with pytest.raises(StoreConflict, match=f"is {old} and cannot become {new}"):
        store.commit([PutExperiment(replace(row, version=row.version + 1, state=new))])
    assert store.experiment("first").state is old


def test_an_experiment_does_not_begin_at_its_end(store: Store) -> None:
    """History is made, not written."""
    with pytest.raises(StoreConflict, match="may begin as draft or running"):
        store.commit([PutExperiment(replace(draft(), state=State.PROMOTED))])


def test_a_draft_may_change_and_a_started_experiment_may_not(store: Store) -> None:
    """Changing the question after the start would spoil the evidence; the draft is still a plan."""
    store.commit([PutExperiment(draft())])
    changed = replace(draft(), definition=RICH.model_copy(update={"task": "sales"}), version=1)
    store.commit([PutExperiment(changed)])
    assert store.experiment("first").definition.task == "sales"
    store.commit([PutExperiment(replace(changed, version=2, state=State.RUNNING, started_at_ms=50))])
    running = store.experiment("first")
    for other in (replace(running, definition=draft().definition), replace(running, salt="new")):
        with pytest.raises(StoreConflict, match="its definition is frozen"):
            store.commit([PutExperiment(other)])
    with pytest.raises(StoreConflict, match="cannot become 'second'"):
        store.commit([PutExperiment(replace(running, name="second"))])
    store.commit([PutExperiment(replace(running, dropped=(1,)))])
    assert store.experiment("first").dropped == (1,)


def test_a_definition_that_was_rolled_back_is_not_remembered(scene: Scene) -> None:
    """A failed start with another objective must not rule the feedback of the start that succeeds."""
    plan = replace(draft(2, "second", "sales"), state=State.RUNNING)
    free = Experiment.model_validate({**plan.definition.model_dump(), "objective": {"kind": "reward"}})
    scene.store.commit([PutExperiment(replace(plan, state=State.DRAFT))])
    failing = [PutExperiment(replace(plan, definition=free, version=1)), FreezeReport(2, "read back")]
    with pytest.raises(StoreConflict):
        scene.store.commit([*failing, PutConfig("{}", 8)])
    scene.store.commit([PutExperiment(replace(plan, version=1)), OpenEpoch(Epoch(2, 1, 9, (0.5, 0.5)))])
    decision = scene.decision(experiment_id=2)
    scene.record(decision, scene.feedback(decision))
    assert "reward" not in scene.store.cells(2)[0].moments


def test_opening_an_epoch_closes_the_one_before(scene: Scene) -> None:
    """Shares are frozen within an epoch, and one epoch is open at a time."""
    scene.now += 700
    scene.next_epoch(2, (0.25, 0.75))
    zero, one, two = scene.store.epochs(1)
    assert (zero.number, zero.closed_at_ms) == (0, zero.opened_at_ms)
    assert (one.number, one.closed_at_ms) == (1, scene.now)
    assert (two.number, two.closed_at_ms, two.shares) == (2, None, (0.25, 0.75))
    assert scene.store.state().epochs == (two,)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_epochs_are_numbered_without_gap_or_repetition(scene: Scene, number: int) -> None:
    """Two planners cannot both open the next epoch, and none can rewrite an earlier one."""
    before = scene.store.epochs(1)
    with pytest.raises(StoreConflict, match=f"epoch {number} of experiment 1"):
        scene.next_epoch(number)
    assert scene.store.epochs(1) == before


def test_only_a_running_experiment_opens_an_epoch(scene: Scene) -> None:
    """A planner that did not see the pause must not send traffic on."""
    row = scene.store.experiment("first")
    scene.store.commit([PutExperiment(replace(row, state=State.PAUSED)), CloseEpoch(1, scene.now + 5)])
    with pytest.raises(StoreConflict, match="is paused; only a running one opens epoch 2"):
        scene.next_epoch(2)
    with pytest.raises(StoreConflict, match="is not there"):
        scene.next_epoch(1, experiment_id=9)
    resumed = replace(row, version=row.version + 1)
    scene.store.commit([OpenEpoch(Epoch(1, 2, scene.now + 9, (0.5, 0.5))), PutExperiment(resumed)])
    assert [epoch.closed_at_ms for epoch in scene.store.epochs(1)][1:] == [scene.now + 5, None]


def test_closing_where_no_epoch_is_open_does_nothing(scene: Scene) -> None:
    """A stop after a pause closes nothing twice."""
    scene.close_epoch()
    first = scene.store.epochs(1)
    scene.now += 100
    scene.close_epoch()
    scene.close_epoch(experiment_id=5)
    assert scene.store.epochs(1) == first


def test_a_report_is_frozen_once(scene: Scene) -> None:
    """Evidence is kept as it was when the decision was taken."""
    scene.store.commit([FreezeReport(1, "one")], now_ms=7)
    with pytest.raises(StoreConflict, match="ended with a report already"):
        scene.store.commit([FreezeReport(1, "two")], now_ms=8)
    with pytest.raises(StoreConflict, match="is not there"):
        scene.store.commit([FreezeReport(2, "two")], now_ms=8)
    assert scene.store.report(1) == StoredReport("one", 7, frozen=True)


def test_a_key_is_replaced_by_id(store: Store) -> None:
    """Revoking is a write of the same key with its end."""
    key = KeyRow("k1", "h1", ("feedback",), 1)
    store.commit([PutKey(key), PutKey(KeyRow("a0", "h2", ("admin", "view"), 2))])
    store.commit([PutKey(replace(key, revoked_at_ms=9))])
    assert [(row.id, row.revoked_at_ms) for row in store.state().keys] == [("a0", None), ("k1", 9)]


def test_the_audit_shows_the_newest_entries_first(store: Store) -> None:
    """The page of changes begins with what happened last."""
    for number in range(5):
        store.commit([], replace(ENTRY, at_ms=number, forced=number == 4))
    assert [entry.at_ms for entry in store.audit(3)] == [4, 3, 2]
    assert [entry.forced for entry in store.audit()] == [True, False, False, False, False]


def test_experiments_are_listed_in_the_order_they_were_made(store: Store) -> None:
    """Numbers come from hashes; people read lists by age."""
    for experiment_id, created_at_ms in ((9, 1), (3, 2), (5, 2)):
        row = replace(
            draft(experiment_id, f"e{experiment_id}", f"t{experiment_id}"), created_at_ms=created_at_ms
        )
        store.commit([PutExperiment(row)])
    assert [row.id for row in store.state().experiments] == [9, 3, 5]


def test_a_closed_store_says_so(new_store: Callable[[], Store]) -> None:
    """A late thread gets an error it can name, not a crash."""
    store = new_store()
    store.close()
    store.close()
    for use in (
        store.state,
        store.state_version,
        store.audit,
        store.traffic,
        lambda: store.record(Batch(), 1),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            use()
