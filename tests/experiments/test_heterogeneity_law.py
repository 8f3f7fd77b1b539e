"""Heterogeneity: the p of effects that differ between epochs is a p, and equals the textbook's where there is one."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from bandit.cells import Cells, Z
from experiments.inference.heterogeneity import heterogeneity_p


def cells(n: object, successes: object) -> Cells:
    """Binary rewards of single requests, shape (epochs, arms)."""
    units, total = np.asarray(n, dtype=np.float64), np.asarray(successes, dtype=np.float64)
    sums = np.zeros((*units.shape, len(Z), len(Z)))
    sums[..., : Z.TOTAL, : Z.TOTAL] = units[..., None, None]
    sums[..., Z.TOTAL, : Z.TOTAL] = sums[..., : Z.TOTAL, Z.TOTAL] = total[..., None]
    sums[..., Z.TOTAL, Z.TOTAL] = total
    return Cells(sums)


def test_of_two_epochs_it_is_the_z_test_of_their_two_differences() -> None:
    """(D1 - D2)^2 over the sum of their variances, one degree of freedom."""
    n, s = np.array([[400.0, 300.0], [250.0, 500.0]]), np.array([[320.0, 250.0], [200.0, 380.0]])
    variance = (s - s**2 / n).sum(axis=0) / (n - 1).sum(axis=0)
    differences = s[:, 1] / n[:, 1] - s[:, 0] / n[:, 0]
    z = (differences[0] - differences[1]) / np.sqrt((variance / n).sum())
    assert heterogeneity_p(cells(n, s), 0, 1) == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)


def test_equal_effects_give_a_small_p_as_rarely_as_it_says() -> None:
    """A common trend moves both arms; only a difference that moves may raise the warning."""
    random = np.random.default_rng(11)
    n = np.full((30, 2), 100)
    level = np.linspace(0.3, 0.7, 30)[:, None]
    found = [heterogeneity_p(cells(n, random.binomial(n, level)), 0, 1) for _ in range(400)]
    small = sum(p is not None and p < 0.05 for p in found)
    assert binomtest(small, 400, 0.05).pvalue > 1e-3
    moving = random.binomial(n, np.stack([np.full(30, 0.5), level[:, 0]], axis=1))
    assert (heterogeneity_p(cells(n, moving), 0, 1) or 1.0) < 0.01
