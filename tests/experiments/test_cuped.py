"""CUPED: the regression it stands for, its laws, and what it does to a test."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.cells import Cells, Z
from experiments.inference.cuped import adjusted, has_covariate
from experiments.inference.effects import differences

FEW = settings(derandomize=True, max_examples=40)


def units(seed, epochs=6, arms=3, size=60, slope=0.5, effect=0.1, requests=None):
    """z = (1, N, R, C, X) of every unit: rewards that follow a covariate, a trend and an effect of arm 1."""
    random = np.random.default_rng(seed)
    x = random.normal(3.0, 1.0, (epochs, arms, size)) + np.arange(epochs)[:, None, None]
    n = np.ones_like(x) if requests is None else random.integers(1, requests, x.shape).astype(float)
    y = slope * x + random.normal(0.0, 0.4, x.shape) + np.linspace(0, 2, epochs)[:, None, None]
    y[:, 1] += effect
    return np.stack([np.ones_like(x), n, y * n, 0.01 * n, x], axis=-1)


def test_the_slope_and_the_difference_are_those_of_a_regression_with_a_dummy_per_cell():
    """Known answer: statsmodels' least squares of the reward on the covariate and one dummy per epoch and arm."""
    z = units(1)
    epochs, arms, size, _ = z.shape
    cell = np.repeat(np.arange(epochs * arms), size)
    design = np.column_stack([np.eye(epochs * arms)[cell], z[..., Z.COVARIATE].ravel()])
    fitted = sm.OLS(z[..., Z.TOTAL].ravel(), design).fit()
    found = adjusted(Cells.of_units(z))
    assert found.slope == pytest.approx(fitted.params[-1], rel=1e-9)
    levels = fitted.params[:-1].reshape(epochs, arms)
    means = found.cells.total(Z.TOTAL) / found.cells.n
    np.testing.assert_allclose(means[:, 1] - means[:, 0], levels[:, 1] - levels[:, 0], rtol=1e-8)


def test_the_adjusted_information_is_that_of_a_regression_on_epochs():
    """Known answer: the difference and its standard error by statsmodels with epoch dummies, arm and covariate.

    That regression's slope and variance leave the arm's mean out of each cell once for all epochs, so it agrees
    to the noise of that and not to the last digit.
    """
    z = units(2, epochs=8, arms=2, size=400)
    epochs, arms, size, _ = z.shape
    epoch = np.repeat(np.arange(epochs), arms * size)
    arm = np.tile(np.repeat(np.arange(arms), size), epochs)
    design = np.column_stack([np.eye(epochs)[epoch], arm, z[..., Z.COVARIATE].ravel()])
    fitted = sm.OLS(z[..., Z.TOTAL].ravel(), design).fit()
    estimate = differences(adjusted(Cells.of_units(z)).cells, 0, [1])[0]
    assert estimate.value == pytest.approx(fitted.params[-2], abs=2e-3)
    assert estimate.standard_error == pytest.approx(fitted.bse[-2], rel=0.01)


def test_what_the_covariate_explains_leaves_the_variance():
    """The share that is printed is the share that the information gains."""
    cells = Cells.of_units(units(3, arms=2, size=500))
    found = adjusted(cells)
    plain, without = differences(cells, 0, [1])[0], differences(found.cells, 0, [1])[0]
    assert 0.4 < found.variance_reduction < 0.8
    assert plain.information / without.information == pytest.approx(1 - found.variance_reduction, rel=0.02)
    assert abs(without.value - 0.1) < abs(plain.value - 0.1) + 0.02


def test_a_trend_of_the_covariate_and_of_the_reward_is_no_slope():
    """Both rise from epoch to epoch; inside an epoch they have nothing to do with each other."""
    found = adjusted(Cells.of_units(units(4, slope=0.0, size=2000)))
    assert abs(found.slope) < 0.02
    assert found.variance_reduction < 0.01


@FEW
@given(st.integers(0, 1000), st.floats(-50, 50), st.floats(0.01, 100))
def test_the_unit_and_the_zero_of_the_covariate_do_not_matter(seed, shift, scale):
    """Tokens or thousands of tokens, since birth or since signing up: the same difference."""
    z = units(seed)
    moved = z.copy()
    moved[..., Z.COVARIATE] = shift + scale * z[..., Z.COVARIATE]
    one, other = (differences(adjusted(Cells.of_units(each)).cells, 0, [1])[0] for each in (z, moved))
    assert other.value == pytest.approx(one.value, abs=1e-6)
    assert other.information == pytest.approx(one.information, rel=1e-5)


def test_a_covariate_that_never_varies_changes_nothing():
    """All zero, as when nobody sends one, or a constant."""
    z = units(5)
    for value in (0.0, 7.0):
        z[..., Z.COVARIATE] = value
        cells = Cells.of_units(z)
        assert adjusted(cells).cells is cells
        assert has_covariate(cells) == bool(value)
    empty = Cells.empty(0, 2)
    assert adjusted(empty).cells is empty
    assert not has_covariate(empty)


def test_units_of_several_requests_keep_their_rate():
    """Reward per request is a ratio: the adjusted one estimates the same rate with less noise."""
    z = units(6, arms=2, size=1500, requests=6)
    cells = Cells.of_units(z)
    found = adjusted(cells)
    plain, without = differences(cells, 0, [1])[0], differences(found.cells, 0, [1])[0]
    assert without.information > 1.2 * plain.information
    assert without.value == pytest.approx(0.1, abs=4 * without.standard_error)
    level = found.cells.pooled()[:, 0, Z.TOTAL].sum() / cells.pooled()[:, 0, Z.TOTAL].sum()
    assert level == pytest.approx(1.0, rel=1e-9), "the level of the reward stays"


@pytest.mark.statistical
@pytest.mark.parametrize("requests", [None, 5])
def test_adjusted_tests_reject_a_true_null_as_rarely_as_plain_ones(requests):
    """Fixed-level z of the adjusted estimate over 800 runs, small epochs: 5% within a binomial band."""
    wrong = 0
    for seed in range(800):
        estimate = differences(
            adjusted(
                Cells.of_units(units(seed, epochs=4, arms=2, size=50, effect=0.0, requests=requests))
            ).cells,
            0,
            [1],
        )[0]
        wrong += abs(estimate.value) > 1.96 * estimate.standard_error
    assert 20 <= wrong <= 62
