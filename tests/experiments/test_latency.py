"""Latency histograms: quantiles within two percent, merged by addition."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evidence.histograms import Histograms
from experiments.evidence.latency import LARGEST_MS, SMALLEST_MS, bucket, middle_ms, quantile_ms

LATENCIES = st.floats(SMALLEST_MS, LARGEST_MS)


def histogram(latencies):
    """Requests per bucket."""
    return Counter(bucket(latency) for latency in latencies)


@given(LATENCIES)
def test_a_buckets_middle_is_within_two_percent(latency):
    """That is the accuracy the report promises."""
    assert middle_ms(bucket(latency)) == pytest.approx(latency, rel=0.02)


@given(LATENCIES, LATENCIES)
def test_buckets_keep_the_order_of_latencies(one, other):
    """A slower request never lands in a faster bucket."""
    assert bucket(min(one, other)) <= bucket(max(one, other))


@given(st.lists(LATENCIES, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_sorted_latencies(latencies, q):
    """Known answer: numpy's inverted distribution function."""
    exact = float(np.quantile(latencies, q, method="inverted_cdf"))
    assert quantile_ms(histogram(latencies), q) == pytest.approx(exact, rel=0.0201)


@given(st.lists(LATENCIES), st.lists(LATENCIES))
def test_histograms_of_two_workers_add(one, other):
    """Counts merge without going back to the requests."""
    assert histogram(one) + histogram(other) == histogram([*one, *other])


@pytest.mark.parametrize("latency", [-5.0, 0.0, 1e-12])
def test_no_measurable_latency_is_the_smallest_bucket(latency):
    """A clock that stood still must not raise."""
    assert bucket(latency) == 0


def test_a_day_is_the_longest_latency():
    """The number of buckets is bounded."""
    assert bucket(1e300) == bucket(LARGEST_MS) < 600


@pytest.mark.parametrize("empty", [{}, {5: 0}])
def test_an_empty_histogram_has_no_quantile(empty):
    """None, not zero milliseconds."""
    assert quantile_ms(empty, 0.95) is None


def test_a_quantile_outside_zero_to_one_is_refused():
    """95 instead of .95 must not pass for the maximum."""
    with pytest.raises(ValueError, match="q == 95"):
        quantile_ms({1: 1}, 95)


CELLS = st.dictionaries(st.integers(0, 500), st.integers(1, 10**9), max_size=5)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_one_array_holds_the_histograms_of_all_cells(latency):
    """Every count at its epoch, arm and bucket, and nothing else."""
    found = Histograms.of(latency, 2)
    assert found.counts.shape[:2] == (len(latency), 2)
    assert found.log_edges.size == found.counts.shape[-1] + 1
    read = [
        [{found.first + int(place): int(arm[place]) for place in np.flatnonzero(arm)} for arm in epoch]
        for epoch in found.counts
    ]
    assert read == [[*epoch] for epoch in latency]
    keep = np.arange(len(latency)) % 2 == 0
    assert found.where(keep).counts.tolist() == found.counts[keep].tolist()


@given(LATENCIES)
def test_a_latency_lies_between_the_edges_of_its_bucket(latency):
    """The edges are what tests of quantiles interpolate between."""
    found = Histograms.of([[{bucket(latency): 1}]], 1)
    low, high = np.exp(found.log_edges)
    assert low * (1 - 1e-9) <= latency <= high * (1 + 1e-9)
