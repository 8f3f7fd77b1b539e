"""Reward under a budget: the price of spending, the reserve, and the linear programme as oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from bandit.allocation import Allocation
from bandit.budget import allowance, budget_shares, spending_price
from bandit.cells import Cells, Z
from bandit.objectives import Objective, net_value_scores

FEW = settings(derandomize=True, max_examples=50)
RATES = np.array([0.55, 0.62, 0.70, 0.74, 0.78])
COSTS = 0.01 * np.array([0.1, 0.5, 1.2, 3.0, 6.0])
BUDGET = 0.01


def fill(cells: Cells, epoch: int, n, successes, costs, squares) -> None:
    """Counts of single-request units; costs are independent of rewards."""
    joint = successes * costs / np.maximum(n, 1)
    for i, j, value in (
        (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n), (Z.UNIT, Z.TOTAL, successes),
        (Z.REQUESTS, Z.TOTAL, successes), (Z.TOTAL, Z.TOTAL, successes), (Z.UNIT, Z.COST, costs),
        (Z.REQUESTS, Z.COST, costs), (Z.COST, Z.COST, squares), (Z.TOTAL, Z.COST, joint),
    ):  # fmt: skip
        cells.sums[epoch, :, i, j] = cells.sums[epoch, :, j, i] = value


def exact_cells(units: float, rates=RATES, costs=COSTS, epochs: int = 4) -> Cells:
    """Every arm exactly at its rate and cost."""
    cells, n = Cells.empty(epochs, len(rates)), np.full(len(rates), units / epochs)
    for epoch in range(epochs):
        fill(cells, epoch, n, n * rates, n * costs, n * costs**2 * 1.01)
    return cells


def plan(costs=COSTS, budget_usd: float = BUDGET, **changes: object) -> Allocation:
    """Settings without floors, unless said otherwise."""
    objective = Objective("budget", budget_usd=budget_usd)
    return Allocation(objective, tuple(costs), **({"phi": 0.0} | changes))  # type: ignore[arg-type]  # fields by name


def oracle(budget_usd: float, rates=RATES, costs=COSTS) -> np.ndarray:
    """The best split when all is known."""
    found = linprog(-rates, A_ub=[costs], b_ub=[budget_usd], A_eq=[np.ones(rates.size)], b_eq=[1])
    return np.asarray(found.x)


@pytest.mark.parametrize("budget_usd", [0.004, 0.01, 0.02])
def test_with_everything_known_the_shares_solve_the_linear_programme(budget_usd):
    """The best split mixes at most two arms; lambda alone would swing between them."""
    cells = exact_cells(2e8)
    may_cost = allowance(float(cells.total(Z.COST).sum()), float(cells.n.sum()), budget_usd)
    shares = budget_shares(cells, plan(budget_usd=budget_usd), (1, 1))
    np.testing.assert_allclose(shares, oracle(may_cost), atol=0.02)


def test_costs_count_in_multiples_of_the_budget():
    """In dollars a request costs 1e-4 and lambda, at most one, would never bind."""
    cells, tiny = exact_cells(2000), exact_cells(2000, costs=COSTS * 1e-6)
    np.testing.assert_allclose(
        budget_shares(tiny, plan(COSTS * 1e-6, BUDGET * 1e-6), (1, 1)),
        budget_shares(cells, plan(), (1, 1)),
        atol=1e-6,
    )


def test_the_price_follows_its_recursion_epoch_by_epoch():
    """Against the formula step by step; both bounds are reached by long over- and underspending."""
    generator = np.random.default_rng(1)
    requests = generator.integers(50, 150, 40).astype(float)
    spend = requests * BUDGET * generator.uniform(0, 8, 40)
    price, spent, count = 1e-3, 0.0, 0.0
    for s, n in zip(spend, requests, strict=True):
        spent, count = spent + s, count + n
        of_epoch, so_far = s / (n * BUDGET) - 1, spent / (count * BUDGET) - 1
        price *= np.exp(0.05 * min(max(of_epoch, -1), 3) + 0.02 * min(max(so_far, -1), 3))
        price = min(max(price, 1e-6), 1.0)
    assert spending_price(spend, requests, BUDGET) == pytest.approx(price)
    assert spending_price(10 * requests, requests, BUDGET) == pytest.approx(1.0)
    assert spending_price(np.zeros(200), np.full(200, 100.0), BUDGET) == pytest.approx(1e-6)
    assert spending_price(np.zeros(0), np.zeros(0), BUDGET) == spending_price(
        np.zeros(3), np.zeros(3), BUDGET
    )


def test_the_first_epoch_is_affordable_by_the_price_list():
    """Equal shares would cost twice the budget before the first bill arrives; the reserve covers dear surprises."""
    shares = budget_shares(Cells.empty(0, 5), plan(phi=0.05), (1, 1))
    assert COSTS.mean() > 2 * BUDGET
    assert 0.4 * BUDGET < shares @ COSTS < 0.8 * BUDGET
    assert shares.min() > 0


def test_debts_are_paid_and_savings_spent():
    """After overspending an epoch may cost less than the budget, never less than half of it."""
    assert allowance(0.0, 0.0, BUDGET) == BUDGET
    assert allowance(11.0, 1000.0, BUDGET) == pytest.approx(BUDGET - 1.0 / 2000)
    assert allowance(900.0, 1000.0, BUDGET) == 0.5 * BUDGET
    assert allowance(0.0, 1e6, BUDGET) == 1.25 * BUDGET


@FEW
@given(st.integers(0, 500), st.floats(1e-3, 1.0), st.sampled_from([0.0, 0.05]))
def test_any_split_is_affordable_where_an_arm_is(seed, budget, phi):
    """Whatever the evidence, planned costs stay within what may be spent; floors are paid out of it."""
    generator = np.random.default_rng(seed)
    costs = budget * generator.uniform(0.05, 20, 4) * [0.02, 1, 1, 1]
    rates = generator.uniform(0.1, 0.9, 4)
    cells = exact_cells(float(generator.choice([8.0, 400.0, 40_000.0])), rates, costs)
    shares = budget_shares(cells, plan(costs, budget, phi=phi), (seed, 1))
    spend, requests = float(cells.total(Z.COST).sum()), float(cells.n.sum())
    assert shares.sum() == pytest.approx(1)
    assert shares.min() >= 0
    assert shares @ costs <= allowance(spend, requests, budget) * 1.02


def test_a_budget_below_every_arm_serves_the_cheapest():
    """Traffic must flow; the report shows the spend."""
    shares = budget_shares(exact_cells(1e6), plan(budget_usd=1e-4), (1, 1))
    np.testing.assert_allclose(shares, [1, 0, 0, 0, 0], atol=0.01)


def test_a_budget_above_every_arm_is_plain_reward():
    """Where money is no object the best arm gets the traffic, whatever it costs."""
    assert budget_shares(exact_cells(1e5), plan(budget_usd=1.0), (1, 1))[4] > 0.99


def test_dropped_and_capped_arms_stay_so():
    """What a ramp or a verdict forbids, no saving may buy."""
    shares = budget_shares(
        exact_cells(1e5), plan(budget_usd=0.02, dropped=(4,), caps=(1, 1, 1, 0.05, 1), phi=0.05), (1, 1)
    )
    assert shares[4] == 0
    assert shares[3] <= 0.05 + 1e-9
    assert budget_shares(exact_cells(9), plan(dropped=(0, 1, 2, 3)), (1, 1)).tolist() == [0, 0, 0, 0, 1]


def test_floors_are_paid_with_a_twentieth_of_the_budget():
    """A dear control with a floor of .4 / K would spend the whole budget by itself."""
    shares = budget_shares(exact_cells(1e6), plan(budget_usd=0.004, phi=0.05), (1, 1))
    np.testing.assert_allclose(shares[2:], 0.05 * 0.004 / (5 * COSTS[2:]), rtol=0.15)


def test_to_learn_half_goes_to_challengers_and_the_budget_still_holds():
    """Top-two would send half to a runner-up that costs six times the budget."""
    cells = exact_cells(20_000)
    spend, requests = float(cells.total(Z.COST).sum()), float(cells.n.sum())
    for budget_usd in (0.004, 0.01, 0.02):
        shares = budget_shares(cells, plan(budget_usd=budget_usd), (1, 1), learning=True)
        assert shares @ COSTS <= allowance(spend, requests, budget_usd) * 1.02
    rich = budget_shares(cells, plan(budget_usd=1.0, phi=0.05), (1, 1), learning=True)
    assert rich[4] == pytest.approx(0.36, abs=0.03), "where money is no object it is plain top-two"


def test_old_bills_are_paid_at_the_prices_of_their_time():
    """After a price cut the debts remain: what was spent counts, what a request costs now is another matter."""
    old, new = exact_cells(4_000, costs=3 * COSTS), exact_cells(40)
    indebted = budget_shares(old, plan(), (1, 1), cost_cells=new, spent_cells=old)
    free = budget_shares(old, plan(), (1, 1), cost_cells=new, spent_cells=new)
    assert indebted @ COSTS < 0.7 * BUDGET < free @ COSTS


def test_an_objective_without_a_budget_is_no_budget():
    """The message names it."""
    with pytest.raises(ValueError, match="'reward' has no budget_usd"):
        budget_shares(exact_cells(9), Allocation(Objective("reward"), tuple(COSTS)), (1, 1))


def test_net_value_weighs_reward_in_dollars():
    """value * reward - cost; doubling money and costs together changes no order."""
    rewards, costs = np.array([[0.9, 0.8]]), np.array([[0.05, 0.001]])
    np.testing.assert_allclose(net_value_scores(rewards, costs, 1.0), [[0.85, 0.799]])
    assert net_value_scores(rewards, costs, 0.1).argmax() == 1
    np.testing.assert_allclose(
        net_value_scores(rewards, 2 * costs, 2.0), 2 * net_value_scores(rewards, costs, 1.0)
    )


@pytest.mark.parametrize("money", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_amounts_of_money_are_refused(money):
    """A budget of zero would divide costs by zero and serve anything."""
    for call in (
        lambda: budget_shares(exact_cells(10), plan(budget_usd=money), (1, 1)),
        lambda: net_value_scores(RATES, COSTS, money),
        lambda: allowance(1.0, 1.0, money),
    ):
        with pytest.raises(ValueError, match="must be finite and above 0"):
            call()


def served(budget_usd: float, seed: int, listed: np.ndarray, epochs: int = 250) -> tuple[float, np.ndarray]:
    """Mean expected reward once 50 epochs have taught it, and spend per request after each epoch.

    Epochs hold 100 requests with lognormal costs.
    """
    generator, cells = np.random.default_rng(seed), Cells.empty(epochs, RATES.size)
    reward, spend = 0.0, np.zeros(epochs)
    for epoch in range(epochs):
        shares = budget_shares(cells[slice(0, epoch)], plan(listed, budget_usd, draws=1024), (seed, epoch))
        n = generator.multinomial(100, shares)
        arm = np.repeat(np.arange(RATES.size), n)
        cost = COSTS[arm] * np.exp(generator.normal(-np.log(2) / 2, np.sqrt(np.log(2)), 100))
        successes, total = generator.binomial(n, RATES), np.bincount(arm, cost, RATES.size)
        fill(cells, epoch, n, successes, total, np.bincount(arm, cost**2, RATES.size))
        reward, spend[epoch] = reward + (n @ RATES if epoch >= 50 else 0.0), total.sum()
    return reward / (epochs - 50) / 100, np.cumsum(spend) / np.arange(1, epochs + 1) / 100


@pytest.mark.statistical
@pytest.mark.parametrize("budget_usd", [0.004, 0.02])
def test_reward_is_within_one_percent_of_the_linear_programme_and_spend_within_three(budget_usd):
    """Bar 7 in short: five arms from a tenth of the cost to sixty times it, a price list that is half wrong."""
    runs = [served(budget_usd, seed, COSTS * [1, 1, 0.5, 0.5, 0.5]) for seed in range(3)]
    best = float(oracle(budget_usd) @ RATES)
    assert np.mean([reward for reward, _ in runs]) >= 0.99 * best
    for _, spend in runs:
        assert spend[-1] <= 1.03 * budget_usd
        assert spend[20:].max() <= 1.15 * budget_usd, "early epochs do not overspend"
