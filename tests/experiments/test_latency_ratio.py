"""Ratios of latency quantiles: known answers, laws, and error rates under moving shares and load."""

from math import exp, inf, isfinite, log, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import binom, norm

from bandit.cells import Cells, Z
from experiments.evidence.histograms import Histograms
from experiments.evidence.latency import bucket
from experiments.inference.latency_ratio import UNKNOWN, latency_ratios, tail_shift

BUCKETS = bucket(86_400_000.0) + 1
RUNS, EPOCHS, UNITS = 80, 40, 200


def counts(latencies_ms):
    """Requests by bucket."""
    numbers = np.ceil(np.log(np.maximum(latencies_ms, 0.1) / 0.1) / log(1.04) - 1e-9).astype(int)
    return np.bincount(numbers, minlength=BUCKETS).astype(float)


def histograms(epochs):
    """From latencies by epoch and arm."""
    return Histograms(np.array([[counts(np.asarray(arm)) for arm in epoch] for epoch in epochs]), 0)


def calls(of, per_unit=1):
    """Cells of units with so many requests each."""
    requests = of.counts.sum(axis=-1)
    cells = Cells.empty(*requests.shape)
    cells.sums[..., Z.UNIT, Z.UNIT] = requests / per_unit
    cells.sums[..., Z.UNIT, Z.REQUESTS] = requests
    cells.sums[..., Z.REQUESTS, Z.REQUESTS] = requests * per_unit
    return cells


def ratio(epochs, q=0.95, per_unit=1, max_ratio=1.25, alpha=0.05):
    """The second arm against the first."""
    of = histograms(epochs)
    return latency_ratios(of, calls(of, per_unit), q, [1], alpha, max_ratio)[0]


def grid(n, middle=400.0, spread=0.5):
    """A lognormal sample without noise."""
    return middle * np.exp(spread * norm.ppf((np.arange(n) + 0.5) / n))


# Known answers


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("true", [0.7, 1.0, 1.5])
def test_the_estimate_is_the_ratio_of_the_quantiles(q, true):
    """Within a hundredth, though latencies are counted in buckets of 4%."""
    found = ratio([(grid(5_000), true * grid(5_000))] * 2, q)
    assert found.estimate.value == pytest.approx(log(true), abs=0.01)
    assert found.low < found.lower < log(true) < found.upper < found.high


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_standard_error_is_that_of_two_quantiles(q):
    """Known answer: sqrt(q (1-q) (1/n + 1/n)) / (phi(z) / spread), the classical law of a quantile."""
    found = ratio([(grid(20_000), grid(20_000))], q)
    density = norm.pdf(norm.ppf(q)) / 0.5
    expected = np.sqrt(q * (1 - q) * 2 / 20_000) / density
    assert found.estimate.standard_error == pytest.approx(expected, rel=0.1)


def test_arms_of_different_shape_have_their_own_slopes():
    """Known answer: the variance of each arm's quantile is by its own density, not by the control's."""
    found = ratio([(grid(20_000, spread=0.8), grid(20_000, 600.0, spread=0.3))])
    density = norm.pdf(norm.ppf(0.95))
    expected = np.sqrt(0.95 * 0.05 / 20_000 * (0.8**2 + 0.3**2)) / density
    assert found.estimate.standard_error == pytest.approx(expected, rel=0.1)


def test_a_common_trend_is_no_difference():
    """Load doubles and traffic moves to the candidate meanwhile: pooled, it looks slower by a third."""
    slow, fast = grid(4_000, 800.0), grid(4_000, 400.0)
    epochs = [(fast, fast[::8]), (slow[::8], slow)]
    pooled = np.quantile(np.concatenate([fast[::8], slow]), 0.5) / np.quantile(
        np.concatenate([fast, slow[::8]]), 0.5
    )
    assert pooled > 1.3
    found = ratio(epochs, 0.5)
    assert found.estimate.value == pytest.approx(0.0, abs=0.02)
    assert found.low < 0 < found.high


def test_the_shift_of_a_tail_is_that_of_the_lognormal_law():
    """Known answer from scipy."""
    assert tail_shift(0.95, 1.25) == pytest.approx(norm.cdf(norm.ppf(0.95) + log(1.25) / 0.5) - 0.95)


# Laws


SAMPLES = st.lists(st.floats(0.05, 1e6), min_size=0, max_size=40)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(SAMPLES, SAMPLES), max_size=4), st.sampled_from([0.5, 0.95, 0.99]), st.integers(1, 400)
)
def test_any_latencies_have_bounds_in_order(epochs, q, copies):
    """Empty arms, ties, one bucket, single epochs: bounds around the estimate or nothing known, never NaN."""
    of = Histograms(histograms(epochs).counts * copies if epochs else np.zeros((0, 2, 1)), 0)
    found = latency_ratios(of, calls(of), q, [1], 0.05, 1.25)[0]
    assert found.low <= found.lower <= found.estimate.value <= found.upper <= found.high
    assert 0 <= found.p <= 1
    if found.estimate.information == 0:
        assert found == UNKNOWN
    else:
        assert isfinite(found.estimate.value)


@settings(max_examples=30)
@given(st.floats(0.4, 2.5), st.sampled_from([0.5, 0.95]), st.integers(60, 2_000))
def test_exchanged_arms_mirror_the_bounds(true, q, n):
    """Faster by a third is slower by a half seen from the other side."""
    one = ratio([(grid(n), true * grid(n))], q)
    other = ratio([(true * grid(n), grid(n))], q)
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-9), pytest.approx(-other.low, abs=1e-9))
    assert one.p == pytest.approx(other.p)


@settings(max_examples=30)
@given(st.floats(0.5, 2.0), st.integers(200, 3_000))
def test_p_is_below_alpha_where_the_interval_leaves_out_one(true, n):
    """The printed interval and the printed p must not contradict each other."""
    found = ratio([(grid(n), true * grid(n))], 0.5)
    if min(abs(found.low), abs(found.high)) > 0.002:
        assert (found.p < 0.05) == (not found.low < 0 < found.high)


def test_more_requests_narrow_the_bounds():
    """And a billion of them leave finite ones."""
    widths = []
    for copies in (1, 10, 10**6):
        of = Histograms(histograms([(grid(1_000), grid(1_000))]).counts * copies, 0)
        found = latency_ratios(of, calls(of), 0.95, [1], 0.05, 1.25)[0]
        widths.append(found.high - found.low)
    assert widths[0] > widths[1] > widths[2] > 0


def test_requests_of_one_unit_count_as_one_event():
    """Ten alike requests of a conversation say no more than one."""
    alone = ratio([(grid(500), grid(500))], 0.5)
    together = ratio([(np.repeat(grid(500), 10), np.repeat(grid(500), 10))], 0.5, per_unit=10)
    assert together.estimate.information == pytest.approx(alone.estimate.information, rel=0.05)


@pytest.mark.parametrize(("q", "least"), [(0.5, 51), (0.95, 401), (0.99, 2_001)])
def test_too_few_requests_beyond_the_quantile_say_nothing(q, least):
    """Twenty of them, in effect, in each arm; the hundred and first percentile of nineteen is a guess."""
    assert ratio([(grid(least - 2), grid(5_000))], q) == UNKNOWN
    assert ratio([(grid(5_000), grid(least))], q).estimate.information > 0


def test_ties_in_one_bucket_are_equal():
    """A mock that always answers in 100 ms."""
    found = ratio([(np.full(2_000, 100.0), np.full(2_000, 100.0))])
    assert found.estimate.value == pytest.approx(0)
    assert found.upper < log(1.05)


def test_an_unbounded_tail_has_no_upper_bound():
    """With few requests the slowest say nothing of how slow the slowest are."""
    found = ratio([(grid(410), grid(410))], alpha=1e-4)
    assert (found.low, found.high) == (-inf, inf)
    assert found.estimate.information > 0


def test_epochs_without_the_other_arm_count_nothing():
    """There is nothing to compare with."""
    both = [(grid(2_000), 1.2 * grid(2_000))]
    assert ratio([*both, (grid(3_000, 9_000.0), []), ([], grid(10))]) == ratio(both)


# Error rates


def level(epoch, size):
    """Load that goes round three times, on the log scale."""
    return 6 + size * sin(6 * pi * epoch / EPOCHS)


def looks(random, q, spreads, size):
    """One run: the candidate is slower by 1.25 at the quantile of each epoch; traffic flees what looks slow.

    Yields the bounds at each look with the true ln ratio of the two mixtures that they are about.
    """
    shift = log(1.25) + (spreads[0] - spreads[1]) * norm.ppf(q)
    found, sizes, share = np.zeros((EPOCHS, 2, BUCKETS)), np.zeros((EPOCHS, 2)), 0.5
    seen = np.zeros((2, BUCKETS))
    for epoch in range(EPOCHS):
        candidate = int(random.binomial(UNITS, share))
        sizes[epoch] = UNITS - candidate, candidate
        for arm in (0, 1):
            noise = spreads[arm] * random.normal(size=int(sizes[epoch, arm]))
            found[epoch, arm] = counts(np.exp(level(epoch, size) + shift * arm + noise))
        seen += found[epoch]
        means = (seen @ np.arange(BUCKETS)) / seen.sum(axis=1)
        share = float(np.clip(0.5 + 0.2 * (means[0] - means[1]), 0.1, 0.9))
        if epoch % 4 == 3:
            of = Histograms(found[: epoch + 1, :, 100:400], 100)
            weights = 1 / (1 / sizes[: epoch + 1]).sum(axis=1)
            truth = log(1.25) if size == 0 else _mixtures(weights, q, shift, spreads, size)
            yield latency_ratios(of, calls(of), q, [1], 0.05, 1.25)[0], truth


def _mixtures(weights, q, shift, spreads, size):
    """ln ratio of the quantiles of both mixtures over epochs."""
    levels = np.array([level(epoch, size) for epoch in range(len(weights))])
    ends = []
    for arm in (0, 1):
        means = levels + shift * arm
        ends.append(
            brentq(lambda x, m=means, s=spreads[arm]: weights @ ndtr((x - m) / s) - q * weights.sum(), 0, 20)
        )
    return ends[1] - ends[0]


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("q", "spreads", "size"),
    [
        (0.5, (0.5, 0.5), 0.4), (0.5, (0.3, 0.8), 0.4), (0.95, (0.5, 0.5), 0.0), (0.95, (0.5, 0.5), 0.4),
        (0.95, (0.8, 0.3), 0.0), (0.95, (0.8, 0.3), 0.4), (0.95, (0.3, 0.8), 0.4),
    ],
)  # fmt: skip
def test_wrong_claims_stay_below_their_level(q, spreads, size):
    """At the bound: "kept", "harmed" and "the interval holds the truth" over all looks, under moving shares.

    Arms of one shape and of different ones, with and without a common swing of load by half. The bound is the
    99% point of the binomial law at 5%.
    """
    kept = harmed = missed = 0
    for run in range(RUNS):
        seen = list(looks(np.random.default_rng([5, run]), q, spreads, size))
        kept += any(found.upper < truth for found, truth in seen)
        harmed += any(found.lower > truth for found, truth in seen)
        missed += any(not found.low <= truth <= found.high for found, truth in seen)
    most = int(binom.ppf(0.99, RUNS, 0.05))
    assert max(kept, harmed, missed) <= most


@pytest.mark.statistical
def test_a_good_candidate_is_shown_to_be_so():
    """Equal arms, bound 1.25: most runs show p95 kept within 8,000 requests; without power errors are cheap."""
    shown = 0
    for run in range(50):
        random = np.random.default_rng([6, run])
        epochs = [[np.exp(6 + 0.5 * random.normal(size=100)) for _ in range(2)] for _ in range(40)]
        shown += ratio(epochs).upper < log(1.25)
    assert shown >= 45


def test_the_ratio_of_a_long_run_is_exact_enough():
    """exp of the estimate, as people read it."""
    random = np.random.default_rng(1)
    epochs = [
        [np.exp(6 + 0.5 * random.normal(size=5_000) + log(1.3) * arm) for arm in range(2)] for _ in range(10)
    ]
    assert exp(ratio(epochs).estimate.value) == pytest.approx(1.3, rel=0.02)
