"""Effects: classical answers in one epoch, laws over many, and the mistakes that a pooled or naive view makes."""

from functools import partial
from math import exp, isfinite, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind

from bandit.cells import Cells, Z
from experiments.inference.effects import (
    Boundary,
    arm_means,
    differences,
    log_ratios,
    mean_differences,
    rate_differences,
    single_requests,
)
from experiments.inference.sequence import NOTHING_KNOWN

RATES = st.floats(0.3, 0.7)


def units(rewards, costs=None, requests=None):
    """z of units; one request at one cent each, unless said otherwise."""
    rewards = np.asarray(rewards, dtype=float)
    ones = np.ones_like(rewards)
    requests = ones if requests is None else np.asarray(requests, dtype=float)
    costs = 0.01 * ones if costs is None else np.asarray(costs, dtype=float)
    return np.stack([ones, requests, rewards, costs, 0 * ones], axis=1)


def cells_of(epochs):
    """Cells of a list of epochs, each a list of arms' units."""
    return Cells(np.array([[z.T @ z for z in arms] for arms in epochs]))


def binary(generator, n, rate):
    """So many units with a reward of 0 or 1."""
    return units(generator.random(n) < rate)


# Known answers


def test_one_epoch_gives_welchs_t():
    """With a single stratum the estimate is the classical one; scipy.stats.ttest_ind is the reference."""
    random = np.random.default_rng(1)
    a, b = random.normal(0.5, 0.1, 300), random.normal(0.52, 0.2, 120)
    found = differences(cells_of([[units(a), units(b)]]), 0, [1])[0]
    assert found.value == pytest.approx(b.mean() - a.mean(), rel=1e-12)
    assert found.value / found.standard_error == pytest.approx(
        ttest_ind(b, a, equal_var=False).statistic, rel=1e-9
    )


@pytest.mark.parametrize("of_requests", [1, 3])
def test_an_arm_is_compared_alike_in_any_company(of_requests):
    """Beside its neighbours, in another order or alone, also where an epoch counts for one pair and not another."""
    random = np.random.default_rng(6)
    epochs = [
        [
            units(random.binomial(of_requests, 0.6, n), requests=np.full(n, of_requests))
            for n in random.choice([0, 1, 2, 80], 5)
        ]
        for _ in range(60)
    ]
    cells, known = cells_of(epochs), 0
    for how in (differences, partial(log_ratios, numerator=Z.TOTAL, denominator=Z.COST)):
        together = how(cells, 0, range(1, 5))
        assert how(cells, 0, [4, 1, 3]) == (together[3], together[0], together[2])
        assert all(how(cells, 0, [arm]) == (together[arm - 1],) for arm in range(1, 5))
        known += sum(one is not NOTHING_KNOWN for one in together)
    assert known == 8


def test_several_epochs_combine_by_inverse_variance():
    """The formula of the contract, written out on raw data."""
    random = np.random.default_rng(2)
    epochs = [
        [random.normal(e, 1, n), random.normal(e, 2, m)] for e, (n, m) in enumerate([(60, 20), (30, 90)])
    ]
    spread = [
        sum(((arms[k] - arms[k].mean()) ** 2).sum() for arms in epochs)
        / sum(len(arms[k]) - 1 for arms in epochs)
        for k in (0, 1)
    ]
    weights = [1 / (spread[0] / len(a) + spread[1] / len(b)) for a, b in epochs]
    effect = sum(w * (b.mean() - a.mean()) for w, (a, b) in zip(weights, epochs, strict=True)) / sum(weights)
    found = differences(cells_of([[units(a), units(b)] for a, b in epochs]), 0, [1])[0]
    assert found.value == pytest.approx(effect, rel=1e-9)
    assert found.information == pytest.approx(sum(weights), rel=1e-9)


def test_one_epoch_gives_the_delta_method_of_log_ratios():
    """ln(mean R / mean C) against the textbook variance of a ratio of means."""
    random = np.random.default_rng(3)
    arms = [(random.random(n) < 0.7, random.lognormal(-4, 0.6, n)) for n in (400, 250)]
    logs, variance = [], 0.0
    for r, c in arms:
        logs.append(log(r.mean() / c.mean()))
        residual = r / r.mean() - c / c.mean()
        variance += residual.var() / (len(r) - 1)
    found = log_ratios(cells_of([[units(r, c) for r, c in arms]]), 0, [1], Z.TOTAL, Z.COST)[0]
    assert found.value == pytest.approx(logs[1] - logs[0], rel=1e-9)
    assert found.information == pytest.approx(1 / variance, rel=1e-9)


def test_the_variance_of_a_log_ratio_is_that_of_repeated_experiments():
    """Two epochs, shares that move, costs that follow the hour: the stated error is the simulated one."""
    random = np.random.default_rng(4)
    shares, level = ((150, 50), (40, 160)), (1.0, 1.6)

    def once():
        epochs = [
            [units(random.random(n) < 0.6, f * random.lognormal(-4, 0.7, n)) for n in sizes]
            for sizes, f in zip(shares, level, strict=True)
        ]
        return log_ratios(cells_of(epochs), 0, [1], Z.TOTAL, Z.COST)[0]

    found = [once() for _ in range(1_500)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.06)
    assert abs(np.mean([one.value for one in found])) < 4 * spread / sqrt(1_500)


def test_the_error_of_reward_per_request_is_that_of_repeated_experiments():
    """Users with one to nine requests that share their mood: units are independent, requests are not."""
    random = np.random.default_rng(5)

    def arm(n):
        requests = random.integers(1, 10, n)
        return units(random.binomial(requests, random.beta(2, 2, n)), requests=requests)

    found = [
        rate_differences(cells_of([[arm(120), arm(60)], [arm(50), arm(90)]]), 0, [1])[0] for _ in range(1_500)
    ]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.06)


def test_one_arms_mean_is_the_sample_mean():
    """The absolute floor is tested against an ordinary mean and its standard error."""
    rewards = np.random.default_rng(6).random(200)
    (found,) = arm_means(cells_of([[units(rewards[:120])], [units(rewards[120:])]]), [0])
    assert found.value == pytest.approx(rewards.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(rewards.std(ddof=1) / sqrt(200), rel=1e-9)


# Laws


@given(st.integers(0, 2**32), st.integers(1, 4), RATES)
def test_units_of_one_request_make_rates_and_means_the_same(seed, epochs, rate):
    """The question is one and the same; only users with several requests need the ratio."""
    random = np.random.default_rng(seed)
    cells = cells_of([[binary(random, n, rate) for n in random.integers(120, 300, 2)] for _ in range(epochs)])
    assert single_requests(cells)
    mean, per_request = mean_differences(cells, 0, [1])[0], rate_differences(cells, 0, [1])[0]
    assert per_request.value == pytest.approx(mean.value, abs=1e-9)
    assert per_request.information == pytest.approx(mean.information, rel=1e-9 if epochs == 1 else 0.3)


@given(st.integers(0, 2**32), st.permutations([1, 2, 3]))
def test_the_order_of_candidates_changes_nothing_else(seed, order):
    """Each comparison reads its own two arms only."""
    random = np.random.default_rng(seed)
    cells = cells_of([[binary(random, 80, 0.5) for _ in range(4)] for _ in range(3)])
    straight = mean_differences(cells, 0, [1, 2, 3])
    moved = mean_differences(cells.arms(0, *order), 0, [1, 2, 3])
    assert list(moved) == [straight[arm - 1] for arm in order]
    assert mean_differences(cells, 0, [2])[0] == straight[1]


@given(st.integers(0, 2**32))
def test_swapping_the_arms_turns_every_effect_around(seed):
    """Better by .03 is worse by .03 seen from the other side, with the same certainty."""
    random = np.random.default_rng(seed)
    cells = cells_of([[binary(random, n, 0.5) for n in random.integers(40, 200, 2)] for _ in range(4)])
    for forth, back in (
        (differences(cells, 0, [1])[0], differences(cells, 1, [0])[0]),
        (rate_differences(cells, 0, [1])[0], rate_differences(cells, 1, [0])[0]),
        (log_ratios(cells, 0, [1], Z.COST, Z.UNIT)[0], log_ratios(cells, 1, [0], Z.COST, Z.UNIT)[0]),
    ):
        assert back.value == pytest.approx(-forth.value, abs=1e-12)
        assert back.information == pytest.approx(forth.information, rel=1e-9)


@given(st.integers(0, 2**32), st.integers(1, 99))
def test_cells_of_two_workers_add_to_the_cells_of_all_units(seed, cut):
    """Workers, nodes and days may count apart."""
    random = np.random.default_rng(seed)
    z = random.random((2, 2, 100, 5))
    parts = Cells.of_units(z[:, :, :cut]) + Cells.of_units(z[:, :, cut:])
    whole = Cells.of_units(z)
    assert np.allclose(parts.sums, whole.sums, rtol=1e-12)
    left, right = differences(parts, 0, [1])[0], differences(whole, 0, [1])[0]
    assert left.value == pytest.approx(right.value, abs=1e-9)


@given(st.integers(0, 2**32), st.floats(0.01, 1_000), st.floats(-100, 100))
def test_another_unit_of_the_reward_changes_only_the_scale(seed, factor, shift):
    """Cents or dollars, from zero or from a hundred: the conclusion is the same."""
    random = np.random.default_rng(seed)
    rewards = [[random.random(60), random.random(60)] for _ in range(2)]
    plain = differences(cells_of([[units(r) for r in arms] for arms in rewards]), 0, [1])[0]
    other = differences(
        cells_of([[units(factor * (r + shift)) for r in arms] for arms in rewards]), 0, [1], width=factor
    )[0]
    assert other.value == pytest.approx(factor * plain.value, abs=1e-8 * factor)
    assert other.information == pytest.approx(plain.information / factor**2, rel=1e-4)


def test_a_common_level_of_an_epoch_cancels():
    """Busy hours that lower every arm's reward leave no trace in the effect."""
    random = np.random.default_rng(7)
    rewards = [[random.random(80), random.random(40)] for _ in range(3)]
    lifted = [[arm + level for arm in arms] for arms, level in zip(rewards, (0.0, 5.0, -3.0), strict=True)]
    plain, shifted = (
        differences(cells_of([[units(r) for r in arms] for arms in world]), 0, [1])[0]
        for world in (rewards, lifted)
    )
    assert shifted.value == pytest.approx(plain.value, abs=1e-9)
    assert shifted.information == pytest.approx(plain.information, rel=1e-6)


# Too little data


def test_arms_that_never_met_are_not_compared():
    """A candidate of yesterday and a control of today share no epoch."""
    random = np.random.default_rng(8)
    nobody = units([])
    cells = cells_of([[binary(random, 200, 0.5), nobody], [nobody, binary(random, 200, 0.5)]])
    assert differences(cells, 0, [1])[0] == NOTHING_KNOWN
    assert rate_differences(cells, 0, [1])[0] == NOTHING_KNOWN
    assert log_ratios(cells, 0, [1], Z.COST, Z.UNIT)[0] == NOTHING_KNOWN


@pytest.mark.parametrize(("n", "known"), [(50, False), (51, True)])
def test_a_mean_needs_fifty_degrees_of_freedom(n, known):
    """The smaller arm decides."""
    random = np.random.default_rng(9)
    found = differences(cells_of([[binary(random, 500, 0.5), binary(random, n, 0.5)]]), 0, [1])[0]
    assert (found.information > 0) == known


@pytest.mark.parametrize(("n", "known"), [(99, False), (100, True)])
def test_a_ratio_needs_a_hundred_units(n, known):
    """The delta method is a law of large numbers."""
    random = np.random.default_rng(10)
    cells = cells_of([[binary(random, 500, 0.5), binary(random, n, 0.5)]])
    assert (log_ratios(cells, 0, [1], Z.COST, Z.UNIT)[0].information > 0) == known
    assert (rate_differences(cells, 0, [1])[0].information > 0) == known


@pytest.mark.parametrize(("successes", "known"), [(0, False), (19, False), (20, True)])
def test_a_reward_that_is_nearly_always_zero_has_no_known_logarithm(successes, known):
    """ln of no reward would make the other arm endlessly better with certainty."""
    rare = units([1.0] * successes + [0.0] * (2_000 - successes))
    cells = cells_of([[rare, units([1.0, 0.0] * 500)]])
    found = log_ratios(cells, 0, [1], Z.TOTAL, Z.COST)[0]
    assert (found.information > 0) == known


def test_negative_rewards_have_no_logarithm():
    """The objective refuses such a range; the read-out must not invent a number."""
    cells = cells_of([[units([-1.0, -0.5] * 100), units([0.5, 1.0] * 100)]])
    assert log_ratios(cells, 0, [1], Z.TOTAL, Z.COST)[0] == NOTHING_KNOWN


def test_no_candidates_are_no_effects():
    """An experiment whose candidates are all gone is still looked at."""
    assert differences(Cells.empty(3, 1), 0, []) == ()


# The traps of a naive view


def test_a_common_trend_fools_pooled_means_and_not_ours():
    """Equal arms, a reward that rises for all, traffic that moves to the candidate: pooled z rejects."""
    random = np.random.default_rng(11)
    rejected = {"pooled": 0, "ours": 0}
    for _ in range(200):
        epochs = []
        for e in range(10):
            rate, share = 0.3 + 0.04 * e, 0.1 + 0.08 * e
            epochs.append(
                [binary(random, int(400 * (1 - share)), rate), binary(random, int(400 * share), rate)]
            )
        cells = cells_of(epochs)
        (na, ra), (nb, rb) = ((sums[0, 0], sums[0, 2]) for sums in cells.pooled())
        pooled = (rb / nb - ra / na) / sqrt(
            (ra + rb) / (na + nb) * (1 - (ra + rb) / (na + nb)) * (1 / na + 1 / nb)
        )
        ours = differences(cells, 0, [1])[0]
        rejected["pooled"] += abs(pooled) > norm.isf(0.025)
        rejected["ours"] += abs(ours.value / ours.standard_error) > norm.isf(0.025)
    assert rejected["pooled"] > 190
    assert rejected["ours"] < 24  # 5% of 200 expected; above with chance 1e-4


def test_identical_outcomes_are_not_certainty():
    """A hundred equal rewards have a sample variance of zero; the information must stay that of a floor."""
    cells = cells_of([[units(np.ones(100)), units(np.ones(100))]])
    found = differences(cells, 0, [1])[0]
    assert found.value == 0
    assert found.information == pytest.approx(1 / (2 * 1e-4 / 100))
    ratio = log_ratios(cells, 0, [1], Z.COST, Z.UNIT)[0]
    assert 0 < ratio.information < 1e7


def test_averaging_ratios_of_epochs_is_biased_and_weighting_common_means_is_not():
    """Equal arms with skewed costs, the candidate in small cells: ln of a small mean is too low on average."""
    random = np.random.default_rng(12)
    naive, ours = [], []
    for _ in range(60):
        costs = [[random.lognormal(-4, 1.0, n) for n in (60, 4)] for _ in range(60)]
        cells = cells_of([[units(np.ones(len(c)), c) for c in arms] for arms in costs])
        naive.append(np.mean([log(arms[1].mean() / arms[0].mean()) for arms in costs]))
        ours.append(log_ratios(cells, 0, [1], Z.COST, Z.UNIT)[0].value)
    assert np.mean(naive) < -8 * np.std(naive) / sqrt(60)
    assert abs(np.mean(ours)) < 4 * np.std(ours) / sqrt(60)


def test_requests_of_a_sticky_user_are_not_independent():
    """Twenty requests of one mood are one observation: counting requests rejects a true null far too often."""
    random = np.random.default_rng(13)
    rejected = {"requests": 0, "units": 0}
    for _ in range(200):
        rewards = [random.binomial(20, random.beta(0.5, 0.5, 160)) for _ in range(2)]
        a, b = (r.mean() / 20 for r in rewards)
        by_requests = (b - a) / sqrt((a * (1 - a) + b * (1 - b)) / (160 * 20))
        cells = cells_of([[units(r, requests=np.full(160, 20)) for r in rewards]])
        by_units = rate_differences(cells, 0, [1])[0]
        rejected["requests"] += abs(by_requests) > norm.isf(0.025)
        rejected["units"] += abs(by_units.value / by_units.standard_error) > norm.isf(0.025)
    assert rejected["requests"] > 80
    assert rejected["units"] < 24


# Rare outcomes


def test_an_arm_spared_by_chance_keeps_the_variance_of_the_bound():
    """No error among 400 is no proof of a rate below .01: the bound itself allows that by chance."""
    cells = cells_of([[units(np.zeros(400)), units(np.zeros(400))]])
    plain, cautious = (mean_differences(cells, 0, [1], null=null)[0] for null in (None, Boundary(0.01)))
    rate = (1 - 0.01 * 400) / 802
    assert rate < 0  # so the control's rate under the null is zero and the candidate's .01
    assert cautious.information == pytest.approx(1 / ((1e-4 + 0.01 * 0.99) / 400), rel=1e-9)
    assert plain.information > 40 * cautious.information


def test_the_bound_adds_nothing_where_outcomes_are_common():
    """In the middle of the range the variance that was seen is the larger one, or as good as it."""
    random = np.random.default_rng(14)
    cells = cells_of([[binary(random, 4_000, 0.5), binary(random, 4_000, 0.5)]])
    plain, cautious = (mean_differences(cells, 0, [1], null=null)[0] for null in (None, Boundary(-0.02)))
    assert cautious.value == plain.value
    assert 0.995 * plain.information < cautious.information <= plain.information


def test_a_failing_user_counts_as_one_event():
    """Twenty failed requests of one user say little about the next user."""
    nobody_failed = units(np.zeros(200), requests=np.full(200, 20))
    found = rate_differences(cells_of([[nobody_failed, nobody_failed]]), 0, [1], null=Boundary(0.01))[0]
    by_units = mean_differences(cells_of([[units(np.zeros(200))] * 2]), 0, [1], null=Boundary(0.01))[0]
    assert found.information == pytest.approx(by_units.information, rel=0.01)


def test_a_free_model_is_finitely_cheaper():
    """Its cost is zero by its price, not by chance."""
    random = np.random.default_rng(15)
    paid, free = random.lognormal(-4, 0.5, 200), np.zeros(200)
    cells = cells_of([[units(np.ones(200), paid), units(np.ones(200), free)]])
    found = log_ratios(cells, 0, [1], Z.COST, Z.UNIT)[0]
    assert exp(found.value) < 1e-8
    assert isfinite(found.value)
    assert isfinite(found.information)


def test_a_billion_units_keep_their_digits():
    """Sums of 1e9 units; the difference of .001 must come out."""
    n, cost = 1e9, 0.01
    arms = [
        [n, n, n * p, n * cost, 0, n, n * p, n * cost, 0, n * p, n * p * cost, 0, n * cost**2, 0, 0]
        for p in (0.5, 0.501)
    ]
    cells = Cells.from_triangles(np.array([arms]))
    found = differences(cells, 0, [1])[0]
    assert found.value == pytest.approx(0.001, rel=1e-6)
    assert found.standard_error == pytest.approx(sqrt(2 * 0.25 / n), rel=1e-3)
