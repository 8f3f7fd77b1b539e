"""Acting on experiments and routes: compare-and-set, evidence, audit."""

import json
from dataclasses import replace
from hashlib import blake2b

import pytest

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from router.deciding.choose import RouteRequest
from router.errors import Conflict, EvidenceRefused, InvalidRequest, NotFound
from router.keys import hash_key
from tests.router.worlds import World, document, experiment, world

BILLING = RouteRequest(task="support/billing")


def report_promoting(made: World, candidate: str = "cheap", kind: str = "promote") -> str:
    """Put a report with a chosen verdict into the store, as the planner would."""
    row = made.control.experiment("cheaper")
    lease = made.store.acquire_lease("planner", "test", made.clock(), 10_000)
    assert lease is not None
    body = json.dumps({"verdict": {"kind": kind, "candidate": candidate, "sentence": "Because."}})
    made.store.put_report(row.id, body, lease, made.clock())
    made.store.release_lease(lease)
    return body


def test_a_promotion_changes_the_route_freezes_the_evidence_and_starts_its_watch(small_world: World) -> None:
    """G8: one atomic step with everything that makes it reversible."""
    report_promoting(small_world)
    done = small_world.control.promote("cheaper", "ann", "verdict")
    assert (done.task, done.old, done.new, done.forced) == ("support/billing", "dear", "cheap", False)
    ended = small_world.control.experiment("cheaper")
    assert ended.state is ExperimentState.PROMOTED
    kept = small_world.control.report("cheaper")
    frozen = json.loads(kept.body)
    assert kept.frozen
    assert frozen["verdict"] == {"kind": "promote", "candidate": "cheap", "sentence": "Because."}
    assert (frozen["state"], frozen["ended_because"]) == ("promoted", "promoted cheap")
    assert done.digest == blake2b(kept.body.encode(), digest_size=16).hexdigest()
    watch = small_world.control.experiment("cheaper~holdback")
    assert watch.state is ExperimentState.RUNNING
    assert watch.definition.candidates == ("dear", "cheap")
    assert watch.definition.ramp == (0.5, 0.25, 0.05)
    assert (watch.predecessor, watch.salt != ended.salt) == ("cheaper", True)
    entry = small_world.store.audit(1)[0]
    assert (entry.actor, entry.action, entry.why, entry.digest) == ("ann", "promote", "verdict", done.digest)
    small_world.engine.refresh()
    assert small_world.engine.snapshot.tasks["support/billing"].champion == "cheap"
    assert small_world.engine.route(BILLING).experiment == "cheaper~holdback"


@pytest.mark.parametrize(
    ("kind", "candidate"), [("keep_running", "cheap"), ("unhealthy", None), ("promote", "dear")]
)
def test_evidence_for_something_else_is_refused_and_force_is_audited(
    small_world: World, kind: str, candidate: str | None
) -> None:
    """Exit code 3 with the reason; a person may overrule it, by name and with a why."""
    report_promoting(small_world, candidate, kind)  # type: ignore[arg-type]  # a verdict may name nobody
    with pytest.raises(EvidenceRefused, match=kind):
        small_world.control.promote("cheaper", "ann", "I like it", candidate="cheap")
    assert small_world.control.experiment("cheaper").state is ExperimentState.RUNNING
    done = small_world.control.promote("cheaper", "ann", "I like it", candidate="cheap", force=True)
    assert done.forced
    assert small_world.store.audit(1)[0].forced


def test_a_promotion_needs_a_reason_a_report_and_a_running_experiment(small_world: World) -> None:
    """Each refusal says what is missing and changes nothing."""
    control = small_world.control
    with pytest.raises(EvidenceRefused, match="no report"):
        control.promote("cheaper", "ann", "now")
    with pytest.raises(InvalidRequest, match="reason"):
        control.promote("cheaper", "ann", "  ")
    with pytest.raises(InvalidRequest, match="no candidate"):
        control.promote("cheaper", "ann", "x", candidate="spare", force=True)
    with pytest.raises(NotFound, match="nobody"):
        control.promote("nobody", "ann", "x")
    control.stop("cheaper", "ann")
    with pytest.raises(Conflict, match="stopped"):
        control.promote("cheaper", "ann", "x", candidate="cheap", force=True)
    assert small_world.engine.snapshot.tasks["support/billing"].champion == "dear"


def test_a_rollback_restores_the_champion_and_ends_the_watch(small_world: World) -> None:
    """One command, with its own audit entry."""
    report_promoting(small_world)
    small_world.control.promote("cheaper", "ann", "verdict")
    row = small_world.control.rollback("support/billing", "bob", "complaints")
    assert (row.model, row.source, row.previous) == ("dear", "rollback", "cheap")
    assert small_world.control.experiment("cheaper~holdback").state is ExperimentState.ROLLED_BACK
    small_world.engine.refresh()
    assert small_world.engine.route(BILLING).reason == "champion"
    with pytest.raises(Conflict, match="no earlier champion"):
        small_world.control.rollback("support", "bob", "x")


def test_without_a_holdback_a_promotion_ends_the_experiment_and_nothing_follows() -> None:
    """`holdback: 0` is a choice."""
    made = world(document(experiments={"cheaper": experiment(decision={"holdback": 0})}))
    report_promoting(made)
    assert made.control.promote("cheaper", "ann", "verdict").successor is None
    made.close()


def test_pausing_sends_traffic_to_the_champion_and_resuming_opens_an_epoch(small_world: World) -> None:
    """Units of the pause count nowhere."""
    row = small_world.control.experiment("cheaper")
    small_world.control.pause("cheaper", "ann")
    small_world.engine.refresh()
    assert small_world.engine.route(BILLING).reason == "paused"
    small_world.clock.forward(5_000)
    small_world.control.start("cheaper", "ann")
    small_world.engine.refresh()
    decision = small_world.engine.route(BILLING)
    assert (decision.experiment, decision.epoch) == ("cheaper", 2)
    epochs = small_world.store.epochs(row.id)
    assert [epoch.closed_at_ms for epoch in epochs[:2]] == [epochs[0].opened_at_ms, epochs[1].opened_at_ms]
    assert epochs[2].closed_at_ms is None


@pytest.mark.parametrize(
    ("first", "second"),
    [("start", "start"), ("stop", "stop"), ("stop", "start"), ("stop", "pause"), ("pause", "pause")],
)
def test_moves_outside_the_life_cycle_are_conflicts(small_world: World, first: str, second: str) -> None:
    """An ended experiment stays ended."""
    if first != "start":
        getattr(small_world.control, first)("cheaper", "ann")
    with pytest.raises(Conflict):
        getattr(small_world.control, second)("cheaper", "ann")


def test_a_task_runs_one_experiment_at_a_time(small_world: World) -> None:
    """Two would assign the same units twice."""
    definition = small_world.control.experiment("cheaper").definition
    small_world.control.create(definition.model_copy(update={"name": "second"}), "ann")
    with pytest.raises(Conflict, match="support/billing"):
        small_world.control.start("second", "ann")
    small_world.control.stop("cheaper", "ann")
    small_world.control.start("second", "ann")


@pytest.mark.parametrize(("field", "value"), [("task", "nowhere"), ("candidates", ("dear", "nobody"))])
def test_a_definition_may_name_only_what_is_declared(small_world: World, field: str, value: object) -> None:
    """A candidate without an upstream could not serve."""
    definition: Experiment = small_world.control.experiment("cheaper").definition
    with pytest.raises(InvalidRequest, match=r"nowhere|nobody"):
        small_world.control.create(definition.model_copy(update={"name": "x", field: value}), "ann")


def test_a_route_is_set_by_hand_within_one_commit_and_its_version_is_checked(small_world: World) -> None:
    """Two people who read the same version cannot both win."""
    row = small_world.control.set_route("support", "cheap", "ann")
    assert (row.model, row.source, row.previous) == ("cheap", "hand", "dear")
    with pytest.raises(Conflict, match="version"):
        small_world.control.set_route("support", "spare", "bob", expected_version=row.version - 1)
    small_world.engine.refresh()
    assert small_world.engine.route(RouteRequest(task="support")).model == "cheap"
    assert small_world.engine.snapshot.tasks["support/billing"].champion == "cheap"  # inherited
    with pytest.raises(NotFound):
        small_world.control.set_route("nowhere", "cheap", "ann")
    with pytest.raises(InvalidRequest):
        small_world.control.set_route("support", "nobody", "ann")


def test_a_key_is_shown_once_and_stored_as_a_hash(small_world: World) -> None:
    """G7: reading the store gives nobody a key."""
    secret = small_world.control.add_key("ci", ["feedback", "feedback"], "ann")
    (row,) = small_world.store.state().keys
    assert (row.hash, row.scopes) == (hash_key(secret), ("feedback",))
    assert secret not in repr(small_world.store.state())
    with pytest.raises(Conflict, match="ci"):
        small_world.control.add_key("ci", ["view"], "ann")
    small_world.control.revoke_key("ci", "ann")
    assert replace(row, revoked_at_ms=small_world.clock()) == small_world.store.state().keys[0]
    with pytest.raises(NotFound):
        small_world.control.revoke_key("nobody", "ann")
