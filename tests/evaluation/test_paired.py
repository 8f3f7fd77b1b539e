"""Paired figures of the full matrix, against references."""

import numpy as np
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.contingency_tables import mcnemar

from evaluation.paired import mcnemar_p, paired, paired_t_p
from evaluation.recorded import Category, Floats


def category(reward: Floats) -> Category:
    """A category whose models cost 1, 2, 3 ... dollars."""
    costs = np.broadcast_to(np.arange(1.0, reward.shape[1] + 1), reward.shape)
    return Category("law", tuple(map(str, range(len(reward)))), reward, costs)


def test_mcnemar_agrees_with_statsmodels() -> None:
    """Exact binomial test of the differing prompts; reference: statsmodels, mcnemar(exact=True)."""
    generator = np.random.default_rng(3)
    for size in (10, 40, 400):
        left, right = generator.random(size) < 0.6, generator.random(size) < 0.5
        table = [
            [(left & right).sum(), (left & ~right).sum()],
            [(~left & right).sum(), (~left & ~right).sum()],
        ]
        expected = mcnemar(table, exact=True).pvalue
        assert mcnemar_p(left.astype(float) - right) == pytest.approx(expected, abs=1e-12)


def test_the_paired_t_test_agrees_with_scipy() -> None:
    """Reference: scipy.stats.ttest_rel."""
    left, right = np.random.default_rng(4).random((2, 50))
    assert paired_t_p(left - right) == pytest.approx(ttest_rel(left, right).pvalue, abs=1e-12)


def test_the_two_best_are_compared_and_ties_name_the_cheaper_first() -> None:
    """The order of columns must not decide who is called best."""
    reward = np.random.default_rng(5).integers(0, 2, (100, 3)).astype(float)
    reward[:, 0] = 0.0
    reward[:, 2] = reward[:, 1]
    one = paired(category(reward), ("a", "b", "c"))
    assert (one.best, one.second, one.difference) == ("b", "c", 0.0)
    assert one.t_p is None
    assert one.mcnemar_p == 1.0


def test_few_prompts_give_no_p() -> None:
    """A handful of prompts supports no test at all."""
    one = paired(category(np.array([[1.0, 0.0]] * 5)), ("a", "b"))
    assert (one.difference, one.t_p, one.mcnemar_p) == (1.0, None, None)


def test_scores_between_zero_and_one_have_no_mcnemar_test() -> None:
    """It counts wins only, which is no answer for graded rewards."""
    reward = np.random.default_rng(6).random((60, 2))
    one = paired(category(reward), ("a", "b"))
    assert one.mcnemar_p is None
    assert one.t_p is not None
