"""The watch of a holdback: what it reads after new prices or models, and how fast it sees a late regression."""

import numpy as np
import pytest
from scipy.stats import binom

from experiments.inference.sequence import Sequence
from experiments.verdict.verdict import Kind
from experiments.verdict.watch import STARTS
from tests.experiments.looks import Arm, Trial, experiment

OLD, GOOD, WORSE = Arm(100, 80), Arm(100, 82), Arm(100, 62)


def holdback(**decision: object) -> Trial:
    """A watching trial in mode ab, planned for 10,000 units."""
    return Trial(
        experiment(mode="ab", decision={"max_units": 10_000, "alpha": 0.025, **decision}), watching=True
    )


def epochs_until_rolled_back(trial: Trial, worse: Arm = WORSE, most: int = 60) -> int:
    """Epochs of a candidate that is worse until the watch says so."""
    for number in range(1, most + 1):
        trial.epoch(OLD, worse, series=trial.epochs[-1].cost_series if trial.epochs else 0)
        if trial.look().verdict.kind is Kind.ROLL_BACK:
            return number
    return most + 1


def test_new_prices_start_the_watch_anew() -> None:
    """What was seen at the old prices says nothing about what is bought now, and would hide a regression."""
    trial = holdback().epochs_of(30, OLD, GOOD)
    before = trial.look()
    assert before.progress.smallest_p["cheap"]["reward"] < 1
    trial.price_version = "v2"
    changed = trial.look()
    assert changed.next_epoch is not None
    assert changed.next_epoch.cost_series == 1
    assert changed.volume.units == (0.0, 0.0)
    assert changed.verdict.kind is Kind.NOT_READY
    trial.epoch(OLD, GOOD, series=1)
    after = trial.look()
    assert after.volume.units == (100.0, 100.0)
    assert after.progress.smallest_p["cheap"]["reward"] == after.comparisons[0].reward.p


def test_a_regression_after_new_prices_is_judged_on_what_came_after_them() -> None:
    """The good time before must not vote on a model that is another one now."""
    trial = holdback().epochs_of(30, OLD, GOOD)
    trial.look()
    trial.price_version = "v2"
    trial.epoch(OLD, WORSE, series=1).epoch(OLD, WORSE, series=1).epoch(OLD, WORSE, series=1)
    seen = trial.look()
    assert seen.volume.units == (300.0, 300.0)
    assert seen.comparisons[0].reward.estimate.value == pytest.approx(-0.18)
    early = epochs_until_rolled_back(holdback())
    assert epochs_until_rolled_back(trial) <= max(early - 3, 1)


def test_another_model_behind_the_name_starts_the_watch_anew() -> None:
    """Its price may stay the same while everything else about it changes."""
    trial = holdback().epochs_of(10, OLD, GOOD)
    trial.look()
    trial.model_series, trial.model_version = 1, "aa/bb"
    seen = trial.epoch(OLD, GOOD).look()
    assert seen.volume.units == (100.0, 100.0)
    assert seen.health.warnings == ()


def test_an_ordinary_experiment_on_two_models_asks_for_review() -> None:
    """Its evidence mixes two models under one name; nobody is promoted on that without a look."""
    trial = Trial(experiment(mode="ab"), model_version="aa/bb")
    trial.epochs_of(30, Arm(100, 80, 0.01), Arm(100, 82, 0.001))
    assert trial.look().verdict.kind is Kind.PROMOTE
    trial.model_series, trial.model_version = 1, "aa/cc"
    seen = trial.epoch(Arm(100, 80, 0.01), Arm(100, 82, 0.001)).look()
    assert seen.verdict.kind is Kind.NEEDS_REVIEW
    assert "cheap means another model since epoch 31" in seen.verdict.sentence
    assert trial.report(seen).health.warnings == (
        "cheap means another model since epoch 31, so the evidence is about two",
    )
    assert seen.volume.units == (3_100.0, 3_100.0)


def test_the_epoch_of_a_model_change_is_closed_at_once() -> None:
    """Otherwise one epoch would hold units of both models."""
    trial = Trial(experiment(mode="ab"), model_version="aa/bb").epoch(OLD, GOOD)
    trial.model_version = "aa/cc"
    opened = trial.look().next_epoch
    assert opened is not None
    assert (opened.model_series, opened.model_version, opened.cost_series) == (1, "aa/cc", 0)


def test_a_late_regression_is_seen_about_as_fast_as_an_early_one() -> None:
    """Without any sign in the configuration: a provider may change a model overnight."""
    early = epochs_until_rolled_back(holdback())
    late = holdback().epochs_of(40, OLD, GOOD)
    late.look()
    found = epochs_until_rolled_back(late)
    diluted = Trial(late.definition).epochs_of(40, OLD, GOOD)
    assert found <= 3 * early
    assert epochs_until_rolled_back(diluted) > 2 * found
    ended = late.look().verdict.sentence
    assert "rule not_worse: reward is at most" in late.progress.dropped["cheap"]
    assert "over the newest" in ended


def test_the_whole_evidence_is_named_first_where_it_shows_harm_by_itself() -> None:
    """The plain sentence is the better known one."""
    trial = holdback()
    epochs_until_rolled_back(trial)
    assert "over the newest" not in trial.progress.dropped["cheap"]


@pytest.mark.statistical
def test_a_candidate_at_the_margin_is_rarely_rolled_back() -> None:
    """All epochs at alpha and all starts together at alpha: at most 2 alpha, whatever the number of looks."""
    generator, runs, wrong, alpha = np.random.default_rng(5), 16, 0, 0.1
    for _ in range(runs):
        trial = holdback(alpha=alpha, max_units=6_000)
        for _ in range(30):
            control, candidate = generator.binomial(100, 0.8), generator.binomial(100, 0.75)
            trial.epoch(Arm(100, int(control)), Arm(100, int(candidate)))
            if trial.look().verdict.kind is Kind.ROLL_BACK:
                wrong += 1
                break
    assert wrong <= binom.ppf(1 - 1e-4, runs, 2 * alpha)


def test_each_start_takes_its_part_of_alpha() -> None:
    """Ten looks at the newest traffic at the full level each would be wrong ten times as often."""
    alpha, margin, milder = 0.1, 0.05, Arm(100, 71)
    trial = holdback(alpha=alpha).epochs_of(20, OLD, GOOD)
    trial.look()
    epochs_at = {}
    for level in (alpha, alpha / STARTS):
        alone, sequence = Trial(trial.definition), Sequence(level, margin)
        while level not in epochs_at:
            reward = alone.epoch(OLD, milder).look().comparisons[0].reward.estimate
            if sequence.upper(reward) < -margin and len(alone.epochs) > 1:
                epochs_at[level] = len(alone.epochs)
    assert epochs_at[alpha] < epochs_until_rolled_back(trial, milder) == epochs_at[alpha / STARTS]
