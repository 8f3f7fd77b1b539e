"""Net value: the linear map of cells, against units counted one by one."""

import numpy as np
import pytest

from bandit.cells import Cells
from experiments.inference.net_value import net_value_differences, net_values


def units(seed: int, epochs: int = 6, requests: int = 1) -> np.ndarray:
    """Units (epochs, 2 arms, 80, z): a common trend, costs that rise with the reward, several requests if wanted."""
    generator = np.random.default_rng(seed)
    n = generator.integers(1, requests + 1, (epochs, 2, 80)).astype(float)
    rate = 0.4 + 0.05 * np.arange(epochs)[:, None, None] + np.array([0.0, 0.1])[:, None]
    reward = generator.binomial(n.astype(int), rate).astype(float)
    cost = generator.lognormal(-5, 0.5, n.shape) * n + 0.002 * reward
    return np.stack([np.ones_like(n), n, reward, cost, np.zeros_like(n)], axis=-1)


def test_differences_are_those_of_each_units_net_value():
    """Stratified by epoch, from value * reward - cost of every unit: the joint moments know their correlation."""
    z, value = units(1), 0.03
    net = value * z[..., 2] - z[..., 3]
    variance = net.var(axis=2, ddof=0).sum(axis=0) * 80 / (6 * 79)
    weights = 1 / (variance.sum() / 80)
    found = net_value_differences(Cells.of_units(z), 0, [1], value)[0]
    assert found.value == pytest.approx((net[:, 1].mean(axis=1) - net[:, 0].mean(axis=1)).mean())
    assert found.information == pytest.approx(6 * weights)


def test_units_of_several_requests_are_compared_per_request():
    """A long talk is worth more than a short one, and is not better for it."""
    z = units(2, requests=5)
    net = 0.03 * z[..., 2] - z[..., 3]
    pooled = net.sum(axis=(0, 2)) / z[..., 1].sum(axis=(0, 2))
    found = net_value_differences(Cells.of_units(z), 0, [1], 0.03)[0]
    assert found.value == pytest.approx(pooled[1] - pooled[0], abs=2e-3)


def test_doubling_all_money_doubles_the_difference():
    """Prices in another currency change no decision."""
    z = units(3)
    twice = z * [1, 1, 1, 2, 1]
    one = net_value_differences(Cells.of_units(z), 0, [1], 0.03)[0]
    two = net_value_differences(Cells.of_units(twice), 0, [1], 0.06)[0]
    assert two.value == pytest.approx(2 * one.value)
    assert two.information == pytest.approx(one.information / 4)


def test_identical_outcomes_are_not_certain_and_nothing_stays_unknown():
    """The variance is floored at the reward's, in dollars; empty cells say nothing."""
    z = np.ones((2, 2, 100, 5)) * [1, 1, 1, 0.01, 0]
    found = net_value_differences(Cells.of_units(z), 0, [1], 2.0)[0]
    assert found.value == pytest.approx(0)
    assert found.information == pytest.approx(100 / (1e-4 * 4))
    assert net_value_differences(Cells.empty(3, 2), 0, [1], 2.0)[0].information == 0
    assert np.isfinite(net_values(Cells.of_units(z * 1e9), 1e9).sums).all()
