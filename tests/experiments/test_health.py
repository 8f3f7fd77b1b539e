"""Health: whether the data can be trusted, before anything is read from it."""

import numpy as np
import pytest

from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import CellRow
from experiments.verdict.health import check_health
from tests.experiments.looks import HOUR_MS, WINDOW_MS, Arm, Trial, experiment

DEAR = Arm(500, 400)


def health(trial, later_ms=2 * WINDOW_MS):
    """The health of one look."""
    return trial.look(later_ms).health


def test_traffic_as_decided_is_healthy():
    """Shares that moved are no fault."""
    found = Trial(experiment())
    found.epoch(Arm(500, 400), Arm(500, 400)).epoch(Arm(100, 80), Arm(900, 720), shares=(0.1, 0.9))
    seen = health(found)
    assert (seen.alarm, seen.doubt, seen.warnings) == (None, None, ())


def test_a_candidate_without_a_share_is_no_missing_candidate():
    """After it was dropped nothing is expected of it; a test that counts it would alarm or lose power."""
    found = Trial(experiment("a", "b", "c")).epoch(DEAR, DEAR, DEAR)
    found.epochs_of(20, Arm(250, 200), Arm(250, 200), Arm(0, 0), shares=(0.5, 0.5, 0.0))
    assert health(found).alarm is None
    assert health(found).assigned.classical.freedom == 2


def test_a_unit_on_a_candidate_without_a_share_alarms():
    """Somebody decides who should not."""
    found = Trial(experiment("a", "b", "c")).epoch(DEAR, DEAR, Arm(1, 1), shares=(0.5, 0.5, 0.0))
    assert "1 units on candidates whose share was zero" in health(found).alarm


def test_the_open_epoch_is_not_tested():
    """Its units are still on their way."""
    epochs = (Epoch(1, 1, 0, (0.5, 0.5)),)
    counted = [CellRow(1, 0, (900, 0, 0, 0, 0, 0, 0), {}), CellRow(1, 1, (100, 0, 0, 0, 0, 0, 0), {})]
    everything = gather(epochs, counted, 2)
    mature = everything.mature(experiment(), HOUR_MS)
    assert check_health(experiment(), everything, mature).alarm is None
    closed = gather((Epoch(1, 1, 0, (0.5, 0.5), closed_at_ms=1),), counted, 2)
    assert check_health(experiment(), closed, closed).alarm is not None


def test_feedback_is_compared_in_mature_epochs_only():
    """A slow candidate is not an unreliable one."""
    found = Trial(experiment()).epoch(DEAR, DEAR).epoch(DEAR, Arm(500, 80, rated=100))
    assert health(found, later_ms=WINDOW_MS // 2).warnings == ()
    (warning,) = health(found).warnings
    assert (
        "feedback is missing at different rates by candidate (dear 0%, cheap 40%), always-valid p = "
        in warning
    )


def test_silence_with_a_value_is_no_missing_feedback():
    """The user said what it means; calls are still compared."""
    silent = Trial(experiment(reward={"missing": 0})).epoch(DEAR, Arm(500, 250, rated=300))
    assert health(silent).warnings == ()
    uncalled = Trial(experiment(reward={"missing": 0})).epoch(DEAR, Arm(500, 250, rated=300, called=300))
    assert "calls reached the candidates in other shares" in health(uncalled).doubt


def test_recovered_units_are_counted_apart():
    """They came back by their outcome, so the better candidate has more of them."""
    found = Trial(experiment()).epoch(DEAR, Arm(500, 480, called=600, recovered=100))
    seen = health(found)
    assert (seen.warnings, seen.recovered) == ((), (0, 100))


def test_equal_loss_of_feedback_is_only_shown():
    """Missing at random costs units, not validity."""
    seen = health(Trial(experiment()).epoch(Arm(500, 100, rated=125), Arm(500, 100, rated=125)))
    assert seen.warnings == ()
    assert seen.missing_feedback == (0.75, 0.75)


@pytest.mark.parametrize(("degraded", "doubtful"), [(10, False), (11, True)])
def test_more_than_one_percent_degraded_is_a_doubt(degraded, doubtful):
    """Of all decisions, in whatever epoch."""
    found = Trial(experiment()).epoch(DEAR, Arm(490, 400))
    found.rows.append(CellRow(0, 0, (0, 0, 0, 0, 0, 0, degraded), {}))
    assert (health(found).doubt is not None) == doubtful


def test_nothing_yet_is_healthy():
    """A new experiment has no alarm."""
    nothing = gather((), (), 2)
    seen = check_health(experiment(), nothing, nothing)
    assert (seen.alarm, seen.warnings, seen.missing_feedback) == (None, (), (0.0, 0.0))


def test_a_planted_loss_is_found_and_a_clean_split_is_not():
    """40,000 units under shares that move; the alarm's level is one in a thousand."""
    random = np.random.default_rng(5)
    for lost, alarmed in ((0.0, False), (0.1, True)):
        found = Trial(experiment())
        for e in range(20):
            share = 0.5 + 0.02 * e
            first = int(random.binomial(2_000, share))
            kept = int(random.binomial(2_000 - first, 1 - lost))
            found.epoch(Arm(first, first / 2), Arm(kept, kept / 2), shares=(share, 1 - share))
        assert (health(found).alarm is not None) == alarmed
