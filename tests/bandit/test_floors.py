"""Exploration floors: bounded in number, and in money."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.floors import after_floors, open_floors
from bandit.shares import with_floor

COSTS = st.lists(st.floats(1e-6, 10), min_size=1, max_size=20)


@settings(derandomize=True, max_examples=60)
@given(COSTS, st.floats(0, 1))
def test_open_floors_stay_within_forty_percent_of_traffic_and_phi_of_the_control_s_spend(raw, phi):
    """Both bounds hold whatever the prices, so an expensive candidate cannot eat the budget."""
    costs, live = np.array(raw), np.ones(len(raw), dtype=bool)
    floors = open_floors(costs, live, phi=phi)
    assert floors.sum() <= 0.4 + 1e-12
    assert floors[1:] @ costs[1:] <= phi * costs[0] + 1e-12
    assert (floors >= 0).all()


def test_the_control_keeps_its_floor_however_dear_it_is():
    """Every comparison waits for the control's units, and a smaller share would not save any of them."""
    floors = open_floors(np.array([60.0, 1.0, 5.0, 20.0]), np.ones(4, dtype=bool))
    assert floors[0] == pytest.approx(0.4 / 4)
    np.testing.assert_allclose(floors, [0.1, 0.1, 0.1, 0.0375])


def test_a_candidate_as_dear_as_the_control_is_explored_for_half_of_phi():
    """min(.4 / 2, .05 / 2): equal costs are not free exploration."""
    np.testing.assert_allclose(open_floors(np.ones(2), np.ones(2, dtype=bool)), [0.2, 0.025])


def test_dropped_arms_have_no_floor_and_do_not_count():
    """K is the number of arms that still get traffic."""
    floors = open_floors(np.ones(4), np.array([True, False, True, False]))
    np.testing.assert_allclose(floors, [0.2, 0, 0.025, 0])


def test_cost_aware_floors_keep_ninety_percent_of_the_oracle_s_reward_per_cost():
    """Costs 1 to 60x, the cheapest is best: a flat floor of 1% halves reward per cost instead."""
    costs, best = np.geomspace(1, 60, 20), np.eye(20)[0]
    live = np.ones(20, dtype=bool)
    shares = with_floor(best, after_floors(best, costs, live, epsilon=0.01))
    oracle, flat = 1 / costs[0], 1 / (with_floor(best, np.full(20, 0.01)) @ costs)
    assert 1 / (shares @ costs) >= 0.9 * oracle
    assert flat < 0.5 * oracle


@settings(derandomize=True, max_examples=60)
@given(COSTS, st.floats(0, 1))
def test_floors_after_the_verdict_spend_at_most_phi_of_the_plan(raw, part):
    """The exploration budget is a share of what the plan itself costs."""
    costs, live = np.array(raw), np.ones(len(raw), dtype=bool)
    plan = np.eye(len(raw))[0]
    floors = after_floors(plan, costs, live, epsilon=part / len(raw))
    assert floors @ costs <= 0.05 * costs[0] + 1e-12
    assert (floors <= part / len(raw) + 1e-15).all()


def test_impossible_costs_and_bounds_are_refused():
    """The message names the value and its bound."""
    live = np.ones(2, dtype=bool)
    with pytest.raises(ValueError, match="> 0"):
        open_floors(np.array([0.0, 1.0]), live)
    with pytest.raises(ValueError, match="share of spend"):
        open_floors(np.ones(2), live, phi=1.5)
    with pytest.raises(ValueError, match=r"\[0, 0.5\]"):
        after_floors(np.array([0.5, 0.5]), np.ones(2), live, epsilon=0.6)
