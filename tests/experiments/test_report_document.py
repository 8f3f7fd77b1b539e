"""The report document: every number a user reads, against the cells it came from."""

import json
from math import exp

import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportions_ztest

from experiments.evidence.latency import bucket
from experiments.evidence.units import CellRow
from experiments.report.document import Report
from experiments.report.money import saved_per_day
from experiments.verdict.verdict import Kind
from tests.experiments.looks import DAY_MS, START_MS, Arm, Trial, experiment

DEAR = Arm(500, 400, 0.010, errors=2)
CHEAP = Arm(500, 390, 0.005, errors=3)


def written(*arms, times=10, shares=None, **fields):
    """The trial and its report after some epochs of the same counts."""
    names = ("dear", "cheap", "mini")[: len(arms)]
    trial = Trial(experiment(*names, **fields)).epochs_of(times, *arms, shares=shares)
    return trial, trial.report(trial.look())


def test_a_row_shows_what_was_counted_of_its_candidate():
    """Means of its own units; errors per request; cost per unit."""
    _, report = written(DEAR, CHEAP, guardrails=[{"metric": "error", "max_increase": 0.05}])
    control, cheap = report.candidates
    assert (control.name, control.is_control, cheap.is_control) == ("dear", True, False)
    assert (cheap.units, cheap.mature_units) == (5_000, 5_000)
    assert (cheap.reward, cheap.cost_usd, cheap.error_rate) == pytest.approx((0.78, 0.005, 0.006))
    assert cheap.reward_per_usd == pytest.approx(156)
    assert (cheap.missing_feedback, cheap.served_as_assigned) == (0, 1)
    assert [guard.metric for guard in cheap.guardrails] == ["error"]
    assert (control.reward_effect, control.chance_to_win, control.guardrails) == (None, None, ())


def test_effects_are_shown_on_the_scale_people_read():
    """A difference in reward, relative changes of cost and of reward per dollar."""
    _, report = written(DEAR, CHEAP)
    cheap = report.candidates[1]
    assert cheap.reward_effect.value == pytest.approx(-0.02)
    assert cheap.cost_effect.value == pytest.approx(-0.5)
    assert cheap.reward_per_cost_effect.value == pytest.approx(0.78 / 0.8 * 2 - 1)
    for effect in (cheap.reward_effect, cheap.cost_effect, cheap.reward_per_cost_effect):
        assert effect.low < effect.value < effect.high
        assert effect.fixed_high - effect.fixed_low < effect.high - effect.low


def test_the_fixed_horizon_read_out_is_that_of_statsmodels():
    """Shown beside the deciding one; at equal shares both have the same estimate."""
    _, report = written(DEAR, CHEAP)
    effect = report.candidates[1].reward_effect
    assert effect.fixed_method == "pooled_z"
    assert effect.fixed_p == pytest.approx(proportions_ztest([3_900, 4_000], [5_000, 5_000])[1], rel=1e-9)
    assert effect.value == pytest.approx((effect.fixed_low + effect.fixed_high) / 2, rel=1e-6)
    assert effect.p > effect.fixed_p


def test_under_a_bandit_the_chance_to_win_is_that_of_the_stratified_effect():
    """Pooled successes would mistake a common trend for an effect."""
    trial, report = written(DEAR, CHEAP)
    estimate = trial.look().comparisons[0].reward.estimate
    z = estimate.value / estimate.standard_error
    cheap = report.candidates[1]
    assert cheap.chance_to_win == pytest.approx(norm.cdf(z), rel=1e-9)
    assert cheap.chance_not_worse == pytest.approx(norm.cdf(z + 0.05 / estimate.standard_error), rel=1e-9)


def test_the_p_shown_is_the_smallest_of_all_looks():
    """It is valid at all looks together, and does not rise again."""
    trial, first = written(DEAR, Arm(500, 450, 0.005), times=4)
    trial.epochs_of(8, DEAR, Arm(500, 400, 0.005))
    second = trial.report(trial.look())
    assert second.candidates[1].reward_effect.p == first.candidates[1].reward_effect.p
    assert second.candidates[1].reward_effect.value < first.candidates[1].reward_effect.value
    assert second.looks == 2


def test_new_prices_begin_new_costs_and_new_p_values():
    """Nothing of the old price stands beside the new one."""
    trial, _ = written(DEAR, CHEAP)
    trial.look()
    trial.price_version = "v2"
    trial.epoch(DEAR, Arm(500, 390, 0.02), series=1)
    cheap = trial.report(trial.look()).candidates[1]
    assert (cheap.cost_usd, cheap.cost_effect.value) == pytest.approx((0.02, 1.0))
    assert cheap.mature_units == 5_500
    trial.epoch(DEAR, Arm(500, 390, 0.0101), series=2)
    trial.epochs[-1] = type(trial.epochs[-1])(1, 12, 0, (0.5, 0.5), 2, "v3", trial.now_ms)
    trial.price_version = "v3"
    assert trial.report(trial.look()).candidates[1].cost_effect.p > 0.5


def test_what_is_saved_is_the_controls_spend_times_the_saving():
    """Per day at the task's whole traffic, of which the experiment sees a part."""
    trial, report = written(DEAR, CHEAP, times=24, traffic=0.5)
    cheap = report.candidates[1]
    per_day = trial.look().volume.units_per_day / 0.5
    assert cheap.saved_usd_per_day == pytest.approx(0.005 * per_day, rel=1e-6)
    assert cheap.saved_usd_per_day_low < cheap.saved_usd_per_day < cheap.saved_usd_per_day_high
    assert report.candidates[0].saved_usd_per_day is None


def test_a_dearer_candidate_saves_a_negative_amount():
    """And its interval is the right way round."""
    _, report = written(DEAR, Arm(500, 450, 0.02), objective={"kind": "reward"})
    dearer = report.candidates[1]
    assert dearer.saved_usd_per_day_low < dearer.saved_usd_per_day < dearer.saved_usd_per_day_high < 0


def test_without_costs_nothing_is_said_to_be_saved():
    """Null, not zero dollars."""
    trial, report = written(Arm(500, 400, costed=0), Arm(500, 400, costed=0), objective={"kind": "reward"})
    cheap = report.candidates[1]
    assert (cheap.cost_usd, cheap.reward_per_usd, cheap.saved_usd_per_day) == (None, None, None)
    assert (cheap.cost_effect.value, cheap.cost_effect.p) == (None, None)
    comparison = trial.look().comparisons[0]
    assert saved_per_day(trial.evidence(), comparison, 100).value is None


def test_latency_comes_from_all_epochs_together():
    """Histograms add."""
    trial, _ = written(DEAR, CHEAP, times=2)
    for index, old in enumerate(trial.rows):
        waits = {bucket(100.0): 90, bucket(1_000.0): 10} if old.arm else {}
        trial.rows[index] = CellRow(old.epoch, old.arm, old.counts, old.moments, waits)
    control, cheap = trial.report(trial.look()).candidates
    assert (control.latency_p50_ms, control.latency_p95_ms) == (None, None)
    assert cheap.latency_p50_ms == pytest.approx(100, rel=0.02)
    assert cheap.latency_p95_ms == pytest.approx(1_000, rel=0.02)


def test_a_dropped_candidate_keeps_its_row_and_says_why():
    """Its evidence does not disappear with its traffic."""
    trial, report = written(DEAR, CHEAP, Arm(500, 200, 0.001))
    assert "reward is at most" in report.candidates[2].dropped
    assert report.candidates[2].reward == pytest.approx(0.4)
    later = trial.report(trial.look())
    assert {rule.candidate for rule in later.rules} == {"cheap"}
    assert later.candidates[2].reward_effect is not None


def test_the_history_of_shares_is_thinned_to_three_hundred_points():
    """First and newest epoch always in it."""
    trial, _ = written(Arm(50, 40), Arm(50, 40), times=1)
    trial.epochs_of(900, Arm(0, 0), Arm(0, 0))
    shares = trial.report(trial.look()).shares
    assert len(shares.numbers) == 300
    assert (shares.numbers[0], shares.numbers[-1]) == (1, 902)
    assert list(shares.numbers) == sorted(set(shares.numbers))


def test_the_fixed_read_out_says_when_it_counts():
    """Before its planned size, or under shares that moved, it is greyed."""
    _, early = written(DEAR, CHEAP, times=2, decision={"mde": 0.05})
    assert (early.fixed_valid, early.fixed_reached) == (True, False)
    assert early.fixed_units_per_arm == 1_005  # 2 * .8 * .2 * (1.96 + .84)^2 / .05^2
    assert written(DEAR, CHEAP, times=3, decision={"mde": 0.05})[1].fixed_reached
    trial, _ = written(DEAR, CHEAP, times=3)
    trial.epoch(Arm(400, 320), Arm(600, 480), shares=(0.4, 0.6))
    assert not trial.report(trial.look()).fixed_valid


def test_an_effect_that_changes_over_time_is_warned_of():
    """A single number for it would hide the change."""
    trial, same = written(DEAR, CHEAP)
    assert same.heterogeneity_p > 0.99
    trial.epochs_of(5, DEAR, Arm(500, 450, 0.005)).epochs_of(5, DEAR, Arm(500, 330, 0.005))
    assert trial.report(trial.look()).heterogeneity_p < 1e-6


def test_units_of_several_requests_have_no_test_of_changing_effects():
    """It reads means of units, and users differ in requests."""
    trial, _ = written(DEAR, CHEAP)
    for index, old in enumerate(trial.rows):
        scale = (1, 2, 2, 2, 1, 4, 4, 4, 2, 4, 4, 2, 4, 2, 1)
        doubled = {
            name: tuple(a * b for a, b in zip(sums, scale, strict=True)) for name, sums in old.moments.items()
        }
        trial.rows[index] = CellRow(old.epoch, old.arm, old.counts, doubled)
    report = trial.report(trial.look())
    assert report.heterogeneity_p is None
    assert report.candidates[1].reward_effect.value == pytest.approx(-0.02)


def test_the_document_survives_its_json():
    """Frozen evidence is read back years later; unknown fields are refused."""
    trial, report = written(DEAR, CHEAP)
    body = report.model_dump_json()
    assert Report.model_validate_json(body) == report
    document = json.loads(body)
    assert document["format"] == 1
    assert document["verdict"]["kind"] == trial.look().verdict.kind == Kind.PROMOTE
    assert (document["started_at_ms"], document["window_ms"]) == (START_MS, 600_000)
    with pytest.raises(ValueError, match="extra"):
        Report.model_validate({**document, "surprise": 1})


def test_health_is_in_the_document():
    """The first thing to read."""
    trial, _ = written(DEAR, Arm(500, 320, 0.005, rated=400))
    trial.rows.append(CellRow(0, 1, (0, 0, 0, 0, 0, 0, 3), {}))
    health = trial.report(trial.look()).health
    assert (health.ok, health.alarm, health.degraded_decisions) == (False, None, 3)
    assert [ratio.count for ratio in health.sample_ratio] == ["assigned", "called", "feedback"]
    assert [ratio.alarm for ratio in health.sample_ratio] == [False, False, True]


def test_a_day_of_traffic_is_a_day_of_traffic():
    """24 epochs of an hour with 1,000 units, and twenty minutes of waiting."""
    trial, report = written(DEAR, CHEAP, times=24)
    assert report.units == 24_000
    assert report.units_per_day == pytest.approx(24_000 * DAY_MS / (24 * 3_600_000 + 1_200_000))
    assert exp(trial.look().comparisons[0].cost.estimate.value) == pytest.approx(0.5)
