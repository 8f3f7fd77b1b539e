"""The planner: epochs, verdicts that act, and the lease."""

from itertools import pairwise

import numpy as np
import pytest

from experiments.definition.lifecycle import ExperimentState
from experiments.report.document import Report
from router.deciding.choose import RouteRequest
from router.steering.planner import COUNTS_MS, Planner
from storage.errors import LeaseLost
from storage.records import AuditEntry, Lease, OpenEpoch
from tests.router.worlds import World, document, experiment, model, world

BILLING = RouteRequest(task="support/billing")
COST = {"dear": 1e-3, "cheap": 1e-4}


def serve(
    made: World, units: int, rates: dict[str, float], seed: int = 1, errors: dict[str, float] | None = None
) -> None:
    """Route, answer and tick: a tick every 50 units, 20 ms a unit."""
    rng = np.random.default_rng(seed)
    for number in range(units):
        made.clock.forward(20)
        decision = made.engine.route(BILLING)
        failed = rng.random() < (errors or {}).get(decision.model, 0.0)
        if failed:
            made.give(decision.id, error=True, cost_usd=COST[decision.model])
        else:
            made.give(
                decision.id, value=float(rng.random() < rates[decision.model]), cost_usd=COST[decision.model]
            )
        if number % 50 == 49:
            made.tick()
    made.clock.forward(4_000)
    made.tick()


def test_a_candidate_as_good_and_cheaper_is_promoted_on_approval(small_world: World) -> None:
    """The four steps: define, send traffic, read the report, promote."""
    serve(small_world, 2_500, {"dear": 0.8, "cheap": 0.82})
    body = small_world.control.report("cheaper").body
    assert '"kind":"promote"' in body
    assert small_world.engine.snapshot.tasks["support/billing"].champion == "dear"  # gain asks for approval
    assert small_world.control.promote("cheaper", "ann", "verdict").new == "cheap"


def test_shares_move_to_the_better_candidate_epoch_by_epoch(small_world: World) -> None:
    """Every epoch's shares sum to one, and decisions carry the epoch they were taken in."""
    serve(small_world, 1_500, {"dear": 0.8, "cheap": 0.8})
    row = small_world.control.experiment("cheaper")
    epochs = [epoch for epoch in small_world.store.epochs(row.id) if epoch.number > 0]
    assert len(epochs) >= 8
    assert all(abs(sum(epoch.shares) - 1) < 1e-9 and min(epoch.shares) > 0 for epoch in epochs)
    assert epochs[-1].shares[1] > 0.7
    assert [epoch.closed_at_ms for epoch in epochs[:-1]] == [epoch.opened_at_ms for epoch in epochs[1:]]
    assert small_world.engine.route(BILLING).epoch == epochs[-1].number


def test_harm_acts_by_itself(small_world: World) -> None:
    """A candidate shown to be worse gets no further traffic; nobody has to be awake."""
    serve(small_world, 2_000, {"dear": 0.9, "cheap": 0.4})
    row = small_world.control.experiment("cheaper")
    assert row.state is ExperimentState.ROLLED_BACK
    assert small_world.engine.route(BILLING).model == "dear"
    assert small_world.control.report("cheaper").frozen
    assert small_world.store.audit(1)[0].actor == "planner"


def test_one_of_several_candidates_is_dropped_and_the_others_go_on() -> None:
    """Sequential elimination."""
    made = world(
        document(
            models={"dear": model(10.0, 20.0), "cheap": model(), "bad": model()},
            tasks={"support": {"default": "dear"}, "support/billing": {}},
            experiments={"cheaper": experiment(candidates=["dear", "cheap", "bad"])},
        )
    )
    COST["bad"] = 1e-4
    serve(made, 2_500, {"dear": 0.9, "cheap": 0.88, "bad": 0.3})
    row = made.control.experiment("cheaper")
    assert (row.state, row.dropped) == (ExperimentState.RUNNING, (2,))
    newest = made.store.epochs(row.id)[-1]
    assert newest.shares[2] == 0
    assert abs(sum(newest.shares) - 1) < 1e-9
    assert any(entry.action == "drop" and "bad" in entry.subject for entry in made.store.audit())
    made.close()


def test_a_guardrail_ends_a_candidate_that_fails_calls() -> None:
    """Errors count against the assigned candidate, and silence is not an answer."""
    made = world(
        document(
            experiments={
                "cheaper": experiment(
                    reward={"window": "1s", "on_error": 1.0},
                    guardrails=[{"metric": "error", "max_increase": 0.02}],
                )
            }
        )
    )
    serve(made, 1_500, {"dear": 0.8, "cheap": 0.8}, errors={"cheap": 0.3})
    assert made.control.experiment("cheaper").state is ExperimentState.ROLLED_BACK
    assert "error" in made.control.experiment("cheaper").ended_because
    made.close()


def test_automatic_promotion_and_automatic_rollback_by_the_holdback() -> None:
    """`promote: auto` acts on the verdict; a regression after it brings the old champion back."""
    made = world(document(experiments={"cheaper": experiment(decision={"promote": "auto"})}))
    serve(made, 2_500, {"dear": 0.8, "cheap": 0.82})
    assert made.control.experiment("cheaper").state is ExperimentState.PROMOTED
    assert made.engine.snapshot.tasks["support/billing"].champion == "cheap"
    serve(made, 4_000, {"dear": 0.8, "cheap": 0.3}, seed=2)
    assert made.engine.snapshot.tasks["support/billing"].champion == "dear"
    assert made.control.experiment("cheaper~holdback").state is ExperimentState.ROLLED_BACK
    made.close()


def test_a_price_change_opens_an_epoch_and_a_new_cost_series(small_world: World) -> None:
    """Costs before and after a price are different numbers, not drift."""
    from router.applying.plan import apply

    serve(small_world, 120, {"dear": 0.8, "cheap": 0.8})
    row = small_world.control.experiment("cheaper")
    before = small_world.store.epochs(row.id)[-1]
    changed = document(
        models={"dear": model(5.0, 9.0, tier=2), "cheap": model(1.0, 2.0, tier=1), "spare": model()}
    )
    apply(small_world.store, changed, small_world.clock, "ann")
    small_world.tick()
    after = small_world.store.epochs(row.id)[-1]
    assert (after.number, after.cost_series) == (before.number + 1, before.cost_series + 1)
    assert after.price_version != before.price_version


def test_two_planners_take_turns_and_the_stopped_one_is_refused(small_world: World) -> None:
    """Fencing: an epoch computed by a planner that was stopped past its lease never appears."""
    store, clock = small_world.store, small_world.clock
    second = Planner(store, "planner-2", clock)
    assert small_world.planner.run_once()
    assert not second.run_once()
    stale = small_world.planner._lease
    assert stale is not None
    clock.forward(11_000)
    assert second.run_once()
    row = small_world.control.experiment("cheaper")
    newest = store.epochs(row.id)[-1]
    from dataclasses import replace

    forged = replace(newest, number=newest.number + 1, opened_at_ms=clock(), closed_at_ms=None)
    with pytest.raises(LeaseLost):
        store.commit([OpenEpoch(forged)], AuditEntry(clock(), "planner-1", "x", "y"), stale, clock())
    with pytest.raises(LeaseLost):
        store.put_progress(row.id, "{}", stale, clock())
    assert store.epochs(row.id)[-1] == newest
    assert not small_world.planner.run_once()
    second.release()
    assert small_world.planner.run_once()


def test_the_cached_cells_of_a_planner_give_the_same_report_as_a_fresh_look(small_world: World) -> None:
    """The cache of final epochs saves reading and changes nothing."""
    import json

    from router.steering.look import render_report

    serve(small_world, 800, {"dear": 0.8, "cheap": 0.7})
    cached = json.loads(small_world.control.report("cheaper").body)
    fresh = json.loads(render_report(small_world.store, "cheaper", small_world.clock()))
    for part in ("candidates", "rules", "health", "mature_units", "epochs"):
        assert cached[part] == fresh[part], part


def test_counts_alone_write_a_report_every_five_seconds_and_a_finding_at_once(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rendering costs ten times what a look costs; a verdict must not wait for it all the same."""
    serve(small_world, 200, {"dear": 0.8, "cheap": 0.8})
    written, put = list[tuple[int, Report]](), small_world.store.put_report

    def noted(experiment_id: int, body: str, lease: Lease, now_ms: int) -> None:
        written.append((now_ms, Report.model_validate_json(body)))
        put(experiment_id, body, lease, now_ms)

    monkeypatch.setattr(small_world.store, "put_report", noted)
    for _ in range(16):
        small_world.clock.forward(1_000)
        small_world.engine.route(BILLING)
        small_world.tick()
    quiet = [(now_ms, report) for now_ms, report in written if report.epochs == written[0][1].epochs]
    assert 2 <= len(quiet) <= 4
    assert all(later - before >= COUNTS_MS for (before, _), (later, _) in pairwise(quiet))
    assert [report.units for _, report in quiet] == sorted({report.units for _, report in quiet})
    written.clear()
    serve(small_world, 400, {"dear": 0.8, "cheap": 0.8}, seed=2)
    shown = [report.epochs for _, report in written]
    assert len(set(shown)) > 3
    assert set(shown) == set(range(shown[0], shown[-1] + 1)), "an epoch opens with nearly every look here"


def test_cells_equal_their_recomputation_after_a_whole_run(small_world: World) -> None:
    """The sums that decide are those of the unit rows."""
    serve(small_world, 600, {"dear": 0.8, "cheap": 0.7}, errors={"cheap": 0.05})
    row = small_world.control.experiment("cheaper")
    kept, recounted = small_world.store.cells(row.id), small_world.store.recount(row.id)
    assert [(cell.epoch, cell.arm, cell.counts) for cell in kept] == [
        (cell.epoch, cell.arm, cell.counts) for cell in recounted
    ]
    for cell, again in zip(kept, recounted, strict=True):
        for metric, moments in again.moments.items():
            assert cell.moments[metric] == pytest.approx(moments, rel=1e-9, abs=1e-12)


def test_mode_learn_splits_between_the_leader_and_its_challengers() -> None:
    """It finds the winner and does not let the leader take everything before the verdict."""
    made = world(document(experiments={"cheaper": experiment(mode="learn")}))
    serve(made, 2_500, {"dear": 0.8, "cheap": 0.84})
    row = made.control.experiment("cheaper")
    epochs = [epoch for epoch in made.store.epochs(row.id) if epoch.number > 1]
    assert len(epochs) >= 5
    assert all(min(epoch.shares) >= 0.2 - 1e-9 and max(epoch.shares) <= 0.7 for epoch in epochs)
    assert '"kind":"promote"' in made.control.report("cheaper").body
    made.close()
