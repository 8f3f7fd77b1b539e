"""P(best) against vectors, a Monte-Carlo oracle and extreme inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from bandit.best import best_of_betas, best_of_draws, best_of_normals

DRAWS = 200_000


def oracle(draws: np.ndarray) -> np.ndarray:
    """Frequency of each column to be the largest."""
    return np.bincount(draws.argmax(axis=1), minlength=draws.shape[1]) / len(draws)


def test_three_betas_give_the_known_vector():
    """Own computation. Beta(1,1), (3,1), (2,5): exact fractions 41/168, 123/168 and 4/168."""
    best = best_of_betas(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 5.0]))
    np.testing.assert_allclose(best, [0.24404762, 0.73214286, 0.02380952], atol=1e-6)


def test_arms_of_very_different_sizes_are_integrated_at_their_own_scale():
    """A common grid gives .45, .20, .35 here: two narrow posteriors fall between its points."""
    best = best_of_betas(np.array([648_000.0, 647_000.0, 1.0]), np.array([352_000.0, 353_000.0, 1.0]))
    ahead = ndtr(0.001 / np.sqrt(0.648 * 0.352 / 1e6 + 0.647 * 0.353 / 1e6))
    np.testing.assert_allclose(best, [0.648 * ahead, 0.648 * (1 - ahead), 0.352], atol=2e-4)


@pytest.mark.parametrize("seed", range(4))
def test_betas_agree_with_monte_carlo(seed):
    """The grid formula against brute force, with counts from nearly none to thousands."""
    generator = np.random.default_rng(seed)
    alphas, betas = (
        1 + generator.exponential([2, 20, 200, 5], 4),
        1 + generator.exponential([2, 20, 200, 5], 4),
    )
    drawn = generator.beta(alphas, betas, (DRAWS, 4))
    np.testing.assert_allclose(best_of_betas(alphas, betas), oracle(drawn), atol=0.005)


@pytest.mark.parametrize("seed", range(4))
def test_normals_agree_with_monte_carlo(seed):
    """The quadrature against brute force, with spreads that differ threefold."""
    generator = np.random.default_rng(seed)
    means, sds = generator.normal(0.5, 0.05, 5), generator.uniform(0.02, 0.06, 5)
    drawn = generator.normal(means, sds, (DRAWS, 5))
    np.testing.assert_allclose(best_of_normals(means, sds), oracle(drawn), atol=0.005)


def test_two_normals_have_a_closed_form():
    """P(first best) = Phi((m1 - m2) / sqrt(s1^2 + s2^2))."""
    best = best_of_normals(np.array([0.3, 0.1]), np.array([0.2, 0.1]))
    np.testing.assert_allclose(best[0], ndtr(0.2 / np.sqrt(0.05)), atol=1e-4)


ARMS = st.lists(st.tuples(st.floats(0.5, 500), st.floats(0.5, 500)), min_size=1, max_size=6)


@settings(derandomize=True, max_examples=30)
@given(ARMS, st.randoms(use_true_random=False))
def test_chances_sum_to_one_and_follow_a_reordering(arms, random):
    """Naming arms in another order must change nothing else."""
    order = list(range(len(arms)))
    random.shuffle(order)
    a, b = np.array(arms).T
    best, normal = best_of_betas(a, b), best_of_normals(a, b)
    assert abs(best.sum() - 1) < 1e-12
    assert (best >= 0).all()
    np.testing.assert_allclose(best_of_betas(a[order], b[order]), best[order], atol=1e-9)
    np.testing.assert_allclose(best_of_normals(a[order], b[order]), normal[order], atol=1e-9)


@settings(derandomize=True, max_examples=30)
@given(ARMS)
def test_lower_is_better_equals_higher_is_better_of_the_mirrored_reward(arms):
    """Failures in place of successes: two arms must swap their chances, and K arms find the lowest."""
    a, b = np.array(arms).T
    lowest = best_of_betas(b, a)
    if len(arms) == 2:
        np.testing.assert_allclose(lowest, best_of_betas(a, b)[::-1], atol=1e-5)
    drawn = -np.random.default_rng(0).beta(a, b, (20_000, len(arms)))
    np.testing.assert_allclose(lowest, best_of_draws(drawn), atol=0.03)


@pytest.mark.parametrize("arms", [1, 2, 20])
def test_equal_arms_share_evenly(arms):
    """Also when nothing is uncertain: a tie is no reason to prefer the first arm."""
    even = np.full(arms, 1 / arms)
    np.testing.assert_allclose(best_of_betas(np.full(arms, 3.0), np.full(arms, 4.0)), even, atol=1e-9)
    np.testing.assert_allclose(best_of_normals(np.full(arms, 0.4), np.full(arms, 0.1)), even, atol=1e-9)
    np.testing.assert_allclose(best_of_normals(np.full(arms, 0.4), np.zeros(arms)), even, atol=1e-12)
    np.testing.assert_allclose(best_of_draws(np.full((7, arms), -np.inf)), even, atol=1e-12)


def test_a_known_score_beats_exactly_the_mass_below_it():
    """An arm with standard deviation zero against a standard normal."""
    best = best_of_normals(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(best[0], ndtr(1.0), atol=0.02)


@pytest.mark.parametrize("units", [1.0, 1e3, 1e9, 1e14])
def test_any_number_of_observations_gives_finite_chances(units):
    """Long-running experiments must not end in 0/0."""
    best = best_of_betas(1 + units * np.array([0.5, 0.5001, 0.0]), 1 + units * np.array([0.5, 0.4999, 1.0]))
    assert np.isfinite(best).all()
    assert abs(best.sum() - 1) < 1e-12
    assert best[1] >= best[0] >= best[2]


def test_zero_alpha_is_refused_rather_than_crashing_the_sampler():
    """The message names the values and the bound."""
    with pytest.raises(ValueError, match="> 0"):
        best_of_betas(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match=">= 0"):
        best_of_normals(np.array([0.0]), np.array([-0.1]))
    with pytest.raises(ValueError, match="without NaN"):
        best_of_draws(np.array([[np.nan, 1.0]]))
