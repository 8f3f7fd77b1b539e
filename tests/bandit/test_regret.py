"""Regret of contrast Thompson sampling with epoch-frozen shares, simulated through `allocate`."""

from collections.abc import Callable

import numpy as np
import pytest

from bandit.allocation import Allocation, allocate
from bandit.cells import Cells, Z
from bandit.objectives import Objective

EPOCH = 100
Rates = Callable[[float], np.ndarray]


def regret(rates: Rates, epochs: int, seed: int, forgetting: float = 1.0, floor: float = 0.0) -> float:
    """Requests served times what they fell short of the best arm; `rates` at a part of the run."""
    generator, arms = np.random.default_rng(seed), rates(0.0).size
    settings = Allocation(Objective("reward"), (0.01,) * arms, phi=0.0, forgetting=forgetting)
    cells, shares, lost = Cells.empty(epochs, arms), np.full(arms, 1 / arms), 0.0
    for epoch in range(epochs):
        now = rates(epoch / epochs)
        n = generator.multinomial(EPOCH, shares)
        successes = generator.binomial(n, now)
        lost += float(n @ (now.max() - now))
        for i, j, value in (
            (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n),
            (Z.UNIT, Z.TOTAL, successes), (Z.REQUESTS, Z.TOTAL, successes), (Z.TOTAL, Z.TOTAL, successes),
        ):  # fmt: skip
            cells.sums[epoch, :, i, j] = cells.sums[epoch, :, j, i] = value
        shares = floor + (1 - floor * arms) * allocate(cells[slice(0, epoch + 1)], settings, (seed, epoch))
    return lost


def mean_regret(runs: int, **run) -> float:
    """Mean over seeded runs."""
    return float(np.mean([regret(seed=seed, **run) for seed in range(runs)]))


@pytest.mark.statistical
def test_two_close_arms_cost_at_most_forty_successes_in_ten_thousand_requests():
    """The bar for (.50, .55); equal shares would cost 250."""
    steady = np.array([0.50, 0.55])
    assert mean_regret(60, rates=lambda _: steady, epochs=100) <= 40


@pytest.mark.statistical
def test_a_sine_common_to_both_arms_does_not_fool_the_bandit():
    """Three swings of .15: with forgetting .98 and floors of .02 in all, the bar is 85 of at most 1,000."""

    def rates(part: float) -> np.ndarray:
        return np.array([0.50, 0.55]) + 0.15 * np.sin(6 * np.pi * part)

    assert mean_regret(16, rates=rates, epochs=200, forgetting=0.98, floor=0.01) <= 85
    assert mean_regret(8, rates=rates, epochs=100) <= 40, "without forgetting the sine costs nothing at all"
