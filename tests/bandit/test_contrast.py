"""The contrast posterior against its defining recursion, a full regression and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.contrast import Contrasts, contrasts


def random_cells(seed: int, epochs: int = 12, arms: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Requests and totals with some empty cells."""
    generator = np.random.default_rng(seed)
    requests = generator.integers(0, 40, (epochs, arms)).astype(float)
    totals = generator.binomial(requests.astype(int), np.linspace(0.3, 0.6, arms)).astype(float)
    return requests, totals


def recursion(requests, totals, variance, prior_sd, forgetting):
    """L and b epoch by epoch as the contract states it: discount first, then add; the noise as weights have it."""
    arms = requests.shape[1]
    information, response, weighed, squared = np.zeros((arms, arms)), np.zeros(arms), 0.0, 0.0
    for n, s in zip(requests, totals, strict=True):
        if n.sum() == 0:
            continue
        gamma = forgetting ** (n.sum() / 100)
        information = gamma * information + np.diag(n) - np.outer(n, n) / n.sum()
        response = gamma * response + s - n * s.sum() / n.sum()
        weighed, squared = gamma * weighed + n.sum(), gamma**2 * squared + n.sum()
    variance *= (1 + squared / weighed) / 2
    covariance = np.linalg.inv(information / variance + np.eye(arms) / prior_sd**2)
    return covariance @ response / variance, covariance


@pytest.mark.parametrize("forgetting", [1.0, 0.98, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_vectorised_posterior_equals_the_recursion(seed, forgetting):
    """All epochs at once must give what one epoch after the other gives."""
    requests, totals = random_cells(seed)
    got = contrasts(requests, totals, 0.24, forgetting=forgetting)
    mean, covariance = recursion(requests, totals, 0.24, 0.3, forgetting)
    np.testing.assert_allclose(got.mean, mean, atol=1e-10)
    np.testing.assert_allclose(got.covariance, covariance, atol=1e-10)
    np.testing.assert_allclose(got.root @ got.root.T, covariance, atol=1e-10)


def test_the_posterior_equals_a_regression_with_one_free_base_per_epoch():
    """Known answer: least squares on (epoch dummies, arm dummies) with a ridge on the arms only."""
    requests, totals = random_cells(5)
    epochs, arms = requests.shape
    rows, values, sizes = [], [], []
    for e in range(epochs):
        for k in range(arms):
            if requests[e, k]:
                rows.append(np.concatenate([np.eye(epochs)[e], np.eye(arms)[k]]))
                values.append(totals[e, k] / requests[e, k])
                sizes.append(requests[e, k])
    design, w = np.array(rows), np.array(sizes) / 0.2
    ridge = np.diag([0.0] * epochs + [1 / 0.3**2] * arms)
    posterior = np.linalg.inv(design.T @ (design * w[:, None]) + ridge)
    solution = posterior @ design.T @ (w * np.array(values))
    got = contrasts(requests, totals, 0.2)
    np.testing.assert_allclose(got.mean, solution[epochs:], atol=1e-9)
    np.testing.assert_allclose(got.covariance, posterior[epochs:, epochs:], atol=1e-9)


@settings(derandomize=True, max_examples=30)
@given(st.integers(0, 1000), st.floats(-5, 5))
def test_a_shock_common_to_all_arms_changes_no_contrast(seed, size):
    """This is what makes the bandit blind to hours, weekdays and drift."""
    requests, totals = random_cells(seed)
    shocks = size * np.random.default_rng(seed).standard_normal((len(requests), 1))
    plain, shocked = contrasts(requests, totals, 0.2), contrasts(requests, totals + requests * shocks, 0.2)
    np.testing.assert_allclose(shocked.mean, plain.mean, atol=1e-9)
    np.testing.assert_allclose(shocked.covariance, plain.covariance, atol=1e-12)


@settings(derandomize=True, max_examples=30)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_reordering_arms_reorders_the_posterior(seed, order):
    """The control has no special place in the model."""
    requests, totals = random_cells(seed)
    plain, moved = contrasts(requests, totals, 0.2), contrasts(requests[:, order], totals[:, order], 0.2)
    np.testing.assert_allclose(moved.mean, plain.mean[order], atol=1e-9)
    np.testing.assert_allclose(moved.covariance, plain.covariance[np.ix_(order, order)], atol=1e-9)
    assert moved.level == pytest.approx(plain.level)


def test_negated_rewards_negate_every_contrast():
    """Lower-is-better is higher-is-better of the negated rewards, down to the last digit."""
    requests, totals = random_cells(3)
    plain, negated = contrasts(requests, totals, 0.2), contrasts(requests, -totals, 0.2)
    np.testing.assert_allclose(negated.mean, -plain.mean, atol=1e-12)
    assert negated.level == pytest.approx(-plain.level)


def test_the_level_follows_the_last_ten_epochs():
    """A reward floor must be compared with what rewards are now, not with their history."""
    requests = np.full((40, 2), 50.0)
    totals = requests * np.where(np.arange(40) < 30, 0.2, 0.7)[:, None]
    assert contrasts(requests, totals, 0.2).level == pytest.approx(0.7)


def test_without_any_request_the_prior_remains():
    """The first epoch of an experiment: equal arms at the prior's level."""
    for epochs in (0, 3):
        got = contrasts(np.zeros((epochs, 3)), np.zeros((epochs, 3)), 0.25, prior_level=0.5)
        np.testing.assert_allclose(got.mean, 0)
        np.testing.assert_allclose(got.covariance, 0.09 * np.eye(3))
        assert got.level == 0.5


def test_an_arm_alone_in_its_epochs_teaches_nothing():
    """Outcomes without a comparison in the same epoch carry no contrast, whatever they are."""
    requests = np.array([[100.0, 0.0], [100.0, 0.0]])
    got = contrasts(requests, requests * 0.9, 0.25)
    np.testing.assert_allclose(got.mean, 0, atol=1e-12)
    np.testing.assert_allclose(got.covariance, 0.09 * np.eye(2), atol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, 1e12])
def test_any_amount_of_data_gives_a_finite_positive_posterior(scale):
    """Inverting the information of 1e12 requests naively loses the prior's direction."""
    requests = scale * np.array([[1.0, 2.0, 0.0], [3.0, 1.0, 1e-6]])
    got = contrasts(requests, requests * np.array([0.5, 0.6, 0.4]), 1e-4)
    assert np.isfinite(got.mean).all()
    assert (np.linalg.eigvalsh(got.covariance) >= 0).all()
    if scale >= 1:
        assert got.mean[1] - got.mean[0] == pytest.approx(0.1, abs=0.01)


def test_draws_have_the_posterior_s_mean_and_covariance():
    """Joint draws carry the correlation on which P(best) of contrasts depends."""
    got = contrasts(*random_cells(9), 0.2)
    drawn = got.draws(np.random.default_rng(0).standard_normal((200_000, 4)))
    np.testing.assert_allclose(drawn.mean(axis=0), got.level + got.mean, atol=0.002)
    np.testing.assert_allclose(np.cov(drawn.T), got.covariance, atol=0.002)


@pytest.mark.parametrize(("level", "kind"), [(0.7, np.float32), (2e6, np.float64)])
def test_draws_keep_the_precision_of_the_normals_only_where_it_is_enough(level, kind):
    """Rewards of 2,000,000 give or take .01 would all be alike in single precision."""
    sd = np.array([0.01, 0.01])
    posterior = Contrasts(np.array([0.0, 0.02]), np.diag(sd**2), np.diag(sd), level)
    drawn = posterior.draws(np.random.default_rng(0).standard_normal((50_000, 2), dtype=np.float32))
    assert drawn.dtype == kind
    np.testing.assert_allclose(drawn.std(axis=0, dtype=np.float64), sd, rtol=0.01)
    assert (drawn[:, 1] > drawn[:, 0]).mean() == pytest.approx(0.92135, abs=0.005)  # Phi(sqrt 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variance": 0.0}, "variance == 0.0"),
        ({"prior_sd": float("nan")}, "prior_sd == nan"),
        ({"forgetting": 0.0}, r"\(0, 1\]"),
        ({"totals": np.full((2, 2), np.inf)}, "finite"),
        ({"totals": np.zeros((2, 3))}, "epochs by arms"),
    ],
)
def test_impossible_inputs_are_refused(change, words):
    """A wrong number must stop the tick with its name, not become a share."""
    call = {"requests": np.ones((2, 2)), "totals": np.ones((2, 2)), "variance": 0.2} | change
    with pytest.raises(ValueError, match=words):
        contrasts(call.pop("requests"), call.pop("totals"), call.pop("variance"), **call)
