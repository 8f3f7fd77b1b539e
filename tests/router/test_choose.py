"""The choice: shares, hints, units and reasons."""

from collections import Counter
from dataclasses import replace

import pytest

from router.deciding.choose import EXPLANATIONS, RouteRequest, choose
from router.deciding.place import place
from router.errors import InvalidRequest
from storage.records import Assignment
from tests.router.worlds import SIGNER, START_MS, World, document, experiment, world

BILLING = RouteRequest(task="support/billing")


def test_each_candidate_gets_its_share_and_the_recorded_propensity_is_that_share(small_world: World) -> None:
    """G5: propensities are those used; a fixed seedless hash makes the counts repeatable."""
    placement = place(small_world.engine.snapshot, BILLING)
    assert placement.experiment is not None
    skewed = replace(placement.experiment, shares=(0.2, 0.8), boundaries=(0.2,))
    moved = replace(placement, experiment=skewed)
    decisions = [choose(moved, (START_MS << 22) + number, SIGNER) for number in range(20_000)]
    counts = Counter(decision.candidate for decision in decisions)
    assert abs(counts["cheap"] / 20_000 - 0.8) < 0.012
    assert {(d.candidate, d.propensity) for d in decisions} == {("dear", 0.2), ("cheap", 0.8)}
    assert all(
        decision.reason == "experiment" and decision.model == decision.candidate for decision in decisions
    )


def test_an_override_and_a_tier_are_honoured_outside_every_experiment(small_world: World) -> None:
    """A pinned model is never diverted."""
    for request, wanted, reason in (
        (replace(BILLING, override="spare"), "spare", "override"),
        (replace(BILLING, tier=1), "cheap", "tier"),
        (replace(BILLING, tier=2), "dear", "tier"),
    ):
        decision = small_world.engine.route(request)
        assert (decision.model, decision.reason, decision.experiment, decision.propensity) == (
            wanted,
            reason,
            None,
            1.0,
        )


@pytest.mark.parametrize("request_", [replace(BILLING, override="nobody"), replace(BILLING, tier=9)])
def test_an_undeclared_model_or_tier_is_refused_by_name(small_world: World, request_: RouteRequest) -> None:
    """The error names the value and where to look."""
    with pytest.raises(InvalidRequest, match=r"nobody|tier 9"):
        small_world.engine.route(request_)


def test_settings_inherit_and_experiments_do_not(small_world: World) -> None:
    """A child takes champion, fallbacks and time limit of its parent; only its own name runs its experiment."""
    child = small_world.engine.route(BILLING)
    assert (child.fallbacks, child.timeout_s) == (("spare",), 20.0)
    grandchild = small_world.engine.route(RouteRequest(task="support/billing/refund"))
    assert (grandchild.task, grandchild.task_reason, grandchild.reason) == (
        "support/billing",
        "ancestor",
        "champion",
    )
    assert grandchild.model == "dear"
    unknown = small_world.engine.route(RouteRequest(task="nothing"))
    assert (unknown.task, unknown.reason, unknown.model) == ("default", "unrouted", "dear")


def test_traffic_outside_the_experiment_is_chosen_by_its_own_salt() -> None:
    """The kept-out units must not be those that one candidate would have got."""
    part = world(document(experiments={"cheaper": experiment(traffic=0.4, mode="ab")}))
    decisions = [part.engine.route(BILLING) for _ in range(5_000)]
    outside = [decision for decision in decisions if decision.reason == "outside"]
    assert abs(len(outside) / 5_000 - 0.6) < 0.03
    assert {decision.model for decision in outside} == {"dear"}
    inside = Counter(decision.candidate for decision in decisions if decision.reason == "experiment")
    assert abs(inside["dear"] / inside.total() - 0.5) < 0.05
    part.close()


@pytest.mark.parametrize(
    ("unit", "given", "foreign"), [("conversation", "session", "user"), ("user", "user", "session")]
)
def test_a_sticky_unit_is_named_by_its_kind_or_the_explicit_unit(unit: str, given: str, foreign: str) -> None:
    """A conversation is not a user: the wrong name is no name."""
    sticky = world(document(experiments={"cheaper": experiment(unit=unit)}))
    assert sticky.engine.route(replace(BILLING, **{given: "a"})).experiment == "cheaper"
    assert sticky.engine.route(replace(BILLING, unit="a")).experiment == "cheaper"
    lost = sticky.engine.route(replace(BILLING, **{foreign: "a"}))
    assert (lost.reason, lost.model, lost.experiment) == ("no_unit", "dear", None)
    sticky.close()


def test_a_held_unit_keeps_epoch_arm_and_propensity(small_world: World) -> None:
    """Its observation belongs to the epoch of its first assignment."""
    placement = place(small_world.engine.snapshot, BILLING)
    decision = choose(placement, START_MS << 22, SIGNER, Assignment(3, 1, 0.125), degraded=True)
    assert (decision.epoch, decision.arm, decision.propensity, decision.reason) == (3, 1, 0.125, "held")
    assert not decision.degraded


def test_a_degraded_decision_uses_the_configured_shares_under_epoch_zero(small_world: World) -> None:
    """G4: decisions go on, flagged, with their true propensity."""
    placement = place(small_world.engine.snapshot, BILLING)
    assert placement.experiment is not None
    moved = replace(placement, experiment=replace(placement.experiment, shares=(0.0, 1.0), boundaries=(0.0,)))
    decisions = [choose(moved, (START_MS << 22) + n, SIGNER, degraded=True) for n in range(400)]
    assert {decision.candidate for decision in decisions} == {"dear", "cheap"}
    assert {(decision.epoch, decision.propensity, decision.degraded) for decision in decisions} == {
        (0, 0.5, True)
    }


def test_a_dropped_candidates_units_get_the_champion(small_world: World) -> None:
    """They count no further."""
    placement = place(small_world.engine.snapshot, BILLING)
    assert placement.experiment is not None
    gone = replace(placement, experiment=replace(placement.experiment, dropped=frozenset({1})))
    decision = choose(gone, START_MS << 22, SIGNER, Assignment(1, 1, 0.5))
    assert (decision.reason, decision.model, decision.experiment_id) == ("dropped", "dear", 0)


def test_every_reason_has_an_explanation(small_world: World) -> None:
    """Every decision explains itself in a sentence."""
    assert small_world.engine.route(BILLING).explanation
    for reason, sentence in EXPLANATIONS.items():
        assert len(sentence.split()) >= 6, reason
