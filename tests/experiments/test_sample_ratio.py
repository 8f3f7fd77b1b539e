"""Sample ratio: healthy bandits stay quiet, broken splits alarm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from bandit.best import best_of_normals
from bandit.shares import with_floor
from experiments.inference.sample_ratio import sample_ratio


def counts(*rows: list[int]) -> np.ndarray:
    """Counts by epoch and arm."""
    return np.array(rows, dtype=np.int64)


def test_one_epoch_is_the_chi_square_test_of_scipy():
    """Known answer for constant shares."""
    shares = np.array([[0.5, 0.3, 0.2]])
    got = sample_ratio(counts([520, 290, 190]), shares)
    known = chisquare([520, 290, 190], 1000 * shares[0])
    assert got.statistic == pytest.approx(known.statistic)
    assert got.p_value == pytest.approx(known.pvalue)
    assert got.freedom == 2


def test_several_epochs_sum_differences_and_variances_before_the_test():
    """Two arms: X = (sum d)^2 / sum N p (1 - p), by hand."""
    got = sample_ratio(counts([60, 40], [15, 85]), np.array([[0.5, 0.5], [0.1, 0.9]]))
    assert got.statistic == pytest.approx((10 + 5) ** 2 / (25 + 9))
    assert got.freedom == 1


def test_shares_that_moved_do_not_alarm():
    """Counts exactly as decided; against the last shares alone they would be absurd."""
    got = sample_ratio(counts([500, 500], [900, 100]), np.array([[0.5, 0.5], [0.9, 0.1]]))
    assert got.p_value == pytest.approx(1.0)
    assert chisquare([1400, 600], [1800, 200]).pvalue < 1e-100


def test_arms_without_share_do_not_count_as_degrees_of_freedom():
    """A dropped arm would dilute the alarm: 20.8 on 1 degree is not 20.8 on 9."""
    shares = np.array([[0.5, 0.5] + [0.0] * 8])
    got = sample_ratio(counts([572, 428] + [0] * 8), shares)
    assert got.freedom == 1
    assert got.p_value == pytest.approx(sample_ratio(counts([572, 428]), shares[:, :2]).p_value)
    assert got.alarm


def test_an_arm_dropped_midway_is_tested_where_it_had_a_share():
    """Its zero share later must neither hide nor fake a mismatch."""
    shares = np.array([[0.4, 0.4, 0.2], [0.5, 0.5, 0.0]])
    assert sample_ratio(counts([400, 400, 200], [500, 500, 0]), shares).p_value == pytest.approx(1.0)
    assert sample_ratio(counts([420, 430, 150], [500, 500, 0]), shares).alarm


def test_a_unit_on_an_arm_without_share_alarms_by_itself():
    """No chance can explain it, and the covariance cannot see it."""
    got = sample_ratio(counts([500, 499, 1]), np.array([[0.5, 0.5, 0.0]]))
    assert got.alarm
    assert got.impossible == 1
    assert "share was zero" in got.sentence


def test_arms_that_expect_fewer_than_five_units_are_merged():
    """Ten arms at three expected units each: one group, two degrees of freedom in all."""
    shares = np.array([[0.5, 0.47] + [0.003] * 10])
    assert sample_ratio(counts([500, 470] + [3] * 10), shares).freedom == 2
    tiny = np.array([[0.6, 0.399, 0.001]])
    assert sample_ratio(counts([600, 399, 1]), tiny).freedom == 1


def test_arms_that_never_shared_an_epoch_lose_one_more_degree():
    """Two disjoint pairs are two separate tests: rank 2, not 3."""
    shares = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    assert sample_ratio(counts([50, 50, 0, 0], [0, 0, 60, 40]), shares).freedom == 2


@pytest.mark.parametrize("rows", [[], [[0, 0]], [[3, 4]]])
def test_too_few_units_are_said_to_be_too_few(rows):
    """No epoch yet, an empty one, or fewer units than the chi-square law needs: never an alarm."""
    got = sample_ratio(np.array(rows, dtype=np.int64).reshape(-1, 2), np.full((len(rows), 2), 0.5))
    assert not got.alarm
    assert not got.enough_data
    assert "not enough units" in got.sentence


@settings(derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 8))
def test_reordering_arms_or_epochs_changes_nothing(seed, arms, epochs):
    """Whatever shares and counts: finite, and blind to names and dates."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.ones(arms) * 0.5, epochs)
    observed = np.stack(
        [generator.multinomial(n, p) for n, p in zip(generator.integers(0, 500, epochs), shares, strict=True)]
    )
    got = sample_ratio(observed, shares)
    moved = sample_ratio(observed[::-1, ::-1], shares[::-1, ::-1])
    assert np.isfinite(got.statistic)
    assert moved.statistic == pytest.approx(got.statistic, rel=1e-6, abs=1e-9)
    assert (moved.freedom, moved.observed) == (got.freedom, got.observed[::-1])


def test_malformed_input_is_refused():
    """Shares that are no split would make every alarm meaningless."""
    with pytest.raises(ValueError, match="epochs by arms"):
        sample_ratio(counts([1, 2]), np.array([[1.0]]))
    with pytest.raises(ValueError, match="sum to 1"):
        sample_ratio(counts([1, 2]), np.array([[0.5, 0.4]]))
    with pytest.raises(ValueError, match=">= 0"):
        sample_ratio(counts([1, -2]), np.array([[0.5, 0.5]]))


def bandit_run(
    generator: np.random.Generator, epochs: int = 40, size: int = 200, kept: float = 1.0, floor: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Counts and shares of Thompson sampling on three arms; the second loses 1 - kept of its units."""
    rates, wins, tries = np.array([0.5, 0.52, 0.45]), np.ones(3), np.full(3, 2.0)
    observed, shares = np.zeros((epochs, 3), dtype=np.int64), np.zeros((epochs, 3))
    for epoch in range(epochs):
        mean = wins / tries
        best = best_of_normals(mean, np.sqrt(mean * (1 - mean) / tries))
        shares[epoch] = with_floor(best, np.full(3, floor))
        units = generator.multinomial(size, shares[epoch])
        units[1] = generator.binomial(units[1], kept)
        observed[epoch] = units
        wins, tries = wins + generator.binomial(units, rates), tries + units
    return observed, shares


@pytest.mark.statistical
def test_healthy_bandits_alarm_in_at_most_one_percent_of_runs():
    """At p < .001, over adaptive shares; p below .05 comes as often as it should."""
    generator, runs = np.random.default_rng(11), 400
    results = [sample_ratio(*bandit_run(generator)) for _ in range(runs)]
    assert sum(one.alarm for one in results) <= 0.01 * runs
    small = sum(one.p_value < 0.05 for one in results)
    assert binom.cdf(small, runs, 0.05) > 1e-3, f"{small} of {runs}: never alarming is no health either"
    assert binom.sf(small - 1, runs, 0.05) > 1e-3, f"{small} of {runs}"


@pytest.mark.statistical
def test_a_loss_of_two_percent_of_one_arm_s_units_is_found():
    """Four hundred thousand units; a candidate that drops one unit in fifty must not look healthy."""
    generator = np.random.default_rng(12)
    found = [sample_ratio(*bandit_run(generator, 40, 10_000, kept=0.98, floor=0.1)) for _ in range(30)]
    steady = generator.multinomial(10_000, [0.5, 0.5], 40)
    steady[:, 1] = generator.binomial(steady[:, 1], 0.98)
    assert sample_ratio(steady, np.full((40, 2), 0.5)).alarm
    assert sum(one.alarm for one in found) >= 24
