"""Bandit settings through the very tick: each one moves shares as it says, and none of them moves a test."""

from dataclasses import replace

import pytest

from bandit.pooling import Contrast
from experiments.verdict.next_shares import next_shares
from experiments.verdict.tick import tick
from tests.experiments.looks import WINDOW_MS, Arm, Trial, experiment

REWARD = {"objective": {"kind": "reward"}}
EVEN = (Arm(60, 36), Arm(60, 36))
NEUTRAL = 0.025 + 0.775 / 2
"""Share of one of two equal candidates above the floors, the control's being larger."""


def after(trial, **standing):
    """Shares of the next epoch, and the comparisons of the same look."""
    known = replace(trial.standing(), **standing)
    now_ms = trial.now_ms + 2 * WINDOW_MS
    evidence = trial.evidence()
    shares = next_shares(trial.definition, evidence, known, (), len(trial.epochs) + 2, now_ms)
    return shares, tick(trial.definition, evidence, known, now_ms)


def both(*arms, times=3, **bandit):
    """The same evidence without and with settings."""
    plain = Trial(experiment(mode="earn", **REWARD)).epochs_of(times, *arms)
    told = Trial(experiment(mode="earn", **REWARD, bandit=bandit)).epochs_of(times, *arms)
    return after(plain), after(told)


PRIORS = {"dear": {"reward": 0.5, "prompts": 500}, "cheap": {"reward": 0.9, "prompts": 500}}
CHANGED = [Arm(500, 350), Arm(500, 325)], [Arm(500, 250), Arm(500, 325)]


def test_an_offline_evaluation_moves_shares_and_no_p_value():
    """Equal evidence, and a benchmark that says otherwise; tests start from zero."""
    (equal, plain), (moved, told) = both(*EVEN, priors=PRIORS)
    assert equal[1] == pytest.approx(NEUTRAL, abs=0.03)
    assert moved[1] > 0.6
    assert told.comparisons == plain.comparisons
    assert told.progress == plain.progress
    assert told.verdict == plain.verdict


def test_the_weight_of_an_evaluation_is_its_users_choice():
    """At a hundredth of a request a prompt, five hundred prompts are five requests."""
    _, (strong, _) = both(*EVEN, priors=PRIORS, prior_weight=0.2)
    _, (weak, _) = both(*EVEN, priors=PRIORS, prior_weight=0.01)
    assert NEUTRAL < weak[1] < strong[1]


def test_traffic_outgrows_a_wrong_evaluation():
    """The benchmark liked the worse one."""
    _, (shares, _) = both(Arm(500, 400), Arm(500, 350), times=10, priors=PRIORS)
    assert shares[0] > 0.7


def test_following_drift_moves_shares_and_no_p_value():
    """The control fell from .70 to .50 late: with `follow` the newest traffic counts most."""

    def trial(drift):
        made = Trial(experiment(mode="earn", **REWARD, bandit={"drift": drift}))
        return made.epochs_of(20, *CHANGED[0]).epochs_of(5, *CHANGED[1])

    (stubborn, plain), (nimble, told) = after(trial("ignore")), after(trial("follow"))
    assert nimble[1] > stubborn[1] + 0.2
    assert told.comparisons == plain.comparisons


@pytest.mark.parametrize("mode", ["earn", "learn"])
def test_a_ramp_holds_candidates_back_until_their_units_have_matured(mode):
    """1%, 5%, free: fifty units with a reward for each step, and a floor does not lift a cap."""
    definition = experiment("a", "b", "c", mode=mode, **REWARD, bandit={"ramp": [0.01, 0.05]})
    good, few, some = Arm(900, 540), Arm(20, 18), Arm(60, 54)
    trial = Trial(definition).epoch(good, few, some)
    waiting = next_shares(definition, trial.evidence(), trial.standing(), (), 3, trial.now_ms)
    matured = after(trial)[0]
    assert waiting[1:] == pytest.approx((0.01, 0.01)), "units that wait for their outcome prove nothing"
    assert matured == pytest.approx((0.94, 0.01, 0.05))
    free = after(trial.epochs_of(2, good, some, some))[0]
    assert min(free[1:]) > 0.05
    assert definition.starting_shares == pytest.approx((0.98, 0.01, 0.01))


def test_units_without_a_reward_do_not_climb_the_ramp():
    """A model whose answers nobody rates may be broken in every one."""
    definition = experiment(mode="earn", **REWARD, bandit={"ramp": [0.01]})
    silent = Trial(definition).epochs_of(2, Arm(900, 540), Arm(100, 0, rated=0))
    assert after(silent)[0][1] == pytest.approx(0.01)


def test_other_experiments_move_shares_only_where_they_are_asked():
    """And no p-value anywhere: what another task found is a prior of the shares."""
    lent = ((1, Contrast(0.15, 0.01)),)
    asked = Trial(experiment(mode="earn", **REWARD, bandit={"pool": True})).epochs_of(1, *EVEN)
    unasked = Trial(experiment(mode="earn", **REWARD)).epochs_of(1, *EVEN)
    (moved, told), (plain, untold) = after(asked, pooled=lent), after(unasked, pooled=lent)
    assert plain[1] == pytest.approx(NEUTRAL, abs=0.03)
    assert moved[1] > plain[1] + 0.1
    assert told.comparisons == untold.comparisons


def test_new_prices_move_shares_by_the_price_list_and_are_no_drift():
    """A new cost series: the old bills say nothing of it, and the reward has not changed."""
    trial = Trial(experiment()).epochs_of(20, Arm(100, 80, 0.010), Arm(100, 80, 0.005))
    old, _ = after(trial, list_costs_usd=(0.010, 0.005))
    new, seen = after(trial, list_costs_usd=(0.010, 0.040), price_version="v2")
    assert old[1] > 0.6
    assert new[1] < 0.3
    assert seen.drift == ()
    assert seen.next_epoch.cost_series == 1


# Drift alerts


def drifting(*steps, **fields):
    """The look after some spans of (times, arms)."""
    names = [f"m{arm}" for arm in range(len(steps[0][1]))]
    trial = Trial(experiment(*names, **{**REWARD, **fields}))
    for times, arms in steps:
        trial.epochs_of(times, *arms)
    return trial, trial.look()


BEFORE, WORSE = (Arm(200, 140), Arm(200, 130), Arm(200, 130)), (Arm(200, 140), Arm(200, 90), Arm(200, 130))


def test_a_candidate_that_changed_is_named_with_size_error_span_and_remedy():
    """In the tick, among the warnings of health, and in the report; the others are not blamed for looking better."""
    trial, seen = drifting(
        (20, BEFORE), (20, WORSE), mode="learn", objective={"kind": "reward", "reward_margin": 0.4}
    )
    assert [alert.candidates for alert in seen.drift] == [("m1",)]
    alert = seen.drift[0]
    assert alert.drift.change == pytest.approx(-0.2, abs=0.01)
    assert alert.drift.recent_epochs == 20
    assert alert.sentence.startswith("m1 changed by -0.200 +- 0.0")
    assert "newest 20 epochs (0.8 days)" in alert.sentence
    assert "bandit.drift: follow" in alert.sentence
    assert alert.sentence in seen.health.warnings
    report = trial.report(seen)
    assert report.drift[0].sentence == alert.sentence
    assert report.drift[0].p < 1e-4
    assert alert.sentence in report.health.warnings


def test_of_two_both_are_named():
    """A difference does not say which of them changed."""
    _, seen = drifting((20, BEFORE[:2]), (20, WORSE[:2]))
    assert [alert.candidates for alert in seen.drift] == [("m0", "m1")]
    assert seen.drift[0].sentence.startswith("m0 or m1 changed: ")


def test_two_candidates_that_changed_are_both_found():
    """The second is looked for without the first."""
    later = (Arm(200, 140), Arm(200, 90), Arm(200, 180), Arm(200, 130))
    _, seen = drifting((30, (*BEFORE, Arm(200, 130))), (30, later))
    assert {alert.candidates for alert in seen.drift} == {("m1",), ("m2",)}


def test_drift_blocks_nothing_by_itself():
    """It is a warning without a doubt: a promotion that is supported stays one."""
    trial, seen = drifting(
        (20, (Arm(500, 400, 0.010), Arm(500, 400, 0.005))),
        (20, (Arm(500, 400, 0.010), Arm(500, 450, 0.005))),
        objective={"kind": "reward_per_cost"},
    )
    assert seen.drift
    assert (seen.verdict.kind, seen.health.doubt) == ("promote", None)
    assert not trial.report(seen).health.ok, "and it is seen"


def test_where_shares_follow_already_or_stay_given_the_remedy_is_a_restart():
    """Advice that was taken, or cannot be, helps nobody."""
    for fields in ({"mode": "ab"}, {"bandit": {"drift": "follow"}}):
        _, seen = drifting((20, BEFORE[:2]), (20, WORSE[:2]), **fields)
        assert "restart the experiment" in seen.drift[0].sentence
        assert "bandit.drift" not in seen.drift[0].sentence


def test_a_steady_experiment_and_one_without_data_have_no_alert():
    """Nor has one in which everything moved together."""
    common = tuple(Arm(200, arm.successes - 40) for arm in BEFORE)
    for steps in ([(40, BEFORE)], [(20, BEFORE), (20, common)], [(1, BEFORE)]):
        assert drifting(*steps)[1].drift == ()
    assert Trial(experiment()).look().drift == ()
