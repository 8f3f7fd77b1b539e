"""First shares: equal, held back by a ramp, or as the budget allows by the price list."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.definition.first_shares import RESERVE, affordable, first_shares
from tests.experiments.looks import experiment


def budgeted(budget_usd: float, *names: str, **fields: object):
    """An experiment under a budget."""
    return experiment(*names, objective={"kind": "budget", "budget_usd": budget_usd}, **fields)


def test_an_experiment_without_a_budget_starts_as_declared():
    """Prices move shares only once there is evidence of quality."""
    assert first_shares(experiment("a", "b"), (0.06, 0.001)) == (0.5, 0.5)
    assert first_shares(experiment("a", "b", bandit={"ramp": [0.02]}), (0.06, 0.001)) == (0.98, 0.02)


def test_a_budget_is_kept_from_the_first_request_on():
    """Equal shares of these would cost three times the budget before the first bill came in."""
    costs = (0.06, 0.01, 0.001)
    shares = first_shares(budgeted(0.008, "a", "b", "c"), costs)
    spend = sum(share * cost for share, cost in zip(shares, costs, strict=True))
    assert spend * RESERVE == pytest.approx(0.008)
    assert min(shares) > 0.05, "every candidate is looked at"
    assert first_shares(budgeted(1.0, "a", "b", "c"), costs) == (1 / 3, 1 / 3, 1 / 3)


def test_a_budget_below_the_cheapest_serves_the_cheapest():
    """Traffic must flow."""
    assert first_shares(budgeted(1e-5, "a", "b"), (0.06, 0.001)) == (0.0, 1.0)


def test_a_ramp_beats_the_budget():
    """A new candidate stays behind its cap, however cheap it is."""
    held = budgeted(0.008, "a", "b", bandit={"ramp": [0.02]})
    assert first_shares(held, (0.06, 0.001)) == pytest.approx((0.98, 0.02))


def test_mode_ab_keeps_its_shares():
    """They were given."""
    assert first_shares(budgeted(0.001, "a", "b", mode="ab"), (0.06, 0.001)) == (0.5, 0.5)


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=20), st.floats(1e-9, 1e3))
def test_any_prices_give_a_split_within_the_budget_or_the_cheapest(costs, budget):
    """Whatever the price list says."""
    arms = len(costs)
    shares = affordable((1 / arms,) * arms, costs, (1.0,) * arms, budget)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0
    spend = sum(share * cost for share, cost in zip(shares, costs, strict=True))
    assert spend <= max(budget, min(costs)) * (1 + 1e-9)
