"""Fixed-horizon read-out against statsmodels, Fieller's equation and simulation."""

from math import inf, isfinite, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, t
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from bandit.cells import Cells, Z
from experiments.inference.fixed_horizon import (
    FixedHorizon,
    Sums,
    _Ratio,
    _recovered,
    mean_difference,
    planned_units,
    proportion_difference,
    ratio_change,
    reward_difference,
    sums,
)
from experiments.inference.not_enough import NotEnoughData


def of_values(y: np.ndarray, x: np.ndarray | None = None) -> Sums:
    """Sums of individual units; x defaults to one request each."""
    x = np.ones_like(y) if x is None else x
    return Sums(float(y.size), *(float(v.sum()) for v in (y, y * y, x, x * x, x * y)))


def of_counts(units: int, successes: int) -> Sums:
    """Sums of binary rewards, one request per unit."""
    return Sums(units, successes, successes, units, units, successes)


def ready(result: FixedHorizon | NotEnoughData) -> FixedHorizon:
    """The result, which must not be `NotEnoughData`."""
    assert isinstance(result, FixedHorizon), result
    return result


def test_welch_equals_statsmodels():
    """Effect, interval and p of unequal variances and sizes."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.50, 0.3, 80), generator.normal(0.62, 0.1, 45)
    got = ready(mean_difference(of_values(a), of_values(b)))
    known = CompareMeans(DescrStatsW(b), DescrStatsW(a))
    np.testing.assert_allclose((got.low, got.high), known.tconfint_diff(usevar="unequal"), atol=1e-9)
    assert got.p_value == pytest.approx(known.ttest_ind(usevar="unequal")[1], abs=1e-9)
    assert got.effect == pytest.approx(b.mean() - a.mean())
    assert got.method == "welch"


@pytest.mark.parametrize("total", [0.0, 5e-324, 3e-323, 1e-310])
def test_rewards_too_small_for_a_variance_differ_from_nothing_by_nothing(total):
    """Scores within [0, 1] may be as small as a float can be; their variance rounds to zero."""
    found = ready(proportion_difference(Sums(3, 0.0, 0.0, 3, 3, 0.0), Sums(6, total, total, 6, 6, total)))
    assert found.p_value == 1.0
    assert found.low <= 0 <= found.high


def test_large_proportions_use_the_pooled_z_and_the_plain_interval():
    """Known answer from statsmodels."""
    got = ready(proportion_difference(of_counts(1000, 700), of_counts(900, 675)))
    assert got.p_value == pytest.approx(proportions_ztest([675, 700], [900, 1000])[1], rel=1e-9)
    known = confint_proportions_2indep(675, 900, 700, 1000, method="wald", compare="diff")
    np.testing.assert_allclose((got.low, got.high), known, atol=1e-12)


@pytest.mark.parametrize(
    ("candidate", "control", "known"),
    [
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_rare_successes_use_newcombe_s_interval(candidate, control, known):
    """Newcombe (1998, Statistics in Medicine 17:873), table II, examples (b) to (h), method 10.

    Example (d), 5/56 against 0/29, stands in petelaud/ratesci, tests/testthat, as "Newcombe RD example (d)"; (h) in
    CTU-Bern/presize, example of prec_riskdiff. All agree with statsmodels, method="newcomb".
    """
    got = ready(proportion_difference(of_counts(*control[::-1]), of_counts(*candidate[::-1])))
    np.testing.assert_allclose((got.low, got.high), known, atol=5e-5)
    (s_b, n_b), (s_a, n_a) = candidate, control
    computed = confint_proportions_2indep(s_b, n_b, s_a, n_a, method="newcomb", compare="diff")
    np.testing.assert_allclose((got.low, got.high), computed, atol=1e-12)


def test_enough_of_both_outcomes_use_the_plain_interval():
    """Newcombe's example (a), 56/70 against 48/80, by Wald: GSK-Biostatistics/cicalc, _snaps/prop_ci_diff.md."""
    got = ready(proportion_difference(of_counts(80, 48), of_counts(70, 56)))
    np.testing.assert_allclose((got.low, got.high), (0.0575, 0.3425), atol=5e-5)


def test_student_s_sleep_data_have_the_published_welch_test():
    """t = -1.860813 on 17.77647 degrees of freedom, p = .07939414: singmann/afex, R/compare.2.vectors.R.

    Data: R, datasets::sleep (Cushny and Peebles 1905; Student 1908).
    """
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    got = ready(mean_difference(of_values(second), of_values(first)))
    half = (got.high - got.low) / 2
    assert got.p_value == pytest.approx(0.07939414, abs=5e-9)
    assert got.effect / half * t.isf(0.025, 17.77647) == pytest.approx(-1.860813, abs=1e-6)


def test_no_success_anywhere_is_a_p_of_one_with_a_finite_interval():
    """The pooled variance is zero there: 0/0 must not become NaN."""
    got = ready(proportion_difference(of_counts(100, 0), of_counts(100, 0)))
    assert got.p_value == 1.0
    assert -0.04 < got.low < 0 < got.high < 0.04


def test_binary_rewards_of_single_requests_are_proportions_and_others_are_means():
    """A user with five requests is one observation, not five."""
    assert ready(reward_difference(of_counts(50, 20), of_counts(50, 30), binary=True)).method == "pooled_z"
    several = of_values(np.array([2.0, 0.0, 5.0, 1.0]), np.array([4.0, 1.0, 5.0, 3.0]))
    assert ready(reward_difference(several, of_counts(50, 30), binary=True)).method == "welch"
    assert ready(reward_difference(of_counts(50, 20), of_counts(50, 30), binary=False)).method == "welch"


@pytest.mark.statistical
def test_sticky_units_keep_the_promised_error_rate():
    """Rewards of one user resemble each other; counting requests as independent gives 44% instead of 5%."""
    generator, runs, wrong = np.random.default_rng(1), 600, 0
    for _ in range(runs):
        arms = []
        for _ in range(2):
            requests = generator.integers(1, 20, 80)
            arms.append(
                of_values(generator.binomial(requests, generator.beta(1, 1, 80)) * 1.0, requests * 1.0)
            )
        wrong += ready(reward_difference(*arms, binary=True)).p_value < 0.05
    assert binom.sf(wrong - 1, runs, 0.05) > 1e-3, f"{wrong} of {runs}"


def test_the_delta_method_gives_the_log_ratio_s_standard_error():
    """Known answer: the jackknife of ln(sum y / sum x) on the same units."""
    generator = np.random.default_rng(2)
    y, x = generator.binomial(1, 0.7, 4000) * 1.0, generator.lognormal(-4, 0.4, 4000)
    other = of_values(generator.binomial(1, 0.6, 4000) * 1.0, generator.lognormal(-4.5, 0.4, 4000))
    got = ready(ratio_change(of_values(y, x), other))
    left_out = np.log((y.sum() - y) / (x.sum() - x))
    jackknife = 3999 / 4000 * ((left_out - left_out.mean()) ** 2).sum()
    assert got.method == "delta"
    assert got.effect == pytest.approx(log(got.candidate / got.control))
    assert _Ratio.of(of_values(y, x)).log_variance == pytest.approx(jackknife, rel=0.01)
    assert got.high - got.low > 2 * norm.isf(0.025) * jackknife**0.5


def heavy(seed: int, units: int = 100, sigma: float = 1.6, rate: float = 0.6) -> Sums:
    """Binary rewards at costs so scattered that the mean cost is badly known."""
    generator = np.random.default_rng(seed)
    return of_values(generator.binomial(1, rate, units) * 1.0, generator.lognormal(-4, sigma, units))


def test_fieller_s_limits_solve_fieller_s_equation():
    """Both limits r satisfy (y - r x)^2 = z^2 (var y - 2 r cov + r^2 var x): the definition of the interval."""
    arm = _Ratio.of(heavy(3))
    mean_y = arm.value * arm.mean_x
    for limit in np.exp(arm.log_limits(1.96)):
        left = (mean_y - limit * arm.mean_x) ** 2
        assert left == pytest.approx(1.96**2 * (arm.yy - 2 * limit * arm.xy + limit**2 * arm.xx), rel=1e-9)


def test_a_badly_known_mean_cost_calls_fieller_and_agrees_with_delta_when_it_is_well_known():
    """The threshold of 10% must not move the result by much where both are right."""
    got = ready(ratio_change(heavy(3), heavy(4)))
    assert got.method == "fieller"
    assert got.low < got.effect < got.high
    a, b = _Ratio.of(heavy(5, 4000, 0.5)), _Ratio.of(heavy(6, 4000, 0.5))
    spread = 1.96 * (a.log_variance + b.log_variance) ** 0.5
    low, high = _recovered(a, b, 1.96)
    np.testing.assert_allclose(
        (low, high), log(b.value / a.value) + spread * np.array([-1, 1]), atol=0.05 * spread
    )


def test_the_difference_s_limits_recover_the_variances_on_the_side_they_face():
    """Zou and Donner: the lower limit joins the candidate's lower with the control's upper distance."""
    a, b = _Ratio.of(heavy(3)), _Ratio.of(heavy(4))
    (low_a, high_a), (low_b, high_b) = a.log_limits(1.96), b.log_limits(1.96)
    low, high = _recovered(a, b, 1.96)
    effect = log(b.value / a.value)
    assert effect - low == pytest.approx(np.hypot(log(b.value) - low_b, high_a - log(a.value)))
    assert high - effect == pytest.approx(np.hypot(high_b - log(b.value), log(a.value) - low_a))


def test_fieller_s_p_is_the_level_at_which_its_interval_reaches_zero():
    """p and interval must never contradict each other."""
    control, candidate = heavy(3, 150, 1.2, rate=0.3), heavy(4, 150, 1.2, rate=0.9)
    p = ready(ratio_change(control, candidate)).p_value
    assert 1e-9 < p < 0.5
    touching = ready(ratio_change(control, candidate, alpha=p))
    assert min(abs(touching.low), abs(touching.high)) < 1e-6


def test_a_mean_cost_that_may_be_zero_says_unbounded():
    """One unit cost almost everything: g >= 1, and no interval can be given."""
    x = np.full(100, 1e-6)
    x[0] = 1.0
    broken = of_values(np.ones(100), x)
    got = ready(ratio_change(broken, heavy(4)))
    assert got.unbounded
    assert (got.low, got.high) == (-inf, inf)
    assert 0.05 <= got.p_value <= 1


@pytest.mark.statistical
def test_intervals_of_scattered_cost_ratios_cover_the_truth():
    """95% intervals under lognormal costs, n = 100: Fieller with recovery misses at most about as promised."""
    runs = 500
    missed = 0
    for run in range(runs):
        got = ready(ratio_change(heavy(2 * run, sigma=1.2), heavy(2 * run + 1, sigma=1.2)))
        missed += not got.low <= 0 <= got.high
    assert binom.sf(missed - 1, runs, 0.05) > 1e-3, f"{missed} of {runs}"


@pytest.mark.parametrize(
    ("alpha", "mde", "sd", "power"), [(0.05, 0.05, 0.5, 0.8), (0.01, 0.02, 0.3, 0.9), (0.1, 1.0, 3.0, 0.8)]
)
def test_planned_units_equal_statsmodels(alpha, mde, sd, power):
    """Two-sided and one-sided; the neglected opposite tail is below 1e-6 here."""
    for sides, alternative in ((2, "two-sided"), (1, "larger")):
        known = NormalIndPower().solve_power(mde / sd, None, alpha, power, 1.0, alternative)
        assert planned_units(alpha=alpha, mde=mde, sd=sd, power=power, sides=sides) == pytest.approx(
            known, abs=1
        )


def test_an_impossible_plan_is_refused():
    """Zero effects need infinitely many units; the message names the bound."""
    with pytest.raises(ValueError, match="mde > 0"):
        planned_units(alpha=0.05, mde=0.0, sd=0.5)
    with pytest.raises(ValueError, match="probabilities"):
        planned_units(alpha=1.0, mde=0.1, sd=0.5)


def test_too_little_data_is_named_and_never_a_number():
    """Empty arms, one unit, no variation, no reward, fewer than 100 units for a ratio, overflow."""
    empty, one, full = of_counts(0, 0), of_counts(1, 1), of_counts(200, 90)
    constant = of_values(np.full(200, 0.5))
    for result, words in (
        (mean_difference(empty, full), "control has 0 units"),
        (mean_difference(full, one), "candidate has 1 units"),
        (mean_difference(constant, constant), "no variation"),
        (proportion_difference(empty, empty), "0 units"),
        (proportion_difference(Sums(5, 9, 9, 5, 5, 9), full), "not 0 or 1"),
        (ratio_change(of_counts(99, 50), full), "needs 100"),
        (ratio_change(of_counts(200, 0), full), "no reward"),
        (ratio_change(Sums(200, 100, 100, 0, 0, 0), full), "cost are 0"),
        (ratio_change(of_counts(200, 200), of_counts(200, 200)), "no variation"),
        (mean_difference(Sums(5, inf, inf, 5, 5, inf), full), "not finite"),
    ):
        assert isinstance(result, NotEnoughData)
        assert words in result.reason


ARM = st.tuples(st.integers(0, 10**9), st.floats(0, 1)).map(lambda a: of_counts(a[0], round(a[0] * a[1])))


@settings(derandomize=True, max_examples=60)
@given(ARM, ARM)
def test_any_counts_give_finite_numbers_or_not_enough_data(control, candidate):
    """No input reaches the report as NaN, and swapping the arms mirrors the answer."""
    for test in (proportion_difference, mean_difference):
        got, mirrored = test(control, candidate), test(candidate, control)
        assert isinstance(got, NotEnoughData) == isinstance(mirrored, NotEnoughData)
        if isinstance(got, FixedHorizon):
            assert isinstance(mirrored, FixedHorizon)
            assert all(isfinite(v) for v in (got.effect, got.low, got.high, got.p_value))
            assert got.low <= got.effect + 1e-12
            assert got.high >= got.effect - 1e-12
            np.testing.assert_allclose((mirrored.low, mirrored.high), (-got.high, -got.low), atol=1e-9)
            assert mirrored.p_value == pytest.approx(got.p_value, abs=1e-12)


def test_tiny_p_values_are_computed_by_survival_functions():
    """1 - cdf would print zero for every p below 1e-16."""
    got = ready(mean_difference(of_counts(2000, 600), of_counts(2000, 1000)))
    assert 0 < got.p_value < 1e-30


def test_sums_of_merged_cells_are_sums_of_the_merged_units():
    """The read-out is a function of cells; workers' cells add."""
    generator = np.random.default_rng(6)
    z = np.ones((1, 1, 60, 5))
    z[..., Z.TOTAL], z[..., Z.COST] = generator.random((1, 1, 60)), generator.random((1, 1, 60))
    merged = (Cells.of_units(z[:, :, :25]) + Cells.of_units(z[:, :, 25:])).pooled()[0]
    got, known = sums(merged, Z.TOTAL, Z.COST), of_values(z[0, 0, :, Z.TOTAL], z[0, 0, :, Z.COST])
    for field in ("units", "y", "yy", "x", "xx", "xy"):
        assert getattr(got, field) == pytest.approx(getattr(known, field))
