"""Confidence sequences: known vectors, confseq's bounds, the duality of interval and p, and laws."""

from math import exp, inf, isfinite, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from experiments.inference.sequence import NOTHING_KNOWN, Estimate, Sequence

OF_REWARDS = Sequence(alpha=0.05, mde=0.05)
INFORMATION = st.floats(1e-3, 1e12)
VALUES = st.floats(-10, 10)
SEQUENCES = st.builds(Sequence, alpha=st.floats(1e-6, 0.4), mde=st.floats(1e-4, 10))


@pytest.mark.parametrize(
    ("information", "two_sided", "one_sided"),
    [
        (1_000, 0.0998800, 0.0923377),
        (3_200, 0.0536596, 0.0491145),
        (10_000, 0.0311122, 0.0285374),
        (1e5, 0.0107945, 0.0100372),
    ],
)
def test_margins_equal_the_known_vectors(information, two_sided, one_sided):
    """Own computation by the formulas of experiments.inference.sequence (alpha .05, mde .05), to seven digits."""
    assert OF_REWARDS.margin(information) == pytest.approx(two_sided, abs=6e-8)
    assert OF_REWARDS.margin_one_sided(information) == pytest.approx(one_sided, abs=6e-8)


def test_tau_equals_the_known_vectors():
    """Own computation; tau decides where the sequence is tightest, and both tails have their own."""
    assert OF_REWARDS.tau == pytest.approx(364.389971, abs=1e-6)
    assert OF_REWARDS.tau_one_sided == pytest.approx(448.659991, abs=1e-6)


def test_with_its_tau_the_margins_are_those_of_confseq():
    """gostevehoward/confseq, test/uniform_boundaries_unittest.cpp: at v = 100 the two-sided bound is 30.35209 for
    rho = 12.60056; the exact one-sided bound 27.66071 lies just below the closed form.
    """
    other, ell = Sequence(alpha=0.05, mde=0.05), -2 * log(0.1)
    object.__setattr__(other, "tau", 12.60056)
    object.__setattr__(other, "tau_one_sided", 100 / (ell + log(1 + ell)))
    assert 100 * other.margin(100) == pytest.approx(30.35209, abs=1e-5)
    assert 27.66071 < 100 * other.margin_one_sided(100) < 27.66071 * 1.005


@pytest.mark.parametrize(("value", "information"), [(0.02, 3_000), (-0.1, 900), (0.0, 10), (0.3, 50)])
def test_the_p_value_is_the_inverse_of_a_normal_mixture_of_likelihood_ratios(value, information):
    """An independent road to the same number: integrate the likelihood ratio over N(0, 1/tau)."""
    tau = OF_REWARDS.tau

    def weighted(theta: float) -> float:
        ratio = exp(information * (value * theta - theta**2 / 2))
        return ratio * float(norm.pdf(theta, scale=1 / sqrt(tau)))

    mixture = quad(weighted, -1, 1, epsabs=1e-12, limit=500)[0]
    assert OF_REWARDS.p_value(Estimate(value, information)) == pytest.approx(min(1, 1 / mixture), rel=1e-6)


@given(SEQUENCES, INFORMATION)
def test_an_effect_at_the_margin_has_a_p_of_alpha(sequence, information):
    """Interval and p must reach their verdicts together."""
    at_margin = Estimate(sequence.margin(information), information)
    assert sequence.p_value(at_margin) == pytest.approx(sequence.alpha, rel=1e-6)
    one_sided = Estimate(sequence.margin_one_sided(information), information)
    assert sequence.p_value_one_sided(one_sided) == pytest.approx(sequence.alpha, rel=1e-6)


@given(SEQUENCES, VALUES, INFORMATION)
def test_bounds_mirror_when_the_arms_are_swapped(sequence, value, information):
    """Which arm is called the control must not change a conclusion."""
    one = Estimate(value, information)
    assert sequence.lower(one) == -sequence.upper(one.reversed())
    low, high = sequence.interval(one)
    assert sequence.interval(one.reversed()) == (-high, -low)
    assert sequence.p_value(one) == sequence.p_value(one.reversed())


@given(SEQUENCES, INFORMATION, st.floats(1.001, 100))
def test_more_information_narrows_the_interval(sequence, information, factor):
    """The margin falls with information; so do both one-sided bounds."""
    assert sequence.margin(information * factor) < sequence.margin(information)
    assert sequence.margin_one_sided(information * factor) < sequence.margin_one_sided(information)


@given(SEQUENCES, INFORMATION)
def test_a_sequence_is_wider_than_a_fixed_test(sequence, information):
    """Looking at any time costs width; an interval inside the classical one would be a bug."""
    assert sequence.margin(information) > norm.isf(sequence.alpha / 2) / sqrt(information)
    assert sequence.margin_one_sided(information) > norm.isf(sequence.alpha) / sqrt(information)


@given(SEQUENCES, VALUES, st.floats(0, 1e25))
def test_p_values_stay_probabilities_whatever_the_evidence(sequence, value, information):
    """A billion units with no variation must not overflow."""
    estimate = Estimate(value, information)
    assert 0 <= sequence.p_value(estimate) <= 1
    assert 0 <= sequence.p_value_one_sided(estimate) <= 1


def test_nothing_known_bounds_nothing():
    """Not enough data is an endless interval and p = 1, never a division by zero."""
    assert OF_REWARDS.interval(NOTHING_KNOWN) == (-inf, inf)
    assert (OF_REWARDS.lower(NOTHING_KNOWN), OF_REWARDS.upper(NOTHING_KNOWN)) == (-inf, inf)
    assert OF_REWARDS.p_value(NOTHING_KNOWN) == OF_REWARDS.p_value_one_sided(NOTHING_KNOWN) == 1
    assert NOTHING_KNOWN.standard_error == inf


@given(SEQUENCES, st.floats(1e-3, 5))
def test_information_needed_is_where_the_bound_clears_zero(sequence, effect):
    """The forecast of units rests on it."""
    information = sequence.information_needed(effect)
    assert sequence.margin_one_sided(information) == pytest.approx(effect, rel=1e-6)


def test_no_traffic_shows_an_effect_of_nothing():
    """An estimate on its bound needs for ever, in words, not in an endless loop."""
    assert OF_REWARDS.information_needed(0.0) == inf
    assert OF_REWARDS.information_needed(-0.1) == inf
    assert OF_REWARDS.information_needed(5e-324) == inf
    assert isfinite(OF_REWARDS.information_needed(1e-9))


@pytest.mark.parametrize("alpha", [0.0, -0.05, 0.45, 0.5, 1.0, float("nan"), 1e-200])
def test_a_level_without_a_sequence_is_refused(alpha):
    """Above .43 tau would be negative, far below rounding would divide by zero."""
    with pytest.raises(ValueError, match="alpha == "):
        Sequence(alpha=alpha, mde=0.05)


@pytest.mark.parametrize("mde", [0.0, -1.0, float("nan"), inf, 1e-200, 1e200])
def test_a_size_without_a_sequence_is_refused(mde):
    """Its square would overflow or vanish."""
    with pytest.raises(ValueError, match="mde == "):
        Sequence(alpha=0.05, mde=mde)


def test_a_shifted_null_shifts_the_estimate():
    """Non-inferiority tests value + margin against zero."""
    assert Estimate(0.01, 5.0).minus(-0.02) == Estimate(0.03, 5.0)
    assert log(OF_REWARDS.p_value_one_sided(Estimate(0.2, 1e6))) < -600
