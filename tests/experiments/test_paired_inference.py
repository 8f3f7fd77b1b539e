"""Paired differences: the information is that of the differences, and the sequences on them keep their promise."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from experiments.inference.paired import FEWEST_PAIRS, log_ratio_of_means, mean_difference
from experiments.inference.sequence import Sequence


def sums_of(total: np.ndarray, cost: np.ndarray | None = None) -> np.ndarray:
    """The sum of z z' over pairs, z = (1, N, R, C, X)."""
    ones = np.ones(total.size)
    z = np.stack([ones, ones, total, ones * 0 if cost is None else cost, ones * 0])
    return np.asarray(z @ z.T)


def test_the_standard_error_is_that_of_a_paired_t_test() -> None:
    """Known answer: scipy's paired t-test on the same pairs, up to its n - 1."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(5, 2, 400), rng.normal(5.2, 2, 400)
    estimate = mean_difference(sums_of(other - one), 1e-9)
    reference = ttest_rel(other, one)
    assert estimate.value / estimate.standard_error == pytest.approx(
        reference.statistic * np.sqrt(400 / 399), rel=1e-9
    )


def test_a_ratio_of_costs_that_rise_together_is_known_far_better_than_unpaired() -> None:
    """That is the point of asking both models the same question: its length is in both costs."""
    rng = np.random.default_rng(2)
    length = rng.lognormal(0, 1, 500)
    served, copied = 0.01 * length, 0.004 * length * rng.lognormal(0, 0.1, 500)
    estimate = log_ratio_of_means(sums_of(served, copied))
    assert estimate.value == pytest.approx(np.log(copied.mean() / served.mean()))
    unpaired = served.var() / served.mean() ** 2 / 500 + copied.var() / copied.mean() ** 2 / 500
    assert estimate.standard_error**2 < unpaired / 20
    influence = copied / copied.mean() - served / served.mean()
    assert estimate.standard_error == pytest.approx(np.sqrt(np.mean(influence**2) / 500), rel=1e-9)


def test_too_few_pairs_and_free_models_say_nothing() -> None:
    """No number is better than one that nobody may believe."""
    few = np.zeros(FEWEST_PAIRS - 1)
    assert mean_difference(sums_of(few), 0.01).information == 0
    assert log_ratio_of_means(sums_of(few + 1, few + 1)).information == 0
    free = np.zeros(FEWEST_PAIRS)
    assert log_ratio_of_means(sums_of(free, free + 1)).information == 0


def test_outcomes_that_were_all_the_same_promise_nothing_beyond_the_floor() -> None:
    """Fifty calls without an error do not prove that errors are impossible."""
    bound = 0.02
    estimate = mean_difference(sums_of(np.zeros(60)), bound * (1 - bound))
    assert Sequence(0.05, bound).upper(estimate) > bound


@pytest.mark.statistical
@pytest.mark.parametrize("rate", [0.03, 0.1])
def test_a_candidate_at_the_bound_is_rarely_called_fit_however_often_one_looks(rate: float) -> None:
    """The error rate that a user is promised, under 40 looks: binomial bound on 400 seeded runs at 5%."""
    rng, bound, wrong = np.random.default_rng(3), 0.02, 0
    sequence = Sequence(0.05, bound)
    looks = np.arange(100, 4_001, 100)
    for _ in range(400):
        drawn = rng.random(4_000)
        worse, better = drawn < rate + bound, (drawn >= rate + bound) & (drawn < 2 * rate + bound)
        difference = worse.astype(float) - better
        sums, squares = np.cumsum(difference)[looks - 1], np.cumsum(difference**2)[looks - 1]
        fit = False
        for n, total, square in zip(looks, sums, squares, strict=True):
            matrix = np.zeros((5, 5))
            matrix[0, 0], matrix[0, 2], matrix[2, 2] = n, total, square
            fit = fit or sequence.upper(mean_difference(matrix, bound * (1 - bound))) < bound
        wrong += fit
    assert wrong < 32
