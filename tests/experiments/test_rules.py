"""Rules of promotion: what each asks for, when it holds, stays open or fails."""

from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.inference.sequence import Sequence
from experiments.verdict.comparison import RELATIVE_MDE, level
from experiments.verdict.guards import guard_effects
from experiments.verdict.rules import units_needed
from tests.experiments.looks import Arm, Trial, experiment

ERRORS = {"metric": "error", "max_increase": 0.01}
COSTS = {"metric": "cost_usd", "max_ratio": 1.5}
DEAR = Arm(500, 400, 0.01)


def states(trial, candidate=1):
    """The state of every rule of one candidate at the next look."""
    seen = trial.look()
    found = next(one for one in seen.candidacies if one.comparison.arm == candidate)
    return {rule.name: rule.state for rule in found.rules}


def sentence(trial, name):
    """The words of one rule of the first candidate."""
    return trial.look().candidacies[0].rule(name).sentence


def trial(*arms, times=10, **fields):
    """Some epochs of the same counts."""
    names = ("dear", "cheap", "mini", "tiny")[: len(arms)]
    return Trial(experiment(*names, **fields)).epochs_of(times, *arms)


def test_as_good_and_half_the_cost_passes_every_rule():
    """The ordinary case."""
    found = trial(DEAR, Arm(500, 400, 0.005), guardrails=[ERRORS, COSTS])
    assert set(states(found).values()) == {"holds"}


# Enough data


def test_a_binary_reward_needs_twenty_of_its_rarer_outcome_in_each_arm():
    """Without it the error rate at a success rate of .02 was .115."""
    assert states(trial(Arm(200, 199), Arm(200, 199)))["data"] == "open"
    assert states(trial(Arm(200, 198), Arm(200, 198)))["data"] == "holds"
    assert states(trial(Arm(200, 150), Arm(200, 1)))["data"] == "open"


def test_a_score_needs_twenty_units_that_carry_its_sum():
    """Nineteen fives and zeros else are as rare an outcome as nineteen successes."""
    rare = {"reward": {"kind": "score", "range": (0, 5)}}
    assert (
        states(trial(Arm(500, 5 * 19, squares=25 * 19), Arm(500, 1_000, squares=2_500), times=1, **rare))[
            "data"
        ]
        == "open"
    )
    assert (
        states(trial(Arm(500, 5 * 20, squares=25 * 20), Arm(500, 1_000, squares=2_500), times=1, **rare))[
            "data"
        ]
        == "holds"
    )


@pytest.mark.parametrize(("objective", "least"), [("reward_per_cost", 100), ("reward", 60)])
def test_ratios_need_more_units_than_means(objective, least):
    """50 units give 49 degrees of freedom: 51 is the first number that is enough for a mean."""
    for units, state in ((least - 10, "open"), (least, "holds")):
        found = trial(DEAR, Arm(units, units / 2), times=1, objective={"kind": objective})
        assert states(found)["data"] == state


def test_costs_are_compared_only_where_they_are_known_of_nearly_all_units():
    """The few that are known may be those of failures; a saving shown on them would be none."""
    found = trial(DEAR, Arm(500, 400, 0.001, costed=400), guardrails=[COSTS])
    assert {name for name, state in states(found).items() if state == "open"} == {"costs", "gain", "cost_usd"}
    assert "the cost of 80.0% of units is known; 95% are needed" in sentence(found, "costs")
    known = trial(DEAR, Arm(500, 400, 0.001, costed=480), guardrails=[COSTS])
    assert set(states(known).values()) == {"holds"}


def test_a_reward_objective_takes_no_saving_from_few_known_costs():
    """It needs no costs, but a saving that it reports must be one."""
    plain = {"objective": {"kind": "reward"}}
    assert states(trial(DEAR, Arm(500, 400, 0.001, costed=40), **plain))["gain"] == "open"
    assert states(trial(DEAR, Arm(500, 400, 0.001), **plain))["gain"] == "holds"


def test_unknown_costs_leave_the_reward_to_be_judged():
    """A candidate that fails must go, whether or not anybody knows what its failures cost."""
    worse = trial(DEAR, Arm(500, 330, costed=40)).look().candidacies[0]
    assert (worse.rule("data").state, worse.rule("not_worse").state) == ("holds", "fails")
    floor = {"objective": {"min_reward": 0.7}}
    assert states(trial(DEAR, Arm(500, 400, costed=40), **floor))["min_reward"] == "holds"


REWARDED = {"objective": {"kind": "reward"}}


def test_before_any_call_the_rules_about_calls_are_open_and_say_why():
    """100% of no units would read as a fact that somebody found."""
    seen = Trial(experiment()).epoch(Arm(0, 0), Arm(0, 0)).look().candidacies[0]
    for name in ("costs", "served"):
        assert (seen.rule(name).state, seen.rule(name).sentence) == ("open", "no call is known yet")
    half = Trial(experiment()).epoch(Arm(200, 150), Arm(0, 0)).look().candidacies[0].rule("served")
    assert (half.state, half.sentence) == ("open", "no call of one of the two is known yet")


def test_rewards_without_any_call_are_promoted_all_the_same():
    """Callers that report rewards alone never report a call; waiting for one would block them for good."""
    found = trial(Arm(500, 400, called=0), Arm(500, 470, called=0), **REWARDED)
    assert sentence(found, "served") == "no call was reported; nothing to compare"
    assert set(states(found).values()) == {"holds"}
    assert found.look().verdict.kind == "promote"
    assert states(trial(Arm(500, 400, called=0), Arm(500, 470, called=0)))["costs"] == "holds"


def test_a_control_that_others_answer_is_told_though_the_candidate_has_no_call():
    """What is known to be broken is no open question."""
    found = trial(Arm(500, 400, served=400), Arm(500, 470, called=0), **REWARDED)
    assert states(found)["served"] == "fails"
    assert "80.0% of units were served as assigned" in sentence(found, "served")


# Not worse


@pytest.mark.parametrize(("successes", "state"), [(400, "holds"), (375, "open"), (330, "fails")])
def test_not_worse_is_judged_against_the_margin(successes, state):
    """Equal, exactly at the margin, and well beyond it."""
    assert states(trial(DEAR, Arm(500, successes)))["not_worse"] == state


def test_a_broken_candidate_is_found_before_the_rarer_outcome_is_complete():
    """It never succeeds, so it would never show twenty successes; harm does not wait for them."""
    found = states(trial(Arm(100, 99), Arm(100, 0), times=1))
    assert (found["data"], found["not_worse"]) == ("open", "fails")


def test_a_few_early_failures_are_no_harm():
    """Against a control without a single failure so far, whose plain variance would be next to nothing."""
    found = trial(Arm(60, 60), Arm(240, 228), times=1, objective={"kind": "reward", "reward_margin": 0.02})
    comparison = found.look().comparisons[0]
    assert comparison.not_worse_upper_early > comparison.not_worse_upper
    assert states(found)["not_worse"] == "open"


def test_a_loss_that_only_the_plain_variance_shows_is_no_harm_on_thin_data():
    """A control without a failure has hardly any variance of its own, and the plain bound believes it."""
    found = trial(Arm(60, 60), Arm(240, 214), times=1, objective={"kind": "reward", "reward_margin": 0.02})
    comparison = found.look().comparisons[0]
    assert comparison.not_worse_upper < -0.02 < comparison.not_worse_upper_early
    assert (states(found)["data"], states(found)["not_worse"]) == ("open", "open")


def test_a_floor_is_not_reached_on_thin_data():
    """With one failure in 500 the mean is far from normal, and its bound far too sure."""
    found = trial(DEAR, Arm(500, 499, 0.005), times=1, objective={"min_reward": 0.7})
    assert found.look().comparisons[0].reward_floor_lower > 0.7
    assert (states(found)["data"], states(found)["min_reward"]) == ("open", "open")


def test_an_absolute_floor_is_a_rule_of_its_own():
    """As good as the control is not good enough where the control is bad."""
    for least, state in ((0.7, "holds"), (0.79, "open"), (0.9, "fails")):
        found = states(trial(DEAR, Arm(500, 400, 0.005), objective={"min_reward": least}))
        assert found["min_reward"] == state
    assert "min_reward" not in states(trial(DEAR, DEAR))


# Gain


@pytest.mark.parametrize(
    ("kind", "cheap", "state"),
    [
        ("reward_per_cost", Arm(500, 400, 0.005), "holds"),
        ("reward_per_cost", Arm(500, 475, 0.0099), "holds"),
        ("reward_per_cost", Arm(500, 380, 0.0092), "open"),
        ("reward", Arm(500, 450, 0.0100), "holds"),
        ("reward", Arm(500, 400, 0.0050), "holds"),
        ("reward", Arm(500, 405, 0.0091), "open"),
        ("cheapest_non_inferior", Arm(500, 475, 0.0092), "open"),
        ("cheapest_non_inferior", Arm(500, 400, 0.0050), "holds"),
    ],
)
def test_gain_is_a_saving_or_a_better_objective(kind, cheap, state):
    """`cheapest_non_inferior` counts savings only."""
    assert states(trial(DEAR, cheap, objective={"kind": kind}))["gain"] == state


def test_gain_fails_when_neither_can_be_reached_any_more():
    """Equal in reward and cost, on much data."""
    for kind in ("reward_per_cost", "reward", "cheapest_non_inferior"):
        assert states(trial(DEAR, DEAR, times=200, objective={"kind": kind}))["gain"] == "fails"


def test_nothing_is_futile_before_there_is_enough_data():
    """A verdict needs the gate, also one that gives up."""
    sure = Arm(5_000, 5_000, variation=0.0)
    found = trial(sure, sure).look().candidacies[0]
    assert found.rule("gain").state == "fails"
    assert not found.futile


def test_the_p_value_of_a_saving_knows_no_other_gain():
    """For `cheapest_non_inferior` a much better reward must not shrink the printed p."""
    better = trial(DEAR, Arm(500, 475, 0.0099), objective={"kind": "cheapest_non_inferior"})
    assert better.look().comparisons[0].p_deciding == 1.0


ARMS = st.builds(
    lambda share, cost: Arm(500, round(500 * share), cost), st.floats(0.4, 0.95), st.floats(0.004, 0.012)
)


@given(
    ARMS,
    st.integers(1, 30),
    st.sampled_from(["reward", "reward_per_cost", "cheapest_non_inferior"]),
    st.integers(2, 4),
)
def test_the_deciding_p_is_below_its_level_exactly_when_the_deciding_rules_hold(cheap, times, kind, count):
    """The printed p and the printed rules must never contradict each other."""
    found = trial(DEAR, cheap, *[Arm(500, 400)] * (count - 2), times=times, objective={"kind": kind}).look()
    one = found.candidacies[0]
    holds = one.rule("not_worse").state == one.rule("gain").state == "holds"
    assert (one.comparison.p_deciding < 0.05 / (count - 1)) == holds


# Guardrails


@pytest.mark.parametrize(("errors", "state"), [(0, "holds"), (6, "open"), (40, "fails")])
def test_errors_may_not_rise_by_more_than_their_bound(errors, state):
    """The control has two errors in each epoch of 500."""
    found = trial(Arm(500, 400, errors=2), Arm(500, 400, errors=errors), times=20, guardrails=[ERRORS])
    assert states(found)["error"] == state


@pytest.mark.parametrize(("cost", "state"), [(0.010, "holds"), (0.015, "open"), (0.019, "fails")])
def test_costs_may_not_rise_by_more_than_their_ratio(cost, state):
    """A guardrail beside the objective, as for a better but dearer model."""
    found = trial(DEAR, Arm(500, 400, cost), guardrails=[COSTS], objective={"kind": "reward"})
    assert states(found)["cost_usd"] == state


def test_no_error_so_far_is_no_proof_that_errors_stay_rare():
    """With a bound of .01, none in 150 happens by chance; the plug-in variance would call it kept."""
    found = trial(Arm(150, 120), Arm(150, 120), times=1, guardrails=[ERRORS])
    assert states(found)["error"] == "open"


@pytest.mark.parametrize("control_share", [0.5, 0.8])
@pytest.mark.statistical
def test_a_candidate_at_the_bound_of_errors_is_rarely_called_safe_or_harmful(control_share):
    """True rates .002 and .012 with a bound of .01, 13 looks at up to 10,000 units, 200 runs.

    Each of the two claims may be made in 5% of runs; more than 18 of 200 has chance .006 at exactly 5%. With
    the variance that was seen, the first claim was made in a third of runs.
    """
    random = np.random.default_rng(17)
    definition = experiment(guardrails=[ERRORS])
    sizes = (int(100 * control_share), int(100 * (1 - control_share)))
    kept = harmed = 0
    for _ in range(200):
        guards = _error_looks(random, definition, sizes, (0.002, 0.012), looks=100)
        kept += any(guard.kept for guard in guards)
        harmed += any(guard.harmed for guard in guards)
    assert kept <= 18
    assert harmed <= 18


def _error_looks(random, definition, sizes, rates, looks):
    """The guardrail at every twentieth of the looks: bounds move little between them."""
    errors = [random.binomial(size, rate, looks) for size, rate in zip(sizes, rates, strict=True)]
    found = []
    for until in (2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50, 70, 100):
        totals = [int(one[:until].sum()) for one in errors]
        arms = [Arm(size * until, size * until / 2, errors=n) for size, n in zip(sizes, totals, strict=True)]
        evidence = Trial(definition).epoch(*arms).evidence()
        found.append(guard_effects(definition, evidence, evidence, [1], 0, level(definition))[1][0])
    return found


def test_served_fails_for_a_candidate_that_its_fallback_answers():
    """It would look as good as the fallback."""
    assert states(trial(DEAR, Arm(500, 400, served=480)))["served"] == "holds"
    assert states(trial(DEAR, Arm(500, 400, served=470)))["served"] == "fails"
    assert states(trial(Arm(500, 400, served=470), DEAR))["served"] == "fails"


# Levels, series, forecasts


def test_k_candidates_share_alpha():
    """Every bound of the same two arms is wider beside further candidates."""
    two = trial(DEAR, Arm(500, 390, 0.005))
    four = trial(DEAR, Arm(500, 390, 0.005), Arm(0, 0), Arm(0, 0))
    assert level(four.definition) == pytest.approx(0.05 / 3)
    one, other = two.look().comparisons[0], four.look().comparisons[0]
    assert other.reward.estimate == one.reward.estimate
    assert other.not_worse_lower < one.not_worse_lower
    assert other.cost_upper > one.cost_upper
    margin = Sequence(0.05 / 3, 0.05)
    assert other.not_worse_lower == margin.lower(other.reward.estimate)


def test_costs_are_compared_within_one_price_version_and_rewards_over_all():
    """A reward does not depend on the price of the answer."""
    found = Trial(experiment()).epochs_of(5, DEAR, Arm(500, 400, 0.02))
    found.price_version = "v2"
    for _ in range(5):
        found.epoch(DEAR, Arm(500, 400, 0.005), series=1)
    comparison = found.look().comparisons[0]
    assert comparison.cost.estimate.value == pytest.approx(log(0.5), rel=1e-9)
    everything = Trial(experiment()).epochs_of(10, DEAR, Arm(500, 400, 0.005)).look().comparisons[0]
    assert comparison.reward == everything.reward
    assert comparison.cost.estimate.information == pytest.approx(
        everything.cost.estimate.information / 2, rel=0.01
    )


def test_a_forecast_counts_everything_that_is_open():
    """The rarer outcome of a nearly perfect pair takes longest."""
    found = trial(Arm(500, 499), Arm(500, 499, 0.005), times=1)
    seen = found.look()
    assert units_needed(found.definition, seen.candidacies[0], seen.volume) == pytest.approx(19 * 1_000)


def test_without_any_data_the_forecast_is_that_of_the_plan():
    """The largest possible variance, all arms alike."""
    found = Trial(experiment())
    seen = found.look()
    needed = units_needed(found.definition, seen.candidacies[0], seen.volume)
    assert needed == pytest.approx(2 * 0.5 * Sequence(0.05, 0.05).information_needed(0.05))


def test_a_rule_that_can_never_settle_needs_endless_units():
    """No cost is known, so no saving can be shown."""
    found = trial(DEAR, Arm(500, 400, costed=0), objective={"kind": "cheapest_non_inferior"})
    seen = found.look()
    assert units_needed(found.definition, seen.candidacies[0], seen.volume) == inf


@pytest.mark.statistical
def test_the_forecast_of_units_is_about_right():
    """Twenty seeded runs, forecast after 1,000 units: the median of (units taken / forecast) is near one."""
    random = np.random.default_rng(3)
    definition = experiment(objective={"kind": "reward_per_cost", "reward_margin": 0.05})
    ratios = []
    for _ in range(20):
        found = Trial(definition)
        forecast = 0.0
        for number in range(1, 41):
            found.epoch(*(Arm(250, int(random.binomial(250, 0.8)), cost) for cost in (0.01, 0.0085)))
            seen = found.look()
            if seen.candidacies and seen.candidacies[0].passes:
                break
            if number == 2:
                forecast = seen.volume.mature + units_needed(definition, seen.candidacies[0], seen.volume)
        if forecast:
            ratios.append(seen.volume.mature / forecast)
    assert 1 / 1.5 < float(np.median(ratios)) < 1.5
    assert len(ratios) >= 15


def test_log_scale_tests_are_tuned_for_a_tenth():
    """Their size is relative, whatever the reward's mde. The rule has half the level: a better reward would do too."""
    comparison = trial(DEAR, Arm(500, 400, 0.005)).look().comparisons[0]
    shown, ruling = (Sequence(alpha, log(1 + RELATIVE_MDE)) for alpha in (0.05, 0.025))
    assert comparison.cost.high == shown.interval(comparison.cost.estimate)[1]
    assert comparison.cost_upper == ruling.upper(comparison.cost.estimate)


def test_a_cost_guardrail_compares_cost_per_unit_as_a_ratio():
    """Kept at the control's cost, broken at twice it, against a bound of one and a half."""
    guard = [{"metric": "cost_usd", "max_ratio": 1.5}]
    for cost_usd, state in ((0.01, "holds"), (0.02, "fails")):
        found = trial(DEAR, Arm(500, 400, cost_usd), objective={"kind": "reward"}, guardrails=guard)
        assert states(found)["cost_usd"] == state
