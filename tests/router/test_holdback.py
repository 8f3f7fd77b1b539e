"""After a promotion: the holdback that watches it, and the roll-back that it decides."""

import json

from experiments.definition.lifecycle import ExperimentState
from router.applying.plan import apply
from tests.router.test_planner import serve
from tests.router.worlds import World, document, experiment, model, world

REPRICED = {"dear": model(10.0, 20.0, tier=2), "cheap": model(1.5, 3.0, tier=1), "spare": model()}
REPLACED = {
    "dear": model(10.0, 20.0, tier=2), "cheap": model(1.0, 2.0, tier=1, model="cheap-2"), "spare": model()
}  # fmt: skip


def promoted() -> World:
    """A world whose experiment was promoted by itself and whose holdback runs."""
    made = world(document(experiments={"cheaper": experiment(decision={"promote": "auto"})}))
    serve(made, 2_500, {"dear": 0.8, "cheap": 0.82})
    assert made.control.experiment("cheaper~holdback").state is ExperimentState.RUNNING
    return made


def report(made: World, name: str) -> dict[str, object]:
    """The kept report as plain values."""
    found: dict[str, object] = json.loads(made.control.report(name).body)
    return found


def test_a_regression_after_new_prices_rolls_back_on_what_came_after_them() -> None:
    """Promotion, a good time, a price change, a regression: the frozen evidence holds the new time only."""
    made = promoted()
    serve(made, 3_000, {"dear": 0.8, "cheap": 0.82}, seed=2)
    before = report(made, "cheaper~holdback")
    apply(made.store, document(models=REPRICED, experiments={}), made.clock, "ann")
    serve(made, 4_000, {"dear": 0.8, "cheap": 0.4}, seed=3)
    row = made.control.experiment("cheaper~holdback")
    assert (row.state, row.dropped) == (ExperimentState.ROLLED_BACK, (1,))
    assert "rolled back to dear: " in row.ended_because
    assert "rule not_worse" in row.ended_because
    assert made.engine.snapshot.tasks["support/billing"].champion == "dear"
    ended = report(made, "cheaper~holdback")
    assert made.control.report("cheaper~holdback").frozen
    candidates = ended["candidates"]
    assert isinstance(candidates, list)
    seen = sum(candidate["mature_units"] for candidate in candidates)
    assert seen < 2_500 < before["mature_units"] < ended["units"]
    made.close()


def test_the_audit_of_a_rollback_names_the_rule_and_its_figures() -> None:
    """Whoever reads it later sees on what the planner acted."""
    made = promoted()
    serve(made, 4_000, {"dear": 0.8, "cheap": 0.3}, seed=2)
    entry = next(entry for entry in made.store.audit() if entry.action == "rollback")
    assert (entry.actor, entry.subject) == ("planner", "support/billing: cheap -> dear")
    assert "cheap: rule not_worse: reward is at most -0." in entry.why
    assert "bound -0.05" in entry.why
    made.close()


def test_another_model_behind_the_name_opens_an_epoch_of_a_new_series() -> None:
    """Provider, address or upstream name: any of them may change what a candidate is."""
    made = promoted()
    row = made.control.experiment("cheaper~holdback")
    before = made.store.epochs(row.id)[-1]
    apply(made.store, document(models=REPLACED, experiments={}), made.clock, "ann")
    made.tick()
    after = made.store.epochs(row.id)[-1]
    assert (after.number, after.cost_series) == (before.number + 1, before.cost_series)
    assert after.model_series == before.model_series + 1
    old, new = before.model_version.split("/"), after.model_version.split("/")
    assert [one == other for one, other in zip(old, new, strict=True)] == [True, False]
    assert report(made, "cheaper~holdback")["health"]["warnings"] == []  # type: ignore[index]  # JSON
    made.close()


def test_an_ordinary_experiment_says_that_a_candidate_means_another_model(small_world: World) -> None:
    """The report names it, and a promotion asks for review."""
    serve(small_world, 2_500, {"dear": 0.8, "cheap": 0.82})
    assert report(small_world, "cheaper")["verdict"]["kind"] == "promote"  # type: ignore[index]  # JSON
    apply(small_world.store, document(models=REPLACED), small_world.clock, "ann")
    serve(small_world, 200, {"dear": 0.8, "cheap": 0.82}, seed=2)
    found = report(small_world, "cheaper")
    assert found["verdict"]["kind"] == "needs_review"  # type: ignore[index]  # JSON
    assert "cheap means another model since epoch" in found["health"]["warnings"][0]  # type: ignore[index]  # JSON


def test_a_resumed_experiment_notices_what_changed_while_it_was_paused(small_world: World) -> None:
    """The planner does not look at paused experiments; the epoch that resumes one carries the new versions."""
    serve(small_world, 120, {"dear": 0.8, "cheap": 0.8})
    small_world.control.pause("cheaper", "ann")
    before = small_world.store.epochs(small_world.control.experiment("cheaper").id)[-1]
    apply(small_world.store, document(models=REPLACED), small_world.clock, "ann")
    small_world.control.start("cheaper", "ann")
    after = small_world.store.epochs(small_world.control.experiment("cheaper").id)[-1]
    assert (after.cost_series, after.model_series) == (before.cost_series, before.model_series + 1)
