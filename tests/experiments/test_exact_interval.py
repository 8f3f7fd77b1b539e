"""The exact interval: what E2S rejects, on a fixed grid, held at all looks together."""

from itertools import pairwise

import numpy as np
import pytest

from experiments.inference.exact import Blocks
from experiments.inference.exact_interval import beyond, differences, exact_interval, lower_bound


def draws(rates, epochs: int, seed: int, size: int = 50) -> Blocks:
    """Equal shares."""
    counts = np.random.default_rng(seed).binomial(size, np.broadcast_to(rates, (epochs, 2)))
    return Blocks(np.full((epochs, 2), float(size)), counts.astype(float))


def test_the_bound_is_the_last_difference_before_the_first_that_was_never_rejected():
    """Against the plain definition, all differences and all epochs computed at once."""
    for seed, rates in enumerate([(0.3, 0.45), (0.02, 0.05), (0.6, 0.5), (0.0, 0.0)]):
        blocks = draws(rates, 90, seed)
        grid = differences(0.04)
        rejected = beyond(blocks.complete, 0.04, grid).max(axis=1) >= np.log(20)
        first = int(np.argmin(rejected))
        assert lower_bound(blocks, 0.04, 0.05) == (grid[first - 1] if first else -1.0)


def test_the_grid_is_fixed_beforehand_symmetric_and_fine_around_zero():
    """Differences that were picked by looking at the data would promise nothing."""
    grid = differences(0.03)
    np.testing.assert_allclose(grid, -grid[::-1])
    assert np.abs(grid).max() < 1
    assert np.diff(grid).min() == pytest.approx(0.03 / 16)
    assert np.diff(grid).max() < 0.06


def test_an_alternative_far_from_zero_is_found_too():
    """Alternatives around zero alone could never exclude a difference beyond four times the mde."""
    low = exact_interval(draws((0.1, 0.9), 40, 1), mde=0.03).low
    assert 0.6 < low < 0.8


def test_reversing_the_arms_mirrors_the_interval():
    """Candidate minus control is minus control minus candidate."""
    blocks = draws((0.4, 0.5), 60, 2)
    one, other = exact_interval(blocks, 0.05), exact_interval(blocks.reversed(), 0.05)
    assert (one.low, one.high) == (-other.high, -other.low)


def test_more_epochs_only_narrow_the_interval():
    """A bound once shown stays shown."""
    blocks = draws((0.2, 0.25), 120, 3)
    found = [exact_interval(Blocks(blocks.n[:e], blocks.s[:e]), 0.05) for e in (0, 1, 10, 40, 120)]
    assert (found[0].low, found[0].high) == (-1.0, 1.0)
    assert all(b.low >= a.low and b.high <= a.high for a, b in pairwise(found))


def test_common_trends_do_not_move_the_interval_off_the_truth():
    """Rates from .1 to .8 in both arms with a constant difference of .1; shares that follow the trend."""
    generator, epochs = np.random.default_rng(5), 150
    level = np.linspace(0.1, 0.8, epochs)
    n = np.stack([np.linspace(90, 10, epochs).round(), np.linspace(10, 90, epochs).round()], axis=1)
    s = generator.binomial(n.astype(int), level[:, None] + [0.0, 0.1]).astype(float)
    found = exact_interval(Blocks(n, s), 0.05)
    assert found.low < 0.1 < found.high
    assert found.high - found.low < 0.15
    pooled = s.sum(axis=0) / n.sum(axis=0)
    assert pooled[1] - pooled[0] > found.high, "what comparing pooled means would say"


@pytest.mark.parametrize("s", [0.0, 50.0])
def test_outcomes_that_are_all_equal_give_a_finite_interval_around_zero(s):
    """A variance of zero has made other intervals vanish; here it only narrows with the units."""
    found = exact_interval(Blocks(np.full((20, 2), 50.0), np.full((20, 2), s)), 0.05)
    assert -0.02 < found.low < 0 < found.high < 0.02


@pytest.mark.parametrize("alpha", [0.0, 1.0, float("nan")])
def test_an_impossible_level_is_refused(alpha):
    """An interval at no level would look like one."""
    with pytest.raises(ValueError, match="alpha"):
        exact_interval(draws((0.5, 0.5), 3, 1), 0.05, alpha)


@pytest.mark.statistical
@pytest.mark.parametrize(("control", "difference"), [(0.02, 0.0), (0.02, 0.03), (0.5, 0.1)])
def test_the_interval_holds_the_truth_at_all_looks_in_at_least_95_percent(control, difference):
    """The intersection over looks is what is reported, so one look covers them all; 120 runs, bar by binomial."""
    missed = 0
    for seed in range(120):
        found = exact_interval(draws((control, control + difference), 60, seed), 0.03)
        missed += not found.low <= difference <= found.high
    assert missed <= 12
