"""Empirical-Bayes pooling: close to plain random effects, careful with few tasks, never certain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.pooling import PRIOR_TASKS, TASKS_DIFFER, Contrast, pooled


def test_one_experiment_lends_its_difference_and_the_guess_of_how_tasks_differ():
    """Nothing else is known of the next task."""
    found = pooled([Contrast(-0.2, 0.01)])
    assert found.value == pytest.approx(-0.2)
    assert found.variance == pytest.approx(0.01 + 2 * TASKS_DIFFER**2), (
        "this task differs from the mean, that one did"
    )


def test_many_experiments_follow_dersimonian_and_laird():
    """Against the textbook formula, with the guess as three further tasks."""
    d, v = np.array([0.10, 0.30, -0.05, 0.22, 0.02]), np.array([0.01, 0.02, 0.005, 0.01, 0.03])
    w = 1 / v
    q = (w * (d - (w @ d) / w.sum()) ** 2).sum()
    between = max((q - 4) / (w.sum() - (w**2).sum() / w.sum()), 0)
    between = (PRIOR_TASKS * TASKS_DIFFER**2 + 4 * between) / (PRIOR_TASKS + 4)
    weights = 1 / (v + between)
    found = pooled([Contrast(*pair) for pair in zip(d, v, strict=True)])
    assert found.value == pytest.approx(weights @ d / weights.sum())
    assert found.variance == pytest.approx(between + 1 / weights.sum())


def test_tasks_that_agree_lend_more_than_tasks_that_differ():
    """Twenty experiments know how much tasks differ."""
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 0.01, 20)
    agree = pooled([Contrast(-0.1 + each, 1e-4) for each in noise])
    differ = pooled([Contrast(-0.1 + 20 * each, 1e-4) for each in noise])
    assert agree.variance < TASKS_DIFFER**2 / 4
    assert differ.variance > 5 * agree.variance


@settings(derandomize=True, max_examples=100)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1e6)), max_size=12))
def test_any_table_gives_a_finite_prior_within_what_was_seen(rows):
    """Whatever the other experiments say; never more certain than tasks may differ by."""
    found = pooled([Contrast(value, variance) for value, variance in rows])
    known = [value for value, variance in rows if variance > 0]
    if not known:
        assert found is None
        return
    assert min(known) - 1e-9 <= found.value <= max(known) + 1e-9
    assert np.isfinite(found.variance)
    assert found.variance > 0


def test_the_order_of_experiments_is_of_no_consequence():
    """They come from a mapping by id."""
    rows = [Contrast(0.1, 0.01), Contrast(-0.2, 0.02), Contrast(0.0, 0.001)]
    forth, back = pooled(rows), pooled(rows[::-1])
    assert (forth.value, forth.variance) == pytest.approx((back.value, back.variance))


def test_experiments_that_know_nothing_lend_nothing():
    """An infinite variance is no evidence, and a variance of zero is none that can be believed."""
    assert pooled([]) is None
    assert pooled([Contrast(0.3, np.inf), Contrast(0.3, 0.0), Contrast(np.nan, 1.0)]) is None


@pytest.mark.statistical
def test_the_prior_covers_the_next_task():
    """Tasks drawn as the model says: two standard deviations hold the next difference in 90 to 99.5% of trials."""
    generator, covered = np.random.default_rng(2), 0
    for _ in range(500):
        effects = generator.normal(-0.05, 0.08, 9)
        variances = generator.uniform(1e-4, 1e-2, 8)
        seen = [Contrast(generator.normal(e, v**0.5), v) for e, v in zip(effects[:8], variances, strict=True)]
        found = pooled(seen)
        covered += abs(effects[8] - found.value) <= 2 * found.variance**0.5
    assert 0.90 <= covered / 500 <= 0.995
