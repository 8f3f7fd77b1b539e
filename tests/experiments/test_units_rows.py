"""Unit rows: what one unit adds to its cell, and how outcomes move it in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evidence.units import (
    COST,
    COUNTS,
    ERROR,
    MOMENTS,
    NOTHING,
    PRIMARY,
    Outcome,
    UnitRow,
    contribution,
    moved,
    triangle,
)
from tests.experiments.looks import experiment

PER_COST = experiment()
PLAIN = experiment(objective={"kind": "reward"})
EXACT = st.integers(0, 64).map(lambda sixteenths: sixteenths / 16)
OUTCOMES = st.builds(
    Outcome,
    called=st.just(True),
    error=st.booleans(),
    diverted=st.booleans(),
    cost_usd=st.none() | EXACT,
    reward=st.none() | EXACT,
    reported=st.booleans(),
    metrics=st.lists(st.tuples(st.sampled_from(["stars", "edits"]), EXACT), unique_by=lambda m: m[0]).map(
        tuple
    ),
)


def unit(requests=1, **fields):
    """A unit of two-armed experiment 1."""
    return UnitRow(1, b"u" * 16, 3, 1, 1_000, requests=requests, **fields)


def told(row, *outcomes):
    """The row after each decision's outcome became known."""
    for outcome in outcomes:
        row = moved(row, NOTHING, outcome)
    return row


def answered(reward=None, cost=0.5, **fields):
    """One answered call."""
    return Outcome(called=True, cost_usd=cost, reward=reward, reported=reward is not None, **fields)


def counts(row, definition=PER_COST):
    """Counts by name, zeros left out."""
    found = contribution(row, definition).counts
    return {name: count for name, count in zip(COUNTS, found, strict=True) if count}


def moments(row, metric, definition=PER_COST):
    """(units, N, R, C) of one metric, or None."""
    found = contribution(row, definition).moments.get(metric)
    return None if found is None else (found[0], found[1], found[2], found[3])


def test_moments_are_the_upper_triangle_of_the_outer_product():
    """Names and places of the stored columns."""
    z = {"1": 1.0, "N": 2.0, "R": 3.0, "C": 5.0, "X": 7.0}
    assert triangle(2.0, 3.0, 5.0, 7.0) == tuple(z[a] * z[b] for a, b in MOMENTS)


def test_an_assigned_unit_without_outcome_is_only_counted():
    """Nothing is known of it; it is pending, not zero."""
    assert counts(unit()) == {"assigned": 1}
    assert contribution(unit(), PER_COST).moments == {}


def test_an_answered_and_rated_unit_counts_everywhere():
    """Reward, cost and error all from one call."""
    row = told(unit(), answered(1.0))
    assert counts(row) == {"assigned": 1, "called": 1, "served": 1, "feedback": 1}
    assert moments(row, PRIMARY) == (1, 1, 1.0, 0.5)
    assert moments(row, COST) == (1, 1, 0.5, 0.5)
    assert moments(row, ERROR) == (1, 1, 0.0, 0.5)


def test_an_error_is_charged_to_the_assigned_candidate():
    """Intention to treat: the failure counts although another model may have answered."""
    row = told(unit(), Outcome(called=True, error=True, diverted=True, cost_usd=0.2, reward=0.0))
    assert counts(row) == {"assigned": 1, "called": 1, "errored": 1, "feedback": 1}
    assert moments(row, ERROR) == (1, 1, 1.0, 0.2)
    assert moments(row, PRIMARY) == (1, 1, 0.0, 0.2)


def test_a_failure_without_a_cost_is_not_left_out():
    """Callers who meter answers only would otherwise report a failing candidate as never failing."""
    row = told(unit(), Outcome(called=True, error=True, reward=0.0))
    assert moments(row, PRIMARY) == (1, 1, 0.0, 0.0)
    known = moved(row, Outcome(called=True, error=True, reward=0.0), Outcome(True, True, False, 0.3, 0.0))
    assert moments(known, COST) == (1, 1, 0.3, 0.3)


def test_an_answer_without_a_cost_waits_where_cost_matters():
    """Reward per cost needs both numbers of one unit; plain reward does not."""
    row = told(unit(), answered(1.0, cost=None))
    assert moments(row, PRIMARY) is None
    assert moments(row, COST) is None
    assert moments(row, PRIMARY, PLAIN) == (1, 1, 1.0, 0.0)


def test_half_the_cost_is_no_cost():
    """A unit with one unknown bill of two would look cheap."""
    row = told(unit(2), answered(1.0), answered(1.0, cost=None))
    assert moments(row, COST) is None
    assert moments(row, ERROR) == (1, 2, 0.0, 0.0)


def test_the_cost_beside_a_reward_is_that_of_the_rated_requests():
    """One of four requests was rated: reward per cost must not fall to a quarter for it."""
    row = told(unit(4), answered(1.0), answered(), answered(), answered())
    assert moments(row, PRIMARY) == (1, 1, 1.0, 0.5)
    assert moments(row, COST) == (1, 4, 2.0, 2.0)


def test_the_cost_cap_holds_for_the_whole_unit():
    """Declared winsorising happens before sums of squares are taken."""
    capped = experiment(objective={"cost_cap_usd": 0.8})
    row = told(unit(2), answered(1.0), answered(0.0))
    assert moments(row, COST, capped) == (1, 2, 0.8, 0.8)
    assert moments(row, PRIMARY, capped) == (1, 2, 1.0, 0.8)


def test_silence_within_a_rated_unit_has_the_declared_value():
    """Two calls, one rated; the other counts as declared."""
    silent = experiment(reward={"missing": 0.25})
    row = told(unit(2), answered(1.0), answered())
    assert moments(row, PRIMARY, silent) == (1, 2, 1.25, 1.0)


def test_one_diverted_call_makes_the_unit_not_served_as_assigned():
    """The rule counts units whose every call was answered by their candidate."""
    row = told(unit(2), answered(1.0), answered(1.0, diverted=True))
    assert counts(row) == {"assigned": 1, "called": 1, "feedback": 1}


def test_a_unit_known_only_from_feedback_is_recovered_and_not_assigned():
    """It counts in the reward, and apart in every sample ratio."""
    row = told(unit(requests=0), Outcome(called=True, reward=1.0, reported=True, cost_usd=0.1))
    assert counts(row) == {"called": 1, "served": 1, "recovered": 1}
    assert moments(row, PRIMARY) == (1, 1, 1.0, 0.1)


def test_a_reward_implied_by_an_error_is_not_reported_feedback():
    """The unit row keeps both apart."""
    row = told(unit(), Outcome(called=True, error=True, reward=0.0, cost_usd=0.0))
    assert (row.rated, row.feedback) == (1, 0)


def test_further_metrics_have_their_own_moments():
    """N is the number of reports."""
    row = told(unit(2), answered(metrics=(("stars", 4.0),)), answered(metrics=(("stars", 2.0),)))
    assert moments(row, "stars") == (1, 2, 6.0, 1.0)


@pytest.mark.parametrize(("stars", "counted"), [(9.0, 5.0), (3.0, 3.0), (-1e9, 1.0)])
def test_a_guarded_metric_counts_within_its_declared_range(stars, counted):
    """One absurd value decides nothing; the unit row keeps what was sent, and other metrics are left alone."""
    guarded = experiment(guardrails=[{"metric": "stars", "max_decrease": 0.5, "range": (1, 5)}])
    row = told(unit(1), answered(metrics=(("edits", stars), ("stars", stars))))
    assert row.metrics["stars"] == (1, stars)
    assert moments(row, "stars", guarded)[2] == counted
    assert moments(row, "edits", guarded)[2] == moments(row, "stars")[2] == stars


def test_the_reports_of_one_unit_are_kept_within_the_range_by_their_mean():
    """Two reports of a range up to five sum to ten at most."""
    guarded = experiment(guardrails=[{"metric": "stars", "max_decrease": 0.5, "range": (1, 5)}])
    row = told(unit(2), answered(metrics=(("stars", 40.0),)), answered(metrics=(("stars", 2.0),)))
    assert moments(row, "stars", guarded)[:3] == (1, 2, 10.0)


@given(st.lists(OUTCOMES, min_size=1, max_size=6), st.data())
def test_the_order_in_which_outcomes_arrive_does_not_matter(outcomes, data):
    """Nodes and retries deliver in any order; amounts are exact in binary, so rows are equal to the bit."""
    shuffled = data.draw(st.permutations(outcomes))
    assert told(unit(len(outcomes)), *outcomes) == told(unit(len(outcomes)), *shuffled)


@given(st.lists(OUTCOMES, min_size=1, max_size=5), OUTCOMES, st.integers(0, 4))
def test_a_changed_outcome_leaves_no_trace_of_the_old_one(outcomes, replacement, index):
    """Superseding feedback must not be added to what it replaces."""
    index %= len(outcomes)
    final = [*outcomes[:index], replacement, *outcomes[index + 1 :]]
    row = moved(told(unit(len(outcomes)), *outcomes), outcomes[index], replacement)
    assert row == told(unit(len(outcomes)), *final)
    assert contribution(row, PER_COST) == contribution(told(unit(len(outcomes)), *final), PER_COST)


@given(st.lists(OUTCOMES, min_size=1, max_size=5))
def test_taking_everything_back_leaves_the_unit_as_assigned(outcomes):
    """Every move is reversible, which is what signed additions to a cell need."""
    row = told(unit(len(outcomes)), *outcomes)
    for outcome in outcomes:
        row = moved(row, outcome, NOTHING)
    assert row == unit(len(outcomes))


def test_replacing_the_only_value_is_exact():
    """0.1 + 0.2 - 0.1 is not 0.2 in binary; a corrected value must be what was sent."""
    first, second = answered(0.1), answered(0.2)
    row = moved(told(unit(), first), first, second)
    assert row.reward == 0.2


@pytest.mark.parametrize("definition", [PER_COST, PLAIN, experiment(reward={"missing": 0.0})])
@given(outcomes=st.lists(OUTCOMES, max_size=4), requests=st.integers(0, 4))
def test_a_unit_is_counted_once_in_every_metric(definition, outcomes, requests):
    """Whatever is known of it, it is one unit, and its requests are never more than its calls."""
    row = told(unit(requests), *outcomes)
    found = contribution(row, definition)
    assert all(count in (0, 1) for count in found.counts)
    assert all(sums[0] == 1 for sums in found.moments.values())
    for metric in (PRIMARY, COST, ERROR):
        assert metric not in found.moments or found.moments[metric][1] <= row.calls
