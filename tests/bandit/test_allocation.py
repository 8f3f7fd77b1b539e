"""The whole step from cells to shares: deterministic, floored, fair to the order of arms."""

import numpy as np
import pytest

from bandit.allocation import Allocation, allocate, posterior
from bandit.cells import Cells, Z
from bandit.floors import open_floors
from bandit.objectives import Objective

REWARD = Objective("reward")
PER_COST = Objective("reward_per_cost", reward_margin=0.05)


def cells_of(requests, successes, cost_usd) -> Cells:
    """Cells of single-request units with binary rewards and a fixed cost per arm."""
    n, r = np.asarray(requests, dtype=float), np.asarray(successes, dtype=float)
    c = np.broadcast_to(np.asarray(cost_usd, dtype=float), n.shape)
    cells = Cells.empty(*n.shape)
    for i, j, value in (
        (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n),
        (Z.UNIT, Z.TOTAL, r), (Z.REQUESTS, Z.TOTAL, r), (Z.TOTAL, Z.TOTAL, r),
        (Z.UNIT, Z.COST, n * c), (Z.REQUESTS, Z.COST, n * c), (Z.COST, Z.COST, n * c * c),
        (Z.TOTAL, Z.COST, r * c),
    ):  # fmt: skip
        cells.sums[..., i, j] = cells.sums[..., j, i] = value
    return cells


def history(epochs: int = 30, seed: int = 3) -> Cells:
    """Three arms at .70, .69 and .60 that cost 6, 2 and 1 cents."""
    generator = np.random.default_rng(seed)
    requests = generator.integers(20, 50, (epochs, 3))
    successes = generator.binomial(requests, [0.70, 0.69, 0.60])
    return cells_of(requests, successes, [0.06, 0.02, 0.01])


SETTINGS = Allocation(PER_COST, (0.06, 0.02, 0.01))


def test_the_same_evidence_and_seed_give_the_same_shares_and_another_epoch_other_draws():
    """Two planners must publish one vector; yet errors of one epoch's draws must not persist."""
    cells = history(4)
    first, again, later = (allocate(cells, SETTINGS, seed) for seed in ((7, 5), (7, 5), (7, 6)))
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()
    np.testing.assert_allclose(first, later, atol=0.05)


def test_traffic_goes_to_the_best_reward_per_cost_above_the_quality_floor():
    """The cheapest arm is ten points worse than the control, so it only keeps its floor."""
    shares = allocate(history(300), SETTINGS, (1, 1))
    floors = open_floors(np.array([0.06, 0.02, 0.01]), np.ones(3, dtype=bool))
    assert shares[1] > 0.75
    np.testing.assert_allclose(shares[[0, 2]], floors[[0, 2]], rtol=0.05)


@pytest.mark.parametrize("epochs", [0, 1, 5, 300])
def test_shares_are_a_split_that_respects_the_floors(epochs):
    """From the first epoch on, and whatever the evidence."""
    shares = allocate(history(300)[slice(0, epochs)], SETTINGS, (1, epochs))
    assert abs(shares.sum() - 1) < 1e-12
    assert shares[0] >= 0.4 / 3 - 1e-12, "the control keeps .4 / K"
    assert (shares > 0).all()


def test_without_any_evidence_equal_prices_share_nearly_evenly():
    """Nothing is known, so nobody is preferred beyond the noise of the draws."""
    shares = allocate(Cells.empty(0, 4), Allocation(REWARD, (0.01,) * 4, phi=0.0), (1, 1))
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


def test_reordering_arms_reorders_the_shares():
    """Up to the noise of 4,096 draws, the order in the configuration is of no consequence."""
    cells = history(8)
    plain = allocate(cells, SETTINGS, (1, 1))
    moved = allocate(cells.arms(2, 0, 1), Allocation(PER_COST, (0.01, 0.06, 0.02), control=1), (1, 1))
    np.testing.assert_allclose(moved, plain[[2, 0, 1]], atol=0.04)


def test_merged_cells_give_the_shares_of_the_merged_data():
    """Workers' and nodes' cells are added before anything is computed from them."""
    one, other = history(12, seed=1), history(12, seed=2)
    together = allocate(one + other, SETTINGS, (1, 1))
    np.testing.assert_array_equal(together, allocate(Cells(one.sums + other.sums), SETTINGS, (1, 1)))
    assert (together != allocate(one, SETTINGS, (1, 1))).any()


def test_dropped_arms_get_nothing_and_caps_beat_floors():
    """A ramping arm stays at its cap even where its floor is higher."""
    cells, prices = history(100), (0.06, 0.02, 0.01)
    shares = allocate(cells, Allocation(PER_COST, prices, dropped=(1,)), (1, 1))
    assert shares[1] == 0
    ramp = allocate(cells, Allocation(PER_COST, prices, caps=(1.0, 0.05, 0.001)), (1, 1))
    assert ramp[1] <= 0.05 + 1e-12
    assert ramp[2] <= 0.001 + 1e-12
    assert abs(ramp.sum() - 1) < 1e-12
    np.testing.assert_array_equal(
        allocate(cells, Allocation(PER_COST, prices, dropped=(0, 2)), (1, 1)), [0, 1, 0]
    )


def test_an_arm_with_ten_identical_failures_is_not_frozen_out():
    """A plug-in variance of zero would make its posterior a point, and never sample it again."""
    cells = cells_of([[90, 10]], [[14, 0]], 0.01)
    shares = allocate(cells, Allocation(REWARD, (0.01, 0.01), phi=0.0), (1, 1))
    assert 0.01 < shares[1] < 0.3


def test_only_a_long_lucky_streak_looks_certain():
    """Five equal outcomes beside ninety-five equal ones of the same value leave the question open."""
    shares = allocate(cells_of([[95, 5]], [[95, 5]], 0.01), Allocation(REWARD, (0.01, 0.01), phi=0.0), (1, 1))
    np.testing.assert_allclose(shares, 0.5, atol=0.03)


def test_cost_cells_of_their_own_replace_the_costs_of_the_reward_cells():
    """After a change of prices only the current series knows what a request costs."""
    old = history(300)
    now = cells_of(np.full((20, 3), 100), np.zeros((20, 3)), [0.002, 0.02, 0.01])
    before, after = (allocate(old, SETTINGS, (1, 1), cost_cells=cost) for cost in (None, now))
    assert before[1] > 0.75
    assert after[0] > 0.75


def test_forgetting_follows_an_arm_that_got_worse():
    """With .98 per 100 requests the last 40 epochs outweigh the first 160."""
    n = np.full((200, 2), 50)
    successes = n * np.where(np.arange(200)[:, None] < 160, [0.7, 0.6], [0.4, 0.6])
    cells = cells_of(n, successes, 0.01)
    stubborn, nimble = (
        allocate(cells, Allocation(REWARD, (0.01, 0.01), forgetting=g, phi=0.0), (1, 1)) for g in (1.0, 0.98)
    )
    assert stubborn[0] > 0.9
    assert nimble[1] > 0.9


def test_a_reward_on_another_scale_gives_the_same_shares():
    """Prior, variance and floors scale with the range; stars of 1 to 5 are no reason to explore less."""
    generator = np.random.default_rng(4)
    requests = np.full((10, 2), 40)
    unit = generator.binomial(requests, [0.5, 0.55]).astype(float)
    plain = cells_of(requests, unit, 0.01)
    stars = cells_of(requests, unit, 0.01)
    # reward 1 + 4 y: sums of R, R^2 and R N follow from those of y
    stars.sums[..., Z.UNIT, Z.TOTAL] = stars.sums[..., Z.REQUESTS, Z.TOTAL] = requests + 4 * unit
    stars.sums[..., Z.TOTAL, Z.UNIT] = stars.sums[..., Z.TOTAL, Z.REQUESTS] = requests + 4 * unit
    stars.sums[..., Z.TOTAL, Z.TOTAL] = requests + 24 * unit
    one = allocate(plain, Allocation(REWARD, (0.01, 0.01)), (1, 1))
    five = allocate(stars, Allocation(Objective("reward", low=1.0, high=5.0), (0.01, 0.01)), (1, 1))
    np.testing.assert_allclose(five, one, atol=1e-3)
    level = posterior(stars, Allocation(Objective("reward", low=1.0, high=5.0), (0.01, 0.01))).level
    assert level == pytest.approx(1 + 4 * unit.sum() / requests.sum(), abs=0.01)


@pytest.mark.parametrize("scale", [1, 10**6, 10**12])
def test_extreme_evidence_gives_a_finite_split(scale):
    """No traffic on one arm, nothing but failures on another, and any number of requests."""
    cells = cells_of([[5 * scale, 3 * scale, 0]], [[2 * scale, 0, 0]], [0.0, 1e3, 0.5])
    shares = allocate(cells, Allocation(PER_COST, (0.0, 1e3, 0.5)), (1, 1))
    assert np.isfinite(shares).all()
    assert abs(shares.sum() - 1) < 1e-12


def test_a_mismatch_of_arms_and_a_drop_of_all_arms_are_refused():
    """The message says what to give."""
    with pytest.raises(ValueError, match="one cost per arm"):
        allocate(Cells.empty(1, 2), Allocation(REWARD, (0.1,)), (1, 1))
    with pytest.raises(ValueError, match="must leave one"):
        allocate(Cells.empty(1, 2), Allocation(REWARD, (0.1, 0.1), dropped=(0, 1)), (1, 1))
