"""E2S: known vectors, the law E[S] <= 1, one-way memory, and its error rate under a bandit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import binom

from bandit.cells import Cells
from experiments.inference.exact import (
    Blocks,
    alternatives,
    any_difference,
    growth_beyond,
    log_growth,
    mixed,
    nearest_null,
    not_worse,
)  # fmt: skip
from experiments.inference.not_enough import NotEnoughData

FEW = settings(derandomize=True, max_examples=60)
RATES = st.floats(1e-6, 1 - 1e-6)


def block(n_a: float, s_a: float, n_b: float, s_b: float) -> Blocks:
    """One epoch."""
    return Blocks(np.array([[n_a, n_b]], dtype=float), np.array([[s_a, s_b]], dtype=float))


def null_of(n_a: float, n_b: float, ta: float, tb: float, d: float) -> np.ndarray:
    """The point of "rate_b - rate_a <= d" that is nearest to (ta, tb)."""
    return nearest_null(np.array([[n_a, n_b]], dtype=float), np.array([[ta, tb]]), np.array([d]))


def thompson(rates, runs: int, epochs: int, seed: int, size: int = 100, trend=lambda part: 0.0) -> Blocks:
    """Many experiments at once whose shares follow P(best) of normal posteriors, at least .05 each."""
    generator, share = np.random.default_rng(seed), np.full(runs, 0.5)
    n, s = np.zeros((runs, epochs, 2)), np.zeros((runs, epochs, 2))
    for epoch in range(epochs):
        of_b = generator.binomial(size, share)
        n[:, epoch] = np.stack([size - of_b, of_b], axis=-1)
        now = np.clip(np.array(rates) + trend(epoch / epochs), 0, 1)
        s[:, epoch] = generator.binomial(n[:, epoch].astype(int), now)
        hits, all_ = s.sum(axis=1) + 1, n.sum(axis=1) + 2
        mean = hits / all_
        gap = (mean[:, 1] - mean[:, 0]) / np.sqrt((mean * (1 - mean) / (all_ + 1)).sum(axis=1))
        share = 0.05 + 0.9 * ndtr(gap)
    return Blocks(n, s)


@pytest.mark.parametrize(
    ("counts", "alternative", "known"),
    [
        ((100, 70, 100, 80), (0.70, 0.80), 1.3403563645),
        ((150, 90, 50, 35), (0.62, 0.70), 0.7882526301),
    ],
)
def test_a_block_against_equal_rates_has_its_known_value(counts, alternative, known):
    """Own computation, the likelihood ratio by scipy's binom; unequal numbers of units weigh the pooled rate."""
    one = block(*counts)
    at = np.array([[alternative]])
    pooled = float((one.n * at[0]).sum() / one.n.sum())
    n, s = np.array(counts)[[0, 2]], np.array(counts)[[1, 3]]
    ratio = binom.logpmf(s, n, alternative).sum() - binom.logpmf(s, n, pooled).sum()
    assert ratio == pytest.approx(known, abs=1e-9)
    assert log_growth(one, at, np.full_like(at, pooled))[0, 0] == pytest.approx(known, abs=1e-9)
    superior = null_of(one.n[0, 0], one.n[0, 1], *alternative, 0.0)
    assert log_growth(one, at, superior[None])[0, 0] == pytest.approx(known, abs=1e-9)


def test_a_block_against_a_margin_has_its_known_value():
    """Own computation for non-inferiority by .03; scipy's brentq finds the same null point in the next test."""
    null = null_of(100, 100, 0.85, 0.85, -0.03)
    assert null[0, 0] == pytest.approx(0.86377509, abs=1e-8)
    assert null[0, 1] == pytest.approx(0.83377509, abs=1e-8)
    growth = log_growth(block(100, 85, 100, 85), np.array([[[0.85, 0.85]]]), null[None])
    assert growth[0, 0] == pytest.approx(0.1760333929, abs=1e-9)


@FEW
@given(st.tuples(RATES, RATES), st.floats(-0.9, 0.9), st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)))
def test_the_nearest_null_point_is_the_root_that_scipy_brackets(rates, difference, n):
    """Newton with a bracket must end at the root for every alternative, however near an edge."""
    ta, tb = rates
    if tb - ta <= difference + 1e-9:
        return
    got = float(null_of(*n, ta, tb, difference)[0, 0])

    def slope(x: float) -> float:
        y = x + difference
        return n[0] * (x - ta) / (x * (1 - x)) + n[1] * (y - tb) / (y * (1 - y))

    low, high = max(ta, -difference), min(tb - difference, 1.0)
    tiny = 1e-13 * max(high - low, 1e-3)
    if slope(low + tiny) < 0 < slope(high - tiny):
        assert got == pytest.approx(brentq(slope, low + tiny, high - tiny, xtol=1e-15), abs=1e-9)
    assert low <= got <= high


def test_the_expected_growth_is_at_most_one_everywhere_in_the_null():
    """The law behind the test, by summing over all outcomes of a small block, at every null point of a grid."""
    n, rates = (4, 3), (0.3, 0.75)
    for d in (0.0, -0.15, 0.2):
        at = np.array([[rates]])
        null = null_of(*n, *rates, d)[None]
        outcomes = list(product(range(n[0] + 1), range(n[1] + 1)))
        growth = np.array([log_growth(block(n[0], a, n[1], b), at, null)[0, 0] for a, b in outcomes])
        for ra, gap in product(np.linspace(0.01, 0.99, 25), (0.0, 0.1, 0.3)):
            rb = ra + d - gap
            if 0 <= rb <= 1:
                chance = [binom.pmf(a, n[0], ra) * binom.pmf(b, n[1], rb) for a, b in outcomes]
                assert np.exp(growth) @ chance <= 1 + 1e-9
        on_boundary = [binom.pmf(a, n[0], null[0, 0, 0]) * binom.pmf(b, n[1], null[0, 0, 1])
                       for a, b in outcomes]  # fmt: skip
        assert np.exp(growth) @ on_boundary == pytest.approx(1.0)


def test_an_alternative_inside_the_null_leaves_the_e_value_alone():
    """Without this rule E[S] is 1.70 at (.85, .78) for a margin of .03: it would reward an inferior candidate."""
    two = Blocks(np.full((2, 2), 100.0), np.array([[80.0, 80], [85, 78]]))
    at = np.broadcast_to([0.85, 0.78], (2, 1, 2))
    assert (growth_beyond(two, at, -0.03) == 0).all()
    assert growth_beyond(two, at, -0.08)[1, 0] != 0
    x = brentq(
        lambda x: 100 * (x - 0.85) / (x * (1 - x)) + 100 * (x - 0.81) / ((x - 0.03) * (1.03 - x)), 0.81, 0.85
    )
    per_unit = [
        r * t / v + (1 - r) * (1 - t) / (1 - v) for r, t, v in ((0.85, 0.85, x), (0.78, 0.78, x - 0.03))
    ]
    assert np.prod(np.array(per_unit) ** 100) == pytest.approx(1.70, abs=0.02), "what the rule prevents"


def test_the_first_block_never_counts():
    """Nothing was known before it, so its alternative would be its own outcomes."""
    extreme = Blocks(np.full((1, 2), 1000.0), np.array([[0.0, 1000.0]]))
    assert any_difference(extreme, 0.05).log_e[-1] == pytest.approx(0.0)
    assert not_worse(extreme, 0.05).log_e[-1] == pytest.approx(0.0)


def test_the_alternative_of_a_block_is_made_from_earlier_blocks_only():
    """Looking at a block before betting on it rejects everything; here its own outcomes change no bet."""
    generator = np.random.default_rng(4)
    n = generator.integers(20, 60, (6, 2)).astype(float)
    s = generator.binomial(n.astype(int), 0.4).astype(float)
    other = s.copy()
    other[-1] = [0.0, n[-1, 1]]
    np.testing.assert_array_equal(alternatives(Blocks(n, s), 0.05), alternatives(Blocks(n, other), 0.05))
    before = any_difference(Blocks(n[:5], s[:5]), 0.05).log_e
    np.testing.assert_allclose(any_difference(Blocks(n, other), 0.05).log_e[:5], before)
    assert any_difference(Blocks(n, other), 0.05).log_e[5] != pytest.approx(before[4])


def test_alternatives_are_steps_of_log_odds_split_by_past_shares():
    """By hand: 100 and 300 units at a past rate of .5, mde .05: steps of g * .05 / .25 split 3 to 1."""
    two = Blocks(np.array([[100.0, 300.0], [10, 10]]), np.array([[50.0, 150.0], [5, 5]]))
    ta, tb = alternatives(two, 0.05)[1, 2]
    assert np.log(ta / (1 - ta)) == pytest.approx(-0.75 * 0.2)
    assert np.log(tb / (1 - tb)) == pytest.approx(0.25 * 0.2)
    rare = Blocks(two.n, np.array([[0.0, 0.0], [0, 0]]))
    assert alternatives(rare, 0.05).min() == 1e-6, "rates are clipped; the spread is at least .02"


def test_the_mixture_is_the_mean_e_value_of_its_grid_points():
    """Equal weights: ln E = logsumexp - ln 10."""
    growth = np.log(np.array([[[1.0, 3.0], [2.0, 0.5]]]))
    np.testing.assert_allclose(np.exp(mixed(growth).log_e), [[2.0, 1.75]])


def test_p_is_one_over_the_largest_e_value_so_far_and_at_most_one():
    """A later setback takes no evidence back; that is what makes peeking free."""
    process = mixed(np.log(np.array([[0.5], [60.0], [0.1]])))
    np.testing.assert_allclose(process.p_values, [1.0, 1 / 30, 1 / 30])
    assert process.rejects(0.05)
    assert process.latest == pytest.approx(np.log(3))


@FEW
@given(st.integers(0, 10_000))
def test_swapping_the_arms_swaps_nothing_but_the_sign(seed):
    """The two-sided test has no favourite; equal evidence for either arm is equal."""
    generator = np.random.default_rng(seed)
    n = generator.integers(1, 40, (5, 2)).astype(float)
    blocks = Blocks(n, generator.binomial(n.astype(int), 0.3).astype(float))
    np.testing.assert_allclose(
        any_difference(blocks, 0.1).log_e, any_difference(blocks.reversed(), 0.1).log_e, atol=1e-9
    )


def test_failures_counted_instead_of_successes_give_the_same_evidence():
    """Lower-is-better is higher-is-better of 1 - reward with the arms exchanged."""
    generator = np.random.default_rng(8)
    n = np.full((20, 2), 50.0)
    s = generator.binomial(50, np.broadcast_to([0.3, 0.4], (20, 2))).astype(float)
    np.testing.assert_allclose(
        not_worse(Blocks(n, s), 0.05).log_e, not_worse(Blocks(n, n - s).reversed(), 0.05).log_e, atol=1e-9
    )


def test_an_epoch_with_one_arm_only_changes_nothing():
    """It holds no comparison, and must not bend the bets that follow either."""
    n, s = np.array([[50.0, 50], [0, 80], [50, 50]]), np.array([[20.0, 30], [0, 80], [20, 30]])
    kept = np.array([0, 2])
    np.testing.assert_allclose(
        any_difference(Blocks(n, s), 0.05).log_e[kept], any_difference(Blocks(n[kept], s[kept]), 0.05).log_e
    )
    np.testing.assert_allclose(
        not_worse(Blocks(n, s), 0.05).log_e[kept], not_worse(Blocks(n[kept], s[kept]), 0.05).log_e
    )


@pytest.mark.parametrize(
    ("n", "s"),
    [(1e9, 0.0), (1e9, 1e9), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (5.0, 2.5)],
)
def test_extreme_counts_give_finite_evidence(n, s):
    """All successes, none, one unit, a billion units."""
    blocks = Blocks(np.full((4, 2), n), np.full((4, 2), s))
    for process in (
        any_difference(blocks, 0.03),
        not_worse(blocks, 0.03),
        not_worse(blocks.reversed(), -0.03),
    ):
        assert np.isfinite(process.log_e).all()
        assert ((process.p_values > 0) & (process.p_values <= 1)).all()
    assert any_difference(Blocks(np.zeros((0, 2)), np.zeros((0, 2))), 0.03).latest == 0


def test_blocks_come_from_cells_with_rewards_scaled_to_one():
    """A score of 1 to 5 becomes 0 to 1; units of several requests have no exact test."""
    z = np.zeros((1, 2, 2, 5))
    z[..., :2], z[0, 0, :, 2], z[0, 1, :, 2] = 1.0, [1.0, 5.0], [2.0, 4.0]
    blocks = Blocks.of(Cells.of_units(z), 0, 1, low=1.0, width=4.0)
    assert isinstance(blocks, Blocks)
    np.testing.assert_allclose(blocks.s, [[1.0, 1.0]])
    z[..., 1] = 2.0
    assert isinstance(Blocks.of(Cells.of_units(z), 0, 1, 1.0, 4.0), NotEnoughData)


@pytest.mark.parametrize(
    ("n", "s", "words"),
    [
        (np.ones((2, 2)), np.full((2, 2), 1.5), r"must be in \[0, n\]"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "finite"),
        (np.ones((2, 3)), np.ones((2, 3)), "epochs, 2"),
    ],
)
def test_impossible_counts_are_refused(n, s, words):
    """More successes than units would be counted as evidence."""
    with pytest.raises(ValueError, match=words):
        Blocks(n, s)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("rates", "trend"),
    [
        ((0.02, 0.02), lambda part: 0.0),
        ((0.02, 0.02), lambda part: 0.3 * part),
        ((0.98, 0.98), lambda part: 0.0),
        ((0.5, 0.5), lambda part: 0.3 * np.sin(6 * np.pi * part)),
    ],
)
def test_a_true_null_under_thompson_shares_is_rejected_in_at_most_five_percent(rates, trend):
    """Rare successes, common trends, a look every epoch; fails at 32 of 400 as the bar says."""
    blocks = thompson(rates, runs=400, epochs=100, seed=11, trend=trend)
    assert any_difference(blocks, 0.03).rejects(0.05).sum() < 32
    assert not_worse(blocks, 0.0, 0.03).rejects(0.05).sum() < 32
    assert np.exp(any_difference(blocks, 0.03).latest).mean() < 1.5, "an e-value has mean one at most"


@pytest.mark.statistical
@pytest.mark.parametrize("rate", [0.05, 0.85])
def test_a_candidate_at_the_margin_is_called_not_worse_in_at_most_five_percent(rate):
    """The boundary of non-inferiority; and a candidate that equals the control passes in most runs."""
    at_margin = thompson((rate, rate - 0.03), runs=400, epochs=100, seed=12)
    assert not_worse(at_margin, 0.03).rejects(0.05).sum() < 32
    equal = thompson((rate, rate), runs=200, epochs=100, seed=13)
    assert not_worse(equal, 0.03).rejects(0.05).mean() > 0.6


@pytest.mark.statistical
def test_rewards_between_zero_and_one_are_tested_as_safely_as_successes():
    """Scores of mean .1 that vary less than successes do; the null holds, the units are uneven."""
    generator = np.random.default_rng(14)
    n = generator.integers(20, 80, (400, 60, 2)).astype(float)
    s = generator.gamma(n * 0.5, 1.0)
    scores = np.minimum(s / (s + generator.gamma(n * 4.5, 1.0)) * n, n)
    assert any_difference(Blocks(n, scores), 0.05).rejects(0.05).sum() < 32
    shifted = np.minimum(scores + n * [0.0, 0.05], n)
    assert any_difference(Blocks(n, shifted), 0.05).rejects(0.05).mean() > 0.9


@pytest.mark.statistical
def test_the_largest_e_value_so_far_is_no_e_value():
    """It fits a p-value only; fed into e-BH its mean above one would break the promise."""
    process = any_difference(thompson((0.5, 0.5), runs=2000, epochs=100, seed=15), 0.03)
    assert np.exp(process.latest).mean() < 1.2
    assert np.exp(process.log_e.max(axis=-1)).mean() > 1.5


@pytest.mark.statistical
def test_betting_on_outcomes_already_seen_would_reject_true_nulls():
    """The mistake that the previous test of memory guards against, and that the bars must be able to show."""
    blocks = thompson((0.5, 0.5), runs=200, epochs=50, seed=16)
    n, s = blocks.n[..., None, :], blocks.s[..., None, :]
    peeked = np.clip(s / np.maximum(n, 1), 1e-6, 1 - 1e-6)
    pooled = np.broadcast_to((n * peeked).sum(-1, keepdims=True) / n.sum(-1, keepdims=True), peeked.shape)
    assert mixed(log_growth(blocks, peeked, pooled)).rejects(0.05).mean() > 0.5
