"""Mistakes of peers and known answers: each has a test that fails on it, named here or written below.

The lists keep the tests from being renamed or lost: a name that is gone fails.
"""

from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from bandit.objectives import Objective, scores
from evaluation.calibration.rivals import CRITICAL_Z, SURE, Pooled, chance_better, difference_z
from experiments.inference.fixed_horizon import FixedHorizon, Sums, mean_difference, proportion_difference
from experiments.inference.sequence import Estimate, Sequence

TESTS = Path(__file__).parents[1]
HERE = "evaluation/test_peers_mistakes.py"

MISTAKES = {
    "naive z under peeking": (HERE, "test_a_z_test_at_every_look_is_wrong_far_too_often"),
    "P(best) > .99 as a stop rule": (HERE, "test_stopping_at_a_chance_of_99_percent_is_wrong_too_often"),
    "plug-in variance of identical first outcomes": (
        "bandit/test_allocation.py", "test_an_arm_with_ten_identical_failures_is_not_frozen_out"),
    "zero alpha crashes the sampler": (
        "bandit/test_best.py", "test_zero_alpha_is_refused_rather_than_crashing_the_sampler"),
    "lower is better mirrored wrongly in top-two": (
        "bandit/test_learning.py", "test_negated_rewards_on_a_negated_range_are_lower_is_better"),
    "lower is better mirrored wrongly in P(best)": (
        "bandit/test_best.py", "test_lower_is_better_equals_higher_is_better_of_the_mirrored_reward"),
    "clamp, then rescale": (
        "bandit/test_shares.py", "test_clamping_and_rescaling_would_break_the_floor_that_mixing_keeps"),
    "hash without the experiment's salt": (
        "experiments/test_assignment.py", "test_two_experiments_split_the_same_users_independently"),
    "duplicate feedback counted twice": (
        "storage/test_store_feedback.py", "test_the_same_value_again_is_a_duplicate_and_counts_once"),
    "a winner un-declared": (
        "experiments/test_verdict.py", "test_a_declared_promotion_is_not_taken_back_by_a_later_look"),
    "arms of weight zero in the degrees of freedom": (
        "experiments/test_sample_ratio.py", "test_arms_without_share_do_not_count_as_degrees_of_freedom"),
    "min-max normalised cost": (HERE, "test_a_third_arm_s_cost_does_not_reorder_the_other_two"),
    "pooled means under moving shares": (
        "evaluation/test_calibration_mutations.py", "test_a_mutation_of_the_statistics_fails_the_calibration"),
    "sticky users taken for requests": (HERE, "test_requests_of_one_user_are_no_units"),
    "averaged ratios of epochs": (
        "experiments/test_effects.py", "test_averaging_ratios_of_epochs_is_biased_and_weighting_common_means_is_not"),
    "chi-square against the last shares": (
        "experiments/test_sample_ratio.py", "test_shares_that_moved_do_not_alarm"),
    "a floor that ignores costs": (
        "evaluation/test_calibration_mutations.py", "test_floors_that_ignore_costs_fail_the_calibration"),
}  # fmt: skip
"""Mistake, file, test."""

VECTORS = {
    "position of ('salt', 'unit')": ("experiments/test_assignment.py", "test_the_published_vector_holds"),
    "P(best) of three Beta laws": ("bandit/test_best.py", "test_three_betas_give_the_known_vector"),
    "P(best) of 1e6, 1e6 and 2 units": (
        "bandit/test_best.py", "test_arms_of_very_different_sizes_are_integrated_at_their_own_scale"),
    "top-two": ("bandit/test_shares.py", "test_top_two_of_the_known_vector_is_reproduced"),
    "tau, two-sided and one-sided": ("experiments/test_sequence.py", "test_tau_equals_the_known_vectors"),
    "margins at four sizes": (
        "experiments/test_sequence.py", "test_margins_equal_the_known_vectors"),
    "margins of confseq": ("experiments/test_sequence.py", "test_with_its_tau_the_margins_are_those_of_confseq"),
    "always-valid p": (
        "experiments/test_sequence.py",
        "test_the_p_value_is_the_inverse_of_a_normal_mixture_of_likelihood_ratios"),
    "E2S of two blocks": (
        "experiments/test_exact.py", "test_a_block_against_equal_rates_has_its_known_value"),
    "E2S against a margin": ("experiments/test_exact.py", "test_a_block_against_a_margin_has_its_known_value"),
    "Welch": ("experiments/test_fixed_horizon.py", "test_welch_equals_statsmodels"),
    "Newcombe 1998, Student 1908": (HERE, "test_published_examples_of_fixed_tests_are_met"),
    "equivalence": (
        "experiments/test_equivalence.py", "test_two_one_sided_tests_are_those_of_statsmodels"),
    "Holm, Benjamini-Hochberg": ("experiments/test_equivalence.py", "test_published_corrections_are_met"),
    "planned units": ("experiments/test_fixed_horizon.py", "test_planned_units_equal_statsmodels"),
}  # fmt: skip
"""Known answer, file, test."""


@pytest.mark.parametrize("of", [*MISTAKES.items(), *VECTORS.items()], ids=lambda of: of[0])
def test_every_mistake_and_known_answer_has_its_test(of: tuple[str, tuple[str, str]]) -> None:
    """A test that was renamed without this list would be missed by nobody."""
    what, (file, name) = of
    assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), what


RUNS, LOOKS, UNITS = 200, 60, 50


def wins(random: np.random.Generator) -> np.ndarray:
    """Successes of two equal arms after each look, 50 units an arm and look."""
    return random.binomial(UNITS, 0.6, (LOOKS, 2)).cumsum(axis=0)


def crossed(rule: Callable[[Pooled, Pooled], bool], seed: int, runs: int = RUNS) -> int:
    """Runs of two equal arms that a rule stops at some look."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(runs):
        counts = wins(random)
        found += any(
            rule(*(Pooled(UNITS * look, float(s), 0.0, 0.0, 0.0) for s in counts[look - 1]))
            for look in range(1, LOOKS + 1)
        )
    return found


def sequence_stops(control: Pooled, other: Pooled) -> bool:
    """The always-valid test on the same sums."""
    variance = sum(arm.rate * (1 - arm.rate) / arm.n for arm in (control, other))
    return Sequence(0.05, 0.05).p_value(Estimate(other.rate - control.rate, 1 / variance)) <= 0.05


@pytest.mark.statistical
def test_a_z_test_at_every_look_is_wrong_far_too_often() -> None:
    """32 to 50% instead of 5%; the always-valid p of the same data keeps its promise."""
    naive = crossed(lambda a, b: abs(difference_z(a, b, 0.0)) > 1.96, seed=1)
    assert naive > 0.25 * RUNS
    assert CRITICAL_Z < 1.96, "the rival in the calibration looks on one side"
    assert crossed(sequence_stops, seed=1) <= binom.ppf(0.99, RUNS, 0.05)


@pytest.mark.statistical
def test_stopping_at_a_chance_of_99_percent_is_wrong_too_often() -> None:
    """Either arm may look best at some look: a posterior is no error rate."""
    called = crossed(lambda a, b: not 1 - SURE < chance_better(a, b, 0.0) < SURE, 2, 80)
    assert binom.sf(called - 1, 80, 0.05) < 0.001


@pytest.mark.statistical
def test_requests_of_one_user_are_no_units() -> None:
    """Forty requests of each user, whose taste they share: as units they refute a true null in a third of runs."""
    random = np.random.default_rng(3)
    wrong_by = {"request": 0, "user": 0}
    for _ in range(300):
        rates = np.clip(random.normal(0.6, 0.12, (2, 100)), 0, 1)
        totals = random.binomial(40, rates) / 40
        difference = totals[1].mean() - totals[0].mean()
        of_requests = sum(mean * (1 - mean) / 4_000 for mean in totals.mean(axis=1))
        of_users = (totals.var(axis=1, ddof=1) / 100).sum()
        wrong_by["request"] += abs(difference) > 1.96 * sqrt(of_requests)
        wrong_by["user"] += abs(difference) > 1.96 * sqrt(of_users)
    assert wrong_by["request"] > 0.25 * 300
    assert wrong_by["user"] <= binom.ppf(0.99, 300, 0.05)


def min_max(rewards: np.ndarray, costs_usd: np.ndarray) -> np.ndarray:
    """The mistake: costs scaled to [0, 1] by the cheapest and the dearest arm at hand."""
    return rewards - (costs_usd - costs_usd.min()) / (costs_usd.max() - costs_usd.min())


@pytest.mark.parametrize(
    "objective",
    [
        Objective("reward_per_cost", reward_margin=0.5),
        Objective("net_value", value_usd=0.1),
        Objective("reward"),
    ],
    ids=lambda objective: objective.kind,
)
def test_a_third_arm_s_cost_does_not_reorder_the_other_two(objective: Objective) -> None:
    """Where costs are normalised over all arms, a dear third one makes the others look alike in cost."""
    rewards = np.array([[0.70, 0.80, 0.75]])
    near, far = np.array([[0.010, 0.013, 0.014]]), np.array([[0.010, 0.013, 5.0]])
    order = [np.argsort(scores(objective, rewards, costs, 0)[0, :2]).tolist() for costs in (near, far)]
    assert order[0] == order[1]
    mistaken = [np.argsort(min_max(rewards, costs)[0, :2]).tolist() for costs in (near, far)]
    assert mistaken[0] != mistaken[1], "the law catches the mistake"


NEWCOMBE = [
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0),
    ((10, 10), (0, 10), 0.6075, 1.0),
]
"""Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10: examples (b) to (h)."""
SLEEP = (
    (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
    (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
)
"""Student (1908), hours of sleep gained; R's `t.test(extra ~ group, data = sleep)` prints t = -1.8608, df = 17.776,
p-value = 0.07939 and the interval -3.3654832 0.2054832."""


def test_published_examples_of_fixed_tests_are_met() -> None:
    """Figures that anybody can look up, beside the comparisons with statsmodels."""
    for (wins_b, n_b), (wins_a, n_a), low, high in NEWCOMBE:
        control, candidate = (Sums(n, s, s, n, n, s) for s, n in ((wins_a, n_a), (wins_b, n_b)))
        found = proportion_difference(control, candidate)
        assert isinstance(found, FixedHorizon)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)
    one, other = (Sums(10, sum(v), sum(y * y for y in v), 10, 10, sum(v)) for v in SLEEP)
    welch = mean_difference(other, one)
    assert isinstance(welch, FixedHorizon)
    assert (welch.low, welch.high, welch.p_value) == pytest.approx((-3.3654832, 0.2054832, 0.07939), abs=5e-6)
