"""Answers that name the remedy: who could be promoted already, and what a duration's unit is."""

import pytest
from pydantic import ValidationError

from experiments.definition.reward import Reward
from experiments.verdict.verdict import Kind
from tests.experiments.looks import DAY_MS, Arm, Trial, experiment


def test_an_open_question_names_who_could_be_promoted_meanwhile() -> None:
    """The leader's doubt keeps a good candidate waiting, and only a person can say that it is good enough."""
    trial = Trial(experiment("dear", "cheap", "mini")).epochs_of(
        8, Arm(500, 400, 0.010), Arm(500, 400, 0.006), Arm(500, 381, 0.002)
    )
    verdict = trial.look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.KEEP_RUNNING, "mini")
    assert verdict.sentence.endswith("cheap passes every test already; mini looks better on reward_per_cost.")


def test_nobody_is_named_while_nobody_passes() -> None:
    """A hint at a promotion that the evidence does not support would be followed."""
    verdict = Trial(experiment()).epochs_of(2, Arm(500, 400, 0.01), Arm(500, 390, 0.0095)).look().verdict
    assert verdict.kind is Kind.KEEP_RUNNING
    assert "already" not in verdict.sentence


@pytest.mark.parametrize("window", [24, 7.5, 86_400_000])
def test_a_window_without_a_unit_is_refused(window: float) -> None:
    """`window: 24` was meant as hours; as milliseconds it would call every feedback late."""
    with pytest.raises(ValidationError, match=f"window == {window:g} has no unit".replace("+", r"\+")):
        Reward.model_validate({"window": window})


def test_a_window_of_nothing_needs_no_unit() -> None:
    """Zero is zero in all of them, and programs count in milliseconds by name."""
    assert Reward.model_validate({"window": 0}).window_ms == 0
    assert Reward(window_ms=1_500).window_ms == 1_500


@pytest.mark.parametrize("mode", ["ab", "learn", "earn"])
def test_who_was_dropped_stays_without_traffic_in_every_later_epoch(mode: str) -> None:
    """A broken candidate that came back at the next look would be dropped and served in turn."""
    trial = Trial(experiment("dear", "cheap", "mini", mode=mode))
    trial.epochs_of(6, Arm(300, 240), Arm(300, 240), Arm(300, 150))
    assert list(trial.look().dropped) == [2]
    trial.epochs_of(3, Arm(450, 360), Arm(450, 355), Arm(0, 0))
    later = trial.look(later_ms=2 * DAY_MS)
    assert later.dropped == {}
    assert later.next_epoch is not None
    assert later.next_epoch.shares[2] == 0
    assert sum(later.next_epoch.shares) == pytest.approx(1)


def test_at_the_planned_maximum_the_best_that_passes_is_promoted() -> None:
    """The leader had its time; what it did not show by then must not cost the one that did."""
    arms = Arm(500, 400, 0.010), Arm(500, 400, 0.006), Arm(500, 381, 0.002)
    planned = experiment("dear", "cheap", "mini", decision={"max_units": 10_000, "min_days": 0})
    early, late = (Trial(planned).epochs_of(times, *arms).look().verdict for times in (6, 8))
    assert (early.kind, early.candidate) == (Kind.KEEP_RUNNING, "mini")
    assert (late.kind, late.candidate) == (Kind.PROMOTE, "cheap")


def test_a_declared_promotion_waits_for_review_once_others_answer_for_the_candidate() -> None:
    """Since it was declared its fallback answered one request in four: nobody knows what it is worth alone."""
    trial = Trial(experiment(decision={"min_days": 0})).epochs_of(
        8, Arm(500, 400, 0.010), Arm(500, 400, 0.004)
    )
    assert trial.look().verdict.kind is Kind.PROMOTE
    trial.epochs_of(8, Arm(500, 400, 0.010), Arm(500, 400, 0.004, served=375))
    verdict = trial.look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.NEEDS_REVIEW, "cheap")
    assert "87.5% of units were served as assigned" in verdict.sentence
