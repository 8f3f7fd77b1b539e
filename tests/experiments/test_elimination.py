"""Elimination: who gets no further traffic, and who stays whatever happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.verdict.elimination import leader
from experiments.verdict.verdict import Kind
from tests.experiments.looks import Arm, Trial, experiment

NAMES = ("dear", "cheap", "mini", "tiny")
DEAR = Arm(500, 400, 0.010)
CHEAP = Arm(500, 400, 0.005)
MINI = Arm(500, 400, 0.007)
WORSE = Arm(500, 330, 0.001)
ERRORS = {"metric": "error", "max_increase": 0.01}


def look(*arms, times=10, **fields):
    """One look after some epochs of the same counts."""
    return Trial(experiment(*NAMES[: len(arms)], **fields)).epochs_of(times, *arms).look()


def test_a_candidate_beaten_by_a_good_leader_goes():
    """The leader is not worse than the control and better than the other on the objective."""
    seen = look(DEAR, CHEAP, MINI)
    assert seen.dropped == {2: "cheap is better on reward_per_cost"}
    assert seen.next_epoch.shares[2] == 0


@pytest.mark.parametrize(
    ("kind", "leading", "beaten"),
    [
        ("reward", Arm(500, 450, 0.01), Arm(500, 400, 0.002)),
        ("cheapest_non_inferior", Arm(500, 390, 0.004), Arm(500, 440, 0.008)),
        ("reward_per_cost", Arm(500, 400, 0.005), Arm(500, 400, 0.007)),
    ],
)
def test_beaten_means_on_the_objective(kind, leading, beaten):
    """Reward where reward counts, cost where cost counts."""
    seen = look(DEAR, leading, beaten, objective={"kind": kind})
    assert seen.dropped == {2: f"cheap is better on {kind}"}


def test_a_harmful_candidate_goes_for_its_own_reason():
    """Even if it would also be beaten."""
    seen = look(DEAR, CHEAP, WORSE)
    assert list(seen.dropped) == [2]
    assert "reward is at most -0.1" in seen.dropped[2]
    assert seen.progress.dropped == {"mini": seen.dropped[2]}


def test_the_cheapest_is_no_leader_if_it_is_too_bad():
    """Its reward per cost is ten times better than anybody's, and it beats nobody."""
    seen = look(DEAR, CHEAP, Arm(500, 365, 0.0005))
    assert leader(experiment(*NAMES[:3]), seen.candidacies).comparison.candidate == "cheap"
    assert 1 not in seen.dropped


@pytest.mark.parametrize(
    "doubtful",
    [
        Arm(500, 400, 0.001, errors=7),
        Arm(500, 400, 0.001, served=400),
        Arm(500, 381, 0.001),
        Arm(500, 400, 0.001, costed=450),
    ],
)
def test_a_leader_that_may_fall_itself_drops_nobody(doubtful):
    """An open guardrail, answers of its fallback, a reward not shown to be good enough: if it goes next,
    the experiment must still have the others."""
    seen = look(
        Arm(500, 400, 0.01, errors=1), Arm(500, 400, 0.005, errors=1), doubtful, guardrails=[ERRORS], times=4
    )
    assert leader(experiment(*NAMES[:3]), seen.candidacies).comparison.candidate == "mini"
    assert seen.dropped == {}


def test_nobody_is_beaten_on_costs_that_are_not_known():
    """The metered half of its calls may be the dear half; an objective of rewards asks for no costs."""
    unmetered = Arm(500, 400, 0.009, costed=250)
    assert look(DEAR, CHEAP, unmetered).dropped == {}
    assert look(DEAR, CHEAP, Arm(500, 400, 0.009)).dropped == {2: "cheap is better on reward_per_cost"}
    better = Arm(500, 450, 0.005)
    assert look(DEAR, better, unmetered, objective={"kind": "reward"}).dropped == {
        2: "cheap is better on reward"
    }


def test_too_little_data_drops_nobody():
    """The gate holds for the leader too."""
    assert look(Arm(90, 70), Arm(90, 70, 0.001), Arm(90, 70, 0.009), times=1).dropped == {}


def test_who_is_gone_is_not_dropped_again_and_leads_nobody():
    """Its old evidence stays in the comparisons of the report."""
    found = Trial(experiment(*NAMES[:3])).epochs_of(10, DEAR, CHEAP, MINI)
    found.dropped = {1: "by hand"}
    seen = found.look()
    assert [one.comparison.candidate for one in seen.candidacies] == ["mini"]
    assert [one.candidate for one in seen.comparisons] == ["cheap", "mini"]
    assert seen.dropped == {}


ARMS = st.builds(
    lambda share, cost, errors: Arm(300, round(300 * share), cost, errors=errors),
    st.floats(0, 1), st.floats(1e-5, 1.0), st.integers(0, 60),
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(ARMS, min_size=3, max_size=4),
    st.sampled_from(["reward", "reward_per_cost", "cheapest_non_inferior"]),
    st.integers(1, 8),
)
def test_the_control_always_stays(arms, kind, times):
    """Whatever the evidence, somebody is left to serve and to compare with."""
    seen = look(*arms, times=times, objective={"kind": kind}, guardrails=[ERRORS])
    assert 0 not in seen.dropped
    shares = seen.next_epoch.shares if seen.next_epoch is not None else (1.0,)
    assert shares[0] > 0
    assert all(shares[arm] == 0 for arm in seen.dropped)
    if len(seen.dropped) == len(arms) - 1:
        assert seen.verdict.kind is Kind.ROLL_BACK


@settings(max_examples=40)
@given(st.lists(ARMS, min_size=3, max_size=3), st.permutations([0, 1, 2]), st.integers(1, 8))
def test_the_order_of_candidates_decides_nothing(arms, order, times):
    """Names in another order get the same reasons."""
    names = NAMES[1:]
    straight = Trial(experiment("dear", *names)).epochs_of(times, DEAR, *arms).look()
    moved = (
        Trial(experiment("dear", *(names[k] for k in order)))
        .epochs_of(times, DEAR, *(arms[k] for k in order))
        .look()
    )
    assert moved.progress.dropped == straight.progress.dropped
    assert moved.verdict.kind == straight.verdict.kind
