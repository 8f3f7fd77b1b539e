"""Intervals of one arm's latency quantile: exact, valid at all looks, and as wide as they must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.latency import bottom_ms, bucket, middle_ms, top_ms
from experiments.evidence.units import ERROR, CellRow
from experiments.inference.quantile_sequence import TUNED_FOR, quantile_levels
from experiments.report.latencies import LatencyQuantile, latency_quantiles


@pytest.mark.parametrize(("n", "q"), [(400, 0.5), (900, 0.95)])
def test_the_levels_are_where_the_mixture_reaches_one_over_alpha(n, q):
    """Known answer from scipy: beta-binomial law against the binomial, at whole counts."""
    ell = -2 * np.log(0.05)
    weight = TUNED_FOR / (ell + np.log(ell) + 1)
    below = np.arange(n + 1)
    mixture = betabinom.logpmf(below, n, q * weight, (1 - q) * weight) - binom.logpmf(below, n, q)
    free = below[mixture < np.log(20)]
    found = quantile_levels(n, q, 0.05)
    assert free[0] - 1 <= found.low * n <= free[0]
    assert free[-1] <= found.high * n <= free[-1] + 1


@given(st.floats(0, 1e9), st.floats(0.01, 0.99), st.floats(1e-6, 0.3))
def test_any_size_has_levels_around_the_quantile(n, q, alpha):
    """Without data the whole range."""
    found = quantile_levels(n, q, alpha)
    assert 0 <= found.low <= q <= found.high <= 1
    if n == 0:
        assert (found.low, found.high) == (0, 1)


def test_few_outcomes_bound_nothing():
    """Fifty requests say nothing of how slow the slowest twentieth may be."""
    assert quantile_levels(50, 0.95, 0.05).high == 1
    assert quantile_levels(5_000, 0.95, 0.05).high < 0.96


def test_a_percentage_is_refused():
    """95 instead of .95."""
    with pytest.raises(ValueError, match="q == 95"):
        quantile_levels(10, 95, 0.05)


@pytest.mark.statistical
def test_the_interval_holds_the_quantile_at_all_looks_together():
    """400 walks of 4,000 requests with 80 looks each; at most alpha may leave the levels."""
    random = np.random.default_rng(8)
    looks = np.unique(np.geomspace(20, 4_000, 80).astype(int))
    for q in (0.5, 0.95):
        levels = [quantile_levels(int(n), q, 0.05) for n in looks]
        below = (random.random((400, 4_000)) < q).cumsum(axis=1)[:, looks - 1] / looks
        out = (below < [one.low for one in levels]) | (below > [one.high for one in levels])
        assert int(out.any(axis=1).sum()) <= int(binom.ppf(0.99, 400, 0.05))


# In the report


def evidence(histogram, per_unit=1):
    """One epoch of the control with this histogram."""
    requests = sum(histogram.values())
    n, nn = requests / per_unit, requests * per_unit
    sums = (n, requests, 0.0, 0.0, 0.0, nn, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    rows = [CellRow(1, 0, (1, 1, 1, 0, 0, 0, 0), {ERROR: sums} if requests else {}, histogram)]
    return gather([Epoch(1, 1, 0, (0.5, 0.5))], rows, 2)


def test_the_interval_spans_whole_buckets_around_the_quantile():
    """A bucket of 4% cannot say where in it a latency lies."""
    histogram = {bucket(100.0): 500, bucket(200.0): 400, bucket(900.0): 100}
    (found,) = latency_quantiles(evidence(histogram), 0, (0.5,), 0.05)
    assert found.value_ms == middle_ms(bucket(100.0))
    assert found.low_ms == bottom_ms(bucket(100.0)) < 100 <= found.value_ms * 1.02
    assert found.high_ms == top_ms(bucket(200.0)) >= 200


def test_nothing_measured_is_nothing_known():
    """No zero milliseconds."""
    assert latency_quantiles(evidence({}), 0, (0.5, 0.95), 0.05) == (LatencyQuantile(), LatencyQuantile())
    assert latency_quantiles(evidence({5: 9}), 1, (0.5,), 0.05) == (LatencyQuantile(),)


def test_one_request_has_a_value_and_no_bounds():
    """It is an estimate, and no more."""
    (found,) = latency_quantiles(evidence({bucket(100.0): 1}), 0, (0.5,), 0.05)
    assert (found.value_ms, found.low_ms, found.high_ms) == (middle_ms(bucket(100.0)), None, None)


def test_requests_of_one_unit_widen_the_interval():
    """Ten alike requests of a conversation count as one."""
    histogram = {bucket(100.0 * 1.05**step): 100 for step in range(20)}
    (alone,) = latency_quantiles(evidence(histogram), 0, (0.5,), 0.05)
    (together,) = latency_quantiles(evidence(histogram, per_unit=10), 0, (0.5,), 0.05)
    assert together.low_ms < alone.low_ms < alone.value_ms < alone.high_ms < together.high_ms


def test_the_smallest_bucket_reaches_down_to_zero():
    """A clock that stood still."""
    assert (bottom_ms(0), bottom_ms(1)) == (0.0, pytest.approx(0.1))
