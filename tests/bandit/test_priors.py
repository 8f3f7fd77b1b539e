"""Priors of the contrasts: moments of the offline evaluation, beliefs about pairs, and how data outgrow both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.contrast import contrasts
from bandit.priors import Offline, Prior, offline_prior

NOTHING = np.zeros((0, 3))


def test_an_evaluation_has_the_moments_of_its_beta():
    """a m = 40 prompts' worth at .8: Beta(33, 9) has mean 33/42 and variance 33 * 9 / (42^2 * 43)."""
    prior = offline_prior([Offline(1, 0.8, 200)], arms=3, weight=0.2)
    found = contrasts(NOTHING, NOTHING, 0.25, prior=prior)
    assert found.level + found.mean[1] == pytest.approx(33 / 42)
    assert found.covariance[1, 1] == pytest.approx(33 * 9 / (42**2 * 43))
    assert found.covariance[0, 0] == pytest.approx(0.3**2), "an arm without evaluation stays vague"


@pytest.mark.parametrize("prompts", [250, 10**9])
def test_an_evaluation_counts_for_fifty_requests_at_most(prompts):
    """However long it was: the users of an application are not its benchmark."""
    found = offline_prior([Offline(0, 0.8, prompts)], arms=2, weight=0.2)
    assert 1 / found.precision[0, 0] == pytest.approx(41 * 11 / (52**2 * 53))


def test_differences_of_evaluated_arms_are_those_of_their_means():
    """The level is between them; only differences move shares."""
    prior = offline_prior([Offline(0, 0.9, 500), Offline(2, 0.5, 500)], arms=3)
    found = contrasts(NOTHING, NOTHING, 0.25, prior=prior)
    assert found.mean[0] - found.mean[2] == pytest.approx(46 / 52 - 26 / 52)
    assert found.mean[1] == pytest.approx(0)


def test_a_range_of_stars_is_a_range_of_rates():
    """The same evaluation on another scale gives the same beliefs, scaled."""
    rate = offline_prior([Offline(0, 0.75, 100)], arms=2)
    stars = offline_prior([Offline(0, 4.0, 100)], arms=2, low=1.0, width=4.0)
    np.testing.assert_allclose(stars.precision * 16, rate.precision)
    assert stars.level == pytest.approx(1 + 4 * rate.level)


def test_a_belief_about_a_pair_is_the_posterior_of_that_pair():
    """Beside a vague prior N(0, 2 sd^2) of the difference, precision-weighted; the other arms keep theirs."""
    prior = Prior.vague(3, 0.3, 0.5).with_contrast(2, 0, -0.1, 0.05)
    found = contrasts(NOTHING, NOTHING, 0.25, prior=prior)
    direction = np.array([-1.0, 0.0, 1.0])
    vague, told = 1 / (2 * 0.3**2), 1 / 0.05**2
    assert direction @ found.mean == pytest.approx(-0.1 * told / (vague + told))
    assert direction @ found.covariance @ direction == pytest.approx(1 / (vague + told))
    assert found.mean[1] == pytest.approx(0)


@settings(derandomize=True, max_examples=50)
@given(st.floats(0, 1), st.floats(1, 1e6), st.integers(0, 100))
def test_data_outgrow_any_prior(q, prompts, seed):
    """A million requests an arm leave nothing of fifty: the wrong evaluation only costs the beginning."""
    rates = np.random.default_rng(seed).uniform(0.1, 0.9, 3)
    n = np.full((4, 3), 2.5e5)
    prior = offline_prior([Offline(1, q, prompts)], arms=3).with_contrast(2, 0, 0.3, 0.1)
    found = contrasts(n, n * rates, 0.25, prior=prior)
    np.testing.assert_allclose(found.mean - found.mean[0], rates - rates[0], atol=0.002)


def test_without_a_prior_nothing_has_changed():
    """The vague prior is the one that a standard deviation alone declares."""
    n, s = np.full((5, 3), 40.0), np.tile([20.0, 22.0, 25.0], (5, 1))
    plain, vague = contrasts(n, s, 0.25), contrasts(n, s, 0.25, prior=Prior.vague(3, 0.3, 0.5))
    np.testing.assert_array_equal(plain.mean, vague.mean)
    np.testing.assert_array_equal(plain.covariance, vague.covariance)


@pytest.mark.parametrize("requests", [1e3, 1e9, 1e15])
def test_a_prior_beside_any_volume_stays_finite(requests):
    """The level is known by the prior alone; beside 1e15 requests its precision is lost to rounding."""
    n = np.full((3, 3), requests)
    found = contrasts(n, n * [0.5, 0.6, 0.7], 0.24, prior=offline_prior([Offline(0, 1.0, 9)], arms=3))
    assert np.isfinite(found.mean).all()
    assert np.isfinite(found.root).all()
    assert (np.diag(found.covariance) >= 0).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: offline_prior([Offline(0, 1.2, 10)], arms=2), "within"),
        (lambda: offline_prior([Offline(0, 0.2, -1)], arms=2), "within"),
        (lambda: offline_prior([], arms=2, weight=0), "weight"),
        (lambda: Prior.vague(2, 0.0, 0.5), "finite and > 0"),
        (lambda: Prior.vague(2, 0.3, 0.5).with_contrast(1, 1, 0.1, 0.1), "belief"),
        (lambda: Prior.vague(2, 0.3, 0.5).with_contrast(1, 0, 0.1, 0.0), "belief"),
    ],
)
def test_impossible_beliefs_are_refused(call, words):
    """A certain prior would never be outgrown."""
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("believed", [False, True])
def test_the_least_precision_is_that_of_the_least_known_direction(believed):
    """What arms share is known no better than that; without beliefs about pairs it needs no decomposition."""
    prior = offline_prior([Offline(1, 0.8, 200)], arms=3, weight=0.2)
    if believed:
        prior = prior.with_contrast(0, 2, 0.1, 0.01)
    assert prior.least_precision == pytest.approx(np.linalg.eigvalsh(prior.precision)[0], rel=1e-9)
