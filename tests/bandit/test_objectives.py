"""Objectives: the table of scores, row by row, and P(best) over joint draws."""

import numpy as np
import pytest

from bandit.best import best_of_normals
from bandit.contrast import Contrasts
from bandit.costs import Costs
from bandit.objectives import Objective, chance_best, scores
from bandit.score_draws import POOL


def known(means: list[float], sd: float = 0.0) -> Contrasts:
    """A posterior with independent arms."""
    root = sd * np.eye(len(means))
    return Contrasts(np.array(means), root @ root.T, root, 0.0)


def priced(costs_usd: list[float], log_sd: float = 0.0) -> Costs:
    """Costs with a given uncertainty."""
    return Costs(np.array(costs_usd), np.full(len(costs_usd), log_sd))


def elected(objective: Objective, means: list[float], costs_usd: list[float], **more) -> list[float]:
    """P(best) when everything is known."""
    live = more.pop("live", np.ones(len(means), dtype=bool))
    chance = chance_best(objective, known(means), priced(costs_usd), live, np.random.default_rng(1), **more)
    return chance.round(12).tolist()


def test_reward_per_cost_scores_arms_above_the_floor_by_their_ratio_and_others_below_zero():
    """Third arm: cheap and bad; without the floor it would score 300 and win."""
    objective = Objective("reward_per_cost", reward_margin=0.05)
    got = scores(objective, np.array([[0.8, 0.78, 0.3]]), np.array([[0.01, 0.002, 0.001]]))
    np.testing.assert_allclose(got, [[80, 390, -0.7]])


def test_plain_reward_ignores_cost():
    """The table's third row."""
    rewards = np.array([[0.8, 0.9]])
    np.testing.assert_array_equal(scores(Objective("reward"), rewards, np.array([[1.0, 100.0]])), rewards)


def test_cheapest_non_inferior_scores_minus_cost_or_minus_infinity():
    """The table's fifth row."""
    objective = Objective("cheapest_non_inferior", reward_margin=0.05)
    got = scores(objective, np.array([[0.8, 0.74, 0.76]]), np.array([[0.05, 0.001, 0.01]]))
    np.testing.assert_array_equal(got, [[-0.05, -np.inf, -0.01]])


def test_net_value_scores_dollars():
    """The table's second row: at two dollars a success the dear arm is worth its price, at ten cents it is not."""
    rewards, costs = [0.9, 0.8], [0.05, 0.001]
    assert elected(Objective("net_value", value_usd=2.0), rewards, costs) == [1, 0]
    assert elected(Objective("net_value", value_usd=0.1), rewards, costs) == [0, 1]
    with pytest.raises(ValueError, match=r"see bandit\.budget"):
        scores(Objective("budget", budget_usd=0.1), np.ones((1, 2)), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("kind", "money"),
    [("net_value", {}), ("budget", {}), ("reward", {"value_usd": 1.0}), ("net_value", {"value_usd": 0.0}),
     ("budget", {"budget_usd": 0.1, "value_usd": 1.0}), ("budget", {"budget_usd": float("inf")})],
)  # fmt: skip
def test_money_belongs_to_its_objective(kind, money):
    """A value that nobody reads would look as if it counted."""
    with pytest.raises(ValueError, match="_usd"):
        Objective(kind, **money)


def test_an_absolute_floor_holds_beside_the_relative_one():
    """`min_reward` binds the control as well."""
    objective = Objective("cheapest_non_inferior", reward_margin=0.1, min_reward=0.75)
    got = scores(objective, np.array([[0.7, 0.72, 0.76]]), np.ones((1, 3)))
    np.testing.assert_array_equal(got, [[-np.inf, -np.inf, -1]])


def test_the_control_may_stand_anywhere():
    """The relative floor follows the control's draw, not the first arm's."""
    objective = Objective("cheapest_non_inferior", reward_margin=0.05)
    assert elected(objective, [0.5, 0.8], [0.001, 0.05], control=1) == [0, 1]
    assert elected(objective, [0.5, 0.8], [0.001, 0.05], control=0) == [1, 0]


def test_a_cheap_bad_model_never_wins_while_it_is_below_the_floor():
    """With costs 1 to 60x the plain ratio always elects the cheapest model, however bad."""
    for kind in ("reward_per_cost", "cheapest_non_inferior"):
        assert elected(Objective(kind, reward_margin=0.02), [0.8, 0.81, 0.1], [0.06, 0.02, 0.001]) == [
            0,
            1,
            0,
        ]


def test_rewards_of_any_range_keep_arms_below_the_floor_last():
    """-1 + reward means nothing on a 0..100 scale; it is taken in widths of the range."""
    objective = Objective("reward_per_cost", reward_margin=5, low=0, high=100)
    assert elected(objective, [10.0, 90.0, 96.0], [1e3, 1e5, 1e5], control=2) == [0, 0, 1]
    signed = Objective("reward_per_cost", reward_margin=0.1, low=-1, high=1)
    assert elected(signed, [-0.2, -0.9], [0.001, 0.0005]) == [1, 0]


def test_if_no_arm_is_good_enough_the_control_is_elected():
    """Cheapest non-inferior has no candidate then, and the control is what is served elsewhere."""
    objective = Objective("cheapest_non_inferior", reward_margin=0.1, min_reward=0.9)
    assert elected(objective, [0.5, 0.55, 0.6], [0.3, 0.2, 0.1]) == [1, 0, 0]
    assert elected(objective, [0.5, 0.55, 0.6], [0.3, 0.2, 0.1], live=np.array([False, True, True])) == [
        0,
        0.5,
        0.5,
    ]


def test_dropped_arms_are_never_elected_even_if_best():
    """And the floor still refers to a control that was dropped."""
    live = np.array([False, True, True])
    assert elected(Objective("reward"), [0.9, 0.5, 0.4], [1.0, 1.0, 1.0], live=live) == [0, 1, 0]
    objective = Objective("reward_per_cost", reward_margin=0.02)
    assert elected(objective, [0.9, 0.895, 0.4], [1.0, 0.5, 0.001], live=live) == [0, 1, 0]


def test_chances_agree_with_plain_monte_carlo():
    """Blocks and signs of normals are a matter of speed only."""
    objective = Objective("reward_per_cost", reward_margin=0.05)
    means, sd, price, log_sd = [0.7, 0.68, 0.64], 0.03, [0.02, 0.018, 0.012], 0.1
    live = np.ones(3, dtype=bool)
    got = chance_best(
        objective, known(means, sd), priced(price, log_sd), live, np.random.default_rng(1), draws=65_536
    )
    generator = np.random.default_rng(2)
    rewards = generator.normal(means, sd, (200_000, 3))
    paid = np.array(price) * np.exp(generator.normal(0, log_sd, (200_000, 3)))
    good = rewards >= rewards[:, :1] - 0.05
    expected = np.bincount(np.where(good, rewards / paid, -1).argmax(axis=1), minlength=3) / 200_000
    np.testing.assert_allclose(got, expected, atol=0.01)
    assert got.min() > 0.05, "every arm must have a chance, or the comparison shows little"


def test_correlated_draws_are_compared_jointly():
    """Two arms that move together: independent products would call it a toss-up."""
    root = np.array([[0.1, 0.0], [0.1, 0.001]])
    together = Contrasts(np.array([0.5, 0.502]), root @ root.T, root, 0.0)
    got = chance_best(
        Objective("reward"), together, priced([1.0, 1.0]), np.ones(2, dtype=bool), np.random.default_rng(0)
    )
    assert got[1] > 0.95


def test_every_normal_is_used_with_both_signs():
    """Two equal arms then tie exactly, not only on average: half the noise of the shares is gone."""
    call = (Objective("reward"), known([0.5, 0.5], 0.1), priced([1.0, 1.0]), np.ones(2, dtype=bool))
    np.testing.assert_array_equal(chance_best(*call, np.random.default_rng(3)), [0.5, 0.5])


def test_the_same_seed_gives_the_same_chances_and_at_least_4096_draws_are_taken():
    """A tick repeated on another node must publish the same shares."""
    call = (Objective("reward"), known([0.5, 0.52], 0.02), priced([1.0, 1.0]), np.ones(2, dtype=bool))
    first, again = (chance_best(*call, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first * 4096 == (first * 4096).round()).all()


def test_errors_of_one_look_s_draws_do_not_persist():
    """All looks read one pool of normals, each in its own way: their errors are as large as chance, and average out."""
    call = (Objective("reward"), known([0.5, 0.501, 0.502], 0.01), priced([1.0] * 3), np.ones(3, dtype=bool))
    looks = np.array([chance_best(*call, np.random.default_rng([5, epoch])) for epoch in range(400)])
    exact = best_of_normals(np.array([0.5, 0.501, 0.502]), np.full(3, 0.01))
    error = looks - exact
    assert 0.003 < error.std(axis=0).max() < 0.0075, "4,096 draws, every normal with both signs"
    assert np.abs(error.mean(axis=0)).max() < 4 * 0.0075 / 20
    assert np.abs(np.corrcoef(error[:-1, 2], error[1:, 2])[0, 1]) < 0.2


def test_more_draws_than_the_pool_holds_are_as_good_as_any():
    """The pool grows with what is read of it."""
    call = (Objective("reward"), known([0.5, 0.52], 0.02), priced([1.0, 1.0]), np.ones(2, dtype=bool))
    got = chance_best(*call, np.random.default_rng(1), draws=POOL)
    np.testing.assert_allclose(got, best_of_normals(np.array([0.5, 0.52]), np.full(2, 0.02)), atol=0.004)


def test_cost_objectives_without_any_floor_are_refused():
    """Reward per cost alone is dangerous; the message says what to add."""
    with pytest.raises(ValueError, match="needs reward_margin or min_reward"):
        Objective("reward_per_cost")
    with pytest.raises(ValueError, match="must be finite and rise"):
        Objective("reward", low=1.0, high=1.0)
