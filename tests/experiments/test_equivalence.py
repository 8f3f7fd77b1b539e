"""Equivalence and corrected p-values, against statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from experiments.inference.equivalence import corrected, equivalence_p
from experiments.inference.fixed_horizon import Sums, mean_difference
from experiments.inference.not_enough import NotEnoughData

FEW = settings(derandomize=True, max_examples=15)


def sums_of(y):
    n = float(len(y))
    return Sums(n, float(y.sum()), float((y**2).sum()), n, n, float(y.sum()))


@pytest.mark.parametrize(("shift", "margin"), [(0.0, 0.3), (0.25, 0.3), (0.5, 0.3), (-0.1, 0.5)])
def test_two_one_sided_tests_are_those_of_statsmodels(shift, margin):
    """Known answer: CompareMeans.ttost_ind with unequal variances."""
    random = np.random.default_rng(3)
    a, b = random.normal(1, 1.0, 80), random.normal(1 + shift, 1.7, 140)
    known = CompareMeans(DescrStatsW(b), DescrStatsW(a)).ttost_ind(-margin, margin, usevar="unequal")[0]
    assert equivalence_p(sums_of(a), sums_of(b), margin) == pytest.approx(known, rel=1e-9)


def test_without_variation_or_units_there_is_no_equivalence():
    """Ten equal outcomes do not prove that two models are the same."""
    same = sums_of(np.ones(10))
    assert isinstance(equivalence_p(same, same, 0.1), NotEnoughData)
    assert isinstance(equivalence_p(sums_of(np.ones(1)), same, 0.1), NotEnoughData)
    with pytest.raises(ValueError, match="margin"):
        equivalence_p(same, same, 0.0)


def test_one_arm_that_hardly_varies_has_a_finite_answer():
    """A variance of 1e-200 squared is zero; the degrees of freedom must not divide by it."""
    tiny = Sums(100.0, 1e-100, 1e-199, 100.0, 100.0, 1e-100)
    for control, candidate in ((tiny, Sums(100.0, 2e-100, 5e-199, 100.0, 100.0, 2e-100)),):
        p = equivalence_p(control, candidate, 0.1)
        assert p == pytest.approx(0.0)
        found = mean_difference(control, candidate)
        assert not isinstance(found, NotEnoughData)
        assert np.isfinite([found.low, found.high, found.p_value]).all()


@FEW
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrected_p_values_are_those_of_statsmodels(p_values):
    """Known answer: multipletests, which is not called itself as it collects garbage at every call."""
    for how, method in (("holm", "holm"), ("benjamini_hochberg", "fdr_bh")):
        known = multipletests(p_values, method=method)[1]
        np.testing.assert_allclose(corrected(p_values, how), known, rtol=1e-12, atol=1e-15)


def test_published_corrections_are_met():
    """Benjamini and Hochberg 1995, section 4.1: of 15 hypotheses their procedure rejects 4, Bonferroni's 3.

    The p-values (Neuhaus et al. 1992) and the 4: puolival/multipy, README, and statsmodels, stats/tests/test_multi.py,
    test_fdr_bky. Holm's 3 are own computation: the fourth is above .05 / 12.
    """
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(q is not None and q <= 0.05 for q in corrected(p, "benjamini_hochberg")) == 4
    assert sum(q is not None and q <= 0.05 for q in corrected(p, "holm")) == 3


def test_holm_s_adjusted_values_are_those_published():
    """juliangehring/MultipleTesting.jl, example of `Holm`."""
    assert corrected([0.001, 0.01, 0.03, 0.5], "holm") == pytest.approx((0.004, 0.03, 0.06, 0.5), abs=1e-12)


def test_candidates_without_a_test_stay_without_one():
    """And do not count: a hypothesis that was not tested cannot be rejected wrongly."""
    assert corrected([0.02, None, 0.03], "holm") == (0.04, None, 0.04)
    assert corrected([None, None], "benjamini_hochberg") == (None, None)
