"""Planning: the inflation of looking is calibrated, needs add up, and too little traffic is an answer."""

from collections import Counter
from dataclasses import replace
from math import log, log1p

import numpy as np
import pytest
from scipy.stats import norm

from bandit.allocation import Allocation, allocate
from bandit.cells import Cells, Z
from bandit.objectives import Objective
from bandit.simulation.environments import Environment, Users
from bandit.simulation.streams import history, spans
from experiments.evidence.evidence import Evidence
from experiments.evidence.latency import bucket
from experiments.evidence.units import PRIMARY
from experiments.inference.effects import mean_differences
from experiments.inference.fixed_horizon import planned_units
from experiments.inference.sequence import Sequence
from experiments.planning.expectations import Expectations, expectations
from experiments.planning.needs import data_units, needs
from experiments.planning.power import PACES, detectable, joint_units, plan
from tests.experiments.looks import Arm, Trial, experiment

HARDEST = Expectations(reward_variance=0.25, rarer_rate=0.5)


def met(alpha: float, share_of_planned: float, runs: int, seed: int) -> np.ndarray:
    """Information at which a one-sided bound first clears zero, in multiples of what is needed; 200 looks."""
    sequence = Sequence(alpha, 0.05)
    effect = 0.05 * share_of_planned
    needed = sequence.information_needed(effect)
    information = np.linspace(0, 5 * needed, 201)[1:]
    noise = np.random.default_rng(seed).standard_normal((runs, 200)) * np.sqrt(information[0])
    estimate = effect + np.cumsum(noise, axis=1) / information
    clear = estimate > [sequence.margin_one_sided(each) for each in information]
    return np.where(clear.any(axis=1), information[clear.argmax(axis=1)] / needed, np.inf)


@pytest.mark.statistical
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 9])
@pytest.mark.parametrize("share_of_planned", [0.5, 1.0, 2.0])
def test_the_law_of_the_units_to_a_verdict_holds_in_simulation(alpha, share_of_planned):
    """Median .85, mean about 1.0 and 80% by 1.45 of the information needed: the inflation that `power` states."""
    times = met(alpha, share_of_planned, 4000, 31)
    pace = PACES["ab"]
    assert np.median(times) == pytest.approx(pace.median, rel=0.12)
    assert np.quantile(times, 0.8) == pytest.approx(pace.median * np.exp(0.8416 * pace.spread), rel=0.08)
    assert np.minimum(times, 5).mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.statistical
def test_two_rules_on_independent_metrics_end_with_the_later_one():
    """Taking the larger of two equal needs would promise 80% and keep 64%."""
    last = np.maximum(met(0.05, 1.0, 4000, 32), met(0.05, 1.0, 4000, 33))
    _, likely = joint_units({"reward": 1.0, "cost": 1.0}, PACES["ab"])
    assert (last <= likely).mean() == pytest.approx(0.8, abs=0.03)
    assert (last <= joint_units({"reward": 1.0}, PACES["ab"])[1]).mean() < 0.7


@pytest.mark.statistical
def test_the_pace_of_mode_earn_is_that_of_its_allocation():
    """A cheaper candidate draws the traffic away from the control while it must still be shown not worse."""
    margin, sequence = 0.05, Sequence(0.05, 0.05)
    needed = sequence.information_needed(margin) * 0.25 * 4
    settings = Allocation(Objective("cheapest_non_inferior", reward_margin=margin), (0.01, 0.002), draws=512)
    times = np.array([earned(settings, sequence, margin, seed, needed) for seed in range(60)])
    pace = PACES["earn"]
    assert np.median(times) == pytest.approx(pace.median, rel=0.3)
    assert 1.3 < np.quantile(times, 0.8) < 2.5
    assert np.quantile(times, 0.8) == pytest.approx(pace.median * np.exp(0.8416 * pace.spread), rel=0.3)


def earned(settings: Allocation, sequence: Sequence, margin: float, seed: int, needed: float) -> float:
    """Units until a candidate that equals the control is shown not to be worse, over those needed."""
    generator, epochs = np.random.default_rng(seed), int(6 * needed / 100)
    cells, shares = Cells.empty(epochs, 2), np.full(2, 0.5)
    for epoch in range(epochs):
        n = generator.multinomial(100, shares)
        successes, cost = generator.binomial(n, 0.5), n * np.array([0.01, 0.002])
        for i, j, value in (
            (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n),
            (Z.UNIT, Z.TOTAL, successes), (Z.REQUESTS, Z.TOTAL, successes), (Z.TOTAL, Z.TOTAL, successes),
            (Z.UNIT, Z.COST, cost), (Z.REQUESTS, Z.COST, cost),
            (Z.COST, Z.COST, 1.5 * cost**2 / np.maximum(n, 1)),
        ):  # fmt: skip
            cells.sums[epoch, :, i, j] = cells.sums[epoch, :, j, i] = value
        now = cells[slice(0, epoch + 1)]
        if sequence.lower(mean_differences(now, 0, [1])[0]) > -margin:
            return (epoch + 1) * 100 / needed
        shares = allocate(now, settings, (seed, epoch))
    return float("inf")


def test_a_plain_test_of_reward_takes_what_the_sequence_and_the_fixed_test_say():
    """By hand: I(mde) at v = 1/4 per arm and equal shares is 4 v I units; the fixed test stands beside it."""
    plain = experiment(mode="ab", objective={"kind": "reward", "reward_margin": 0.05}, decision={"mde": 0.05})
    got = plan(plain, HARDEST, 1000.0)
    information = Sequence(0.025, 0.05).information_needed(0.05)  # half the level: a saving would do too
    assert got.modes[0].units_mean == pytest.approx(
        information * PACES["ab"].median * np.exp(0.63**2 / 2), rel=0.01
    )
    assert got.fixed_units == 2 * planned_units(alpha=0.05, mde=0.05, sd=0.5)
    assert got.modes[0].units_mean <= 1.25 * got.fixed_units
    assert got.modes[0].units_likely <= 1.9 * got.fixed_units
    assert got.modes[0].days_likely == pytest.approx(
        got.modes[0].units_likely / 1000 + 600 / 86_400, rel=1e-3
    )
    assert got.slowest_rule == "gain"


def test_more_candidates_take_more_units_each_and_a_stricter_level():
    """alpha / (K - 1), and K arms share the traffic."""
    two, four = (plan(experiment(*names), HARDEST) for names in (("a", "b"), ("a", "b", "c", "d")))
    assert four.modes[0].units_likely > 2 * two.modes[0].units_likely


def test_a_lopsided_split_is_planned_as_lopsided():
    """A candidate at 10% waits 2.8 times as long as one at half: 1/.9 + 1/.1 against 4."""
    half = plan(experiment(mode="ab"), HARDEST).modes[0]
    tenth = plan(experiment(mode="ab", shares=(0.9, 0.1)), HARDEST).modes[0]
    assert tenth.units_mean / half.units_mean == pytest.approx((1 / 0.9 + 1 / 0.1) / 4, rel=0.02)


def test_missing_feedback_and_partial_traffic_lengthen_the_plan():
    """Half of the rewards means twice the units; half of the traffic twice the days."""
    full, half = (replace(HARDEST, feedback_share=share) for share in (1.0, 0.5))
    plain = experiment(objective={"kind": "reward"})
    assert plan(plain, half).modes[0].units_mean == pytest.approx(
        2 * plan(plain, full).modes[0].units_mean, rel=0.02
    )
    whole, part = (plan(experiment(traffic=each), HARDEST, 5000.0).modes[0] for each in (1.0, 0.5))
    assert part.units_likely == whole.units_likely
    assert part.days_likely == pytest.approx(2 * whole.days_likely, rel=0.01)


def test_rare_outcomes_are_waited_for():
    """At a success rate of 1% the gate of 20 successes an arm takes 4,000 units, whatever the variance says."""
    rare = replace(HARDEST, reward_variance=0.0099, rarer_rate=0.01)
    assert data_units(experiment(), rare, 0.5) == pytest.approx(4000)
    assert plan(experiment(objective={"reward_margin": 0.2}), rare).modes[0].units_mean >= 4000
    score = experiment(reward={"kind": "score", "range": (0.0, 1.0)})
    assert data_units(score, rare, 0.5) == pytest.approx(200)


def test_guardrails_and_savings_count_among_the_needs():
    """Each on its own scale, the error guardrail with the variance of its bound."""
    guarded = experiment(
        guardrails=[{"metric": "error", "max_increase": 0.01}, {"metric": "cost_usd", "max_ratio": 1.5}],
        decision={"min_saving": 0.2},
    )
    found = {need.rule: need for need in needs(guarded, replace(HARDEST, saving=0.6))}
    assert set(found) == {"not_worse", "gain", "error", "cost_usd"}
    assert found["gain"].distance == pytest.approx(log(0.8) - log(0.4))
    assert found["cost_usd"].distance == pytest.approx(log(1.5))
    assert found["error"].control_variance == pytest.approx(0.01 * 0.99)
    assert found["error"].candidate_variance == pytest.approx(0.02 * 0.98)
    unknown = {need.rule: need for need in needs(guarded, HARDEST)}
    assert unknown["gain"].distance == pytest.approx(log1p(0.1))


def test_guardrails_on_latency_and_feedback_count_among_the_needs():
    """A lognormal latency of spread .5, the share of feedback, and the hardest case of a metric nobody knows yet."""
    guarded = experiment(guardrails=[
        {"metric": "latency_p95_ms", "max_ratio": 1.25}, {"metric": "latency_p99_ms", "max_ratio": 1e5},
        {"metric": "feedback_rate", "max_decrease": 0.05},
        {"metric": "stars", "max_decrease": 0.5, "range": (1, 5)},
    ])  # fmt: skip
    found = {need.rule: need for need in needs(guarded, replace(HARDEST, feedback_share=0.8))}
    latency = found["latency_p95_ms"]
    assert latency.distance == pytest.approx(norm.cdf(norm.ppf(0.95) + log(1.25) / 0.5) - 0.95)
    assert latency.control_variance == pytest.approx(0.95 * 0.05)
    assert found["latency_p99_ms"].units(0.5, 0.5) >= 2 * 2_000 * (1 - 1e-9)
    assert found["feedback_rate"].control_variance == pytest.approx(0.8 * 0.2)
    assert found["feedback_rate"].candidate_variance == pytest.approx(0.75 * 0.25)
    assert (found["stars"].control_variance, found["stars"].known_share) == (4.0, 0.8)
    assert len({need.metric for need in found.values()}) == len(guarded.guardrails) + 2
    wider = {need.rule: need for need in needs(guarded, replace(HARDEST, latency_spread=1.0))}
    assert wider["latency_p95_ms"].units(0.5, 0.5) > latency.units(0.5, 0.5)


def test_evidence_replaces_what_is_typical_of_latency_and_of_reported_metrics():
    """The spread of the latencies seen, and the variance of what was reported."""
    guarded = experiment(guardrails=[
        {"metric": "latency_p95_ms", "max_ratio": 1.25}, {"metric": "thumbs", "max_decrease": 0.05, "range": (0, 1)},
    ])  # fmt: skip
    waits = 300 * np.exp(0.25 * norm.ppf((np.arange(500) + 0.5) / 500))
    counted = Counter(bucket(wait) for wait in waits)
    arm = Arm(500, 400, latency=dict(counted), reported={"thumbs": (250, 225)})
    expected = expectations(guarded, Trial(guarded).epochs_of(2, arm, arm).evidence())
    assert expected.latency_spread == pytest.approx(0.25, rel=0.1)
    assert expected.reported["thumbs"].variance == pytest.approx(0.09, rel=0.01)
    assert expected.reported["thumbs"].share == pytest.approx(0.5)
    assert expectations(guarded).reported == {}


@pytest.mark.parametrize("saving", [None, -3.0, 0.05, 0.999999, 1.0])
def test_any_saving_gives_a_finite_plan(saving):
    """A dearer candidate, a free one, an unknown price."""
    got = plan(experiment(), replace(HARDEST, saving=saving), 1e4)
    assert all(np.isfinite(each.units_likely) and each.units_likely > 0 for each in got.modes)


def test_too_little_traffic_is_an_answer_with_the_number_needed():
    """And at the traffic that it names the answer changes."""
    got = plan(experiment(), HARDEST, 10.0)
    assert got.answer == "not_enough_traffic"
    assert f"{got.units_per_day_needed:,.0f}"[0] in got.sentence
    assert plan(experiment(), HARDEST, got.units_per_day_needed * 1.01).answer == "enough"
    assert plan(experiment(), HARDEST, got.units_per_day_needed * 0.98).answer == "not_enough_traffic"
    assert plan(experiment(), HARDEST).answer == "traffic_unknown"
    assert plan(experiment(decision={"max_units": 500}), HARDEST, 1e6).answer == "max_units_too_small"


def test_a_long_minimum_duration_is_no_lack_of_traffic():
    """It was asked for; the plan only says so."""
    patient = experiment(decision={"min_days": 200.0})
    got = plan(patient, HARDEST, 1e6)
    assert got.answer == "enough"
    assert got.modes[0].days_mean == 200.0


def test_earning_takes_longer_and_its_floor_longest():
    """What a bandit's thrift costs is said before it starts."""
    ab, learn, earn = plan(experiment(), replace(HARDEST, saving=-9.0)).modes
    assert ab.units_mean == learn.units_mean < earn.units_mean < earn.units_at_floor
    assert ab.units_at_floor is None
    assert learn.units_at_floor < earn.units_at_floor


def test_what_is_detectable_shrinks_with_information_and_is_shown_at_that_size():
    """At that effect the bound clears zero with 80% probability at this very look."""
    sequence = Sequence(0.05, 0.05)
    effects = [detectable(sequence, information) for information in (100.0, 1000.0, 10_000.0)]
    assert effects == sorted(effects, reverse=True)
    estimates = effects[1] + np.random.default_rng(3).standard_normal(20_000) / np.sqrt(1000.0)
    assert (estimates > sequence.margin_one_sided(1000.0)).mean() == pytest.approx(0.8, abs=0.01)


def evidence(units: int, successes: float) -> Evidence:
    """Mature epochs of two arms at the same rate."""
    trial = Trial(experiment()).epochs_of(4, Arm(units, successes, 0.01), Arm(units, successes, 0.004))
    return trial.evidence().mature(trial.definition, trial.now_ms + 10**9)


def test_evidence_replaces_the_hardest_case_once_there_is_enough():
    """A rate of .9 has .09 for .25, so the plan shrinks; 40 units are not believed."""
    known = expectations(experiment(), evidence(250, 225.0))
    assert known.reward_variance == pytest.approx(0.09, rel=0.01)
    assert known.rarer_rate == pytest.approx(0.1)
    assert known.cost_variation == pytest.approx(0.5, rel=0.01)
    assert known.error_rate == 0
    assert known.units == 2000
    assert known.information == pytest.approx(1 / (0.09 / 1000 * 2), rel=0.01)
    assert expectations(experiment(), evidence(5, 4.0)).reward_variance == 0.25
    assert plan(experiment(), known).modes[0].units_mean < plan(experiment(), HARDEST).modes[0].units_mean
    assert plan(experiment(), known).detectable_now == pytest.approx(
        detectable(Sequence(0.05, 0.03), known.information)
    )
    assert plan(experiment(), HARDEST).detectable_now is None


def test_units_of_several_requests_are_planned_as_they_vary():
    """Four requests a unit vary a quarter as much; a taste of users' own makes them vary more again."""
    for rate_sd, variance in ((0.0, 0.25 / 4), (0.2, 0.25 / 4 + 0.2**2)):
        world = Environment((0.5, 0.5), users=Users(4.0, rate_sd))
        units = list(spans(world, np.full((4, 2), 0.5), 5000, np.random.default_rng(1)))
        known = replace(evidence(2500, 1250.0), cells={PRIMARY: history(units, 2.0, 2)})
        assert expectations(experiment(), known).reward_variance == pytest.approx(variance, rel=0.15)


def test_identical_outcomes_are_not_planned_as_certain():
    """All successes so far: the variance keeps its floor and the plan stays finite."""
    known = expectations(experiment(), evidence(250, 250.0))
    assert known.reward_variance >= 1e-4
    assert np.isfinite(plan(experiment(), known, 100.0).modes[0].days_likely)


def test_the_price_list_gives_the_saving_of_the_cheapest_candidate():
    """Before any bill it is all there is."""
    assert expectations(experiment(), None, (0.01, 0.004, 0.002)).saving == pytest.approx(0.8)
    assert expectations(experiment(), None, (0.0, 0.004)).saving is None
    assert expectations(experiment()).saving is None


@pytest.mark.parametrize("units_per_day", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_traffic_is_refused(units_per_day):
    """Zero units a day would be infinitely many days."""
    with pytest.raises(ValueError, match="units_per_day"):
        plan(experiment(), HARDEST, units_per_day)
