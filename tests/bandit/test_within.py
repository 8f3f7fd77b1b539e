"""Within-cell variance against numpy on the units themselves."""

import numpy as np
import pytest

from bandit.cells import Cells, Z
from bandit.within import pooled_variance, within


def units(generator: np.random.Generator, epochs: int, arms: int, each: int, longest: int) -> np.ndarray:
    """Unit vectors z: several requests each, rewards that vary between units and cost."""
    requests = generator.integers(1, longest + 1, (epochs, arms, each)).astype(float)
    rate = generator.beta(2, 2, (epochs, arms, each))
    rewards = generator.binomial(requests.astype(int), rate).astype(float)
    costs = requests * generator.lognormal(-5, 0.5, (epochs, arms, each))
    ones = np.ones_like(requests)
    return np.stack([ones, requests, rewards, costs, 0 * ones], axis=-1)


def test_one_request_per_unit_gives_the_usual_pooled_variance():
    """The statistic of the test and of the bandit must be one and the same there."""
    z = units(np.random.default_rng(1), epochs=6, arms=3, each=40, longest=1)
    of = within(Cells.of_units(z))
    rewards = z[..., Z.TOTAL]
    np.testing.assert_allclose(of.squares, rewards.var(axis=2) * 40, rtol=1e-9)
    np.testing.assert_allclose(of.freedom, 39)
    pooled = (rewards.var(axis=2, ddof=1)).mean()
    assert pooled_variance(of, 1.0) == pytest.approx(pooled, rel=0.01)


def test_residuals_are_those_of_the_units_around_their_cell_s_mean_per_request():
    """Against the units themselves, where reward per request depends on how many requests a unit has."""
    generator = np.random.default_rng(3)
    z = np.ones((2, 2, 30, 5))
    z[..., Z.REQUESTS] = generator.integers(1, 9, (2, 2, 30))
    z[..., Z.COST] = z[..., Z.REQUESTS] ** 2 * generator.random((2, 2, 30))
    of = within(Cells.of_units(z), Z.COST)
    x, y = z[..., Z.REQUESTS], z[..., Z.COST]
    ratio = y.sum(axis=2, keepdims=True) / x.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(of.squares, ((y - ratio * x) ** 2).sum(axis=2), rtol=1e-9)
    np.testing.assert_allclose(of.freedom, x.sum(axis=2) * 29 / 30)


@pytest.mark.statistical
def test_clustered_requests_raise_the_variance_by_their_design_effect():
    """A mean over n requests must have variance v/n although requests of one unit resemble each other."""
    generator = np.random.default_rng(2)
    z = units(generator, epochs=4_000, arms=1, each=50, longest=8)
    of = within(Cells.of_units(z))
    means, sizes = of.totals[:, 0] / of.requests[:, 0], of.requests[:, 0]
    seen = ((means - of.totals.sum() / of.requests.sum()) ** 2 * sizes).mean()
    assert pooled_variance(of, 1.0) == pytest.approx(seen, rel=0.1)
    assert seen > 0.25 * 1.4, "requests of a unit must be correlated here, or the test shows nothing"


def test_a_drifting_level_is_no_noise():
    """Epochs at .1 and .9 with identical outcomes inside each have no variance within."""
    z = np.zeros((2, 1, 100, 5))
    z[..., Z.UNIT] = z[..., Z.REQUESTS] = 1
    z[1, :, :, Z.TOTAL] = 1
    assert within(Cells.of_units(z)).squares.sum() == 0


def test_identical_outcomes_do_not_look_certain():
    """Ten equal rewards are compatible with a variance; zero would freeze the allocation for ever."""
    z = np.zeros((1, 2, 10, 5))
    z[..., Z.UNIT] = z[..., Z.REQUESTS] = z[..., Z.TOTAL] = 1
    assert pooled_variance(within(Cells.of_units(z)), 1.0) == pytest.approx(0.25 / 19)


def test_variance_never_falls_below_its_floor_and_scales_with_the_range():
    """1e-4 of the squared range, however many identical outcomes."""
    z = np.zeros((1, 1, 100_000, 5))
    z[..., Z.UNIT] = z[..., Z.REQUESTS] = 1
    of = within(Cells.of_units(z))
    assert pooled_variance(of, 1.0) == 1e-4
    assert pooled_variance(of, 100.0) == 1.0


def test_empty_cells_give_the_largest_possible_variance():
    """Before any outcome nothing is known, and nothing may divide by zero."""
    assert pooled_variance(within(Cells.empty(0, 3)), 2.0) == 1.0
    assert pooled_variance(within(Cells.empty(5, 3)), 1.0) == 0.25
    with pytest.raises(ValueError, match="above 0"):
        pooled_variance(within(Cells.empty(1, 1)), 0.0)
