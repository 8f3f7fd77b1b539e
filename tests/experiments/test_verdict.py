"""Verdicts: each kind from cells through the real tick, in the words that people read."""

import pytest

from experiments.evidence.units import CellRow
from experiments.report.would_change import would_change
from experiments.verdict.progress import Progress
from experiments.verdict.verdict import Kind
from tests.experiments.looks import HOUR_MS, Arm, Trial, experiment

ERRORS = {"metric": "error", "max_increase": 0.01}
DEAR = Arm(500, 400, 0.01)
CHEAP = Arm(500, 400, 0.005)
WORSE = Arm(500, 330, 0.001)
AT_MARGIN = Arm(500, 375, 0.005)


def trial(*arms, times=10, **fields):
    """Some epochs of the same counts."""
    names = ("dear", "cheap", "mini", "tiny")[: len(arms)]
    return Trial(experiment(*names, **fields)).epochs_of(times, *arms)


# Each kind


def test_an_experiment_without_traffic_is_not_ready():
    """From the first tick on there is an answer, with what it will take."""
    verdict = Trial(experiment()).look().verdict
    assert verdict.kind is Kind.NOT_READY
    assert "0 units with a reward in the smaller arm; 100 are needed" in verdict.sentence
    assert verdict.units_needed == 3_100


def test_a_little_data_is_not_ready_and_says_what_is_missing():
    """Never a p-value of one in disguise."""
    verdict = trial(Arm(40, 30), Arm(40, 30), times=1).look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.NOT_READY, None)
    assert "40 units with a reward" in verdict.sentence
    assert verdict.units_needed > 0


def test_an_open_question_keeps_running_with_units_and_days():
    """Twice the units in the same time would take the same days."""
    found = trial(DEAR, Arm(500, 390, 0.0095), times=2)
    verdict = found.look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.KEEP_RUNNING, "cheap")
    assert verdict.units_needed > 1_000
    assert verdict.days_needed == pytest.approx(verdict.units_needed / found.look().volume.units_per_day)
    assert f"about {verdict.units_needed:,} more units for cheap" in verdict.sentence


def test_cheaper_and_not_worse_is_promoted():
    """The ordinary case, with the figures that decided."""
    verdict = trial(DEAR, CHEAP).look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.PROMOTE, "cheap")
    assert "its reward is +0.000 against dear, at least -0.0" in verdict.sentence
    assert "its cost per unit -50%" in verdict.sentence


def test_better_for_the_same_money_is_promoted():
    """Superior on the objective is the other way to gain."""
    for kind in ("reward", "reward_per_cost"):
        verdict = trial(DEAR, Arm(500, 460, 0.01), objective={"kind": kind}).look().verdict
        assert verdict.kind is Kind.PROMOTE


def test_reward_without_any_known_cost_can_be_promoted():
    """Where cost is no part of the objective, an unknown price stops nothing."""
    verdict = (
        trial(Arm(500, 400, costed=0), Arm(500, 460, costed=0), objective={"kind": "reward"}).look().verdict
    )
    assert verdict.kind is Kind.PROMOTE
    assert "cost" not in verdict.sentence


def test_a_worse_model_is_rolled_back_however_cheap_it_is():
    """A tenth of the cost makes reward per cost eight times better, and that alone must never promote."""
    seen = trial(DEAR, WORSE).look()
    assert seen.comparisons[0].superior_lower > 1.5
    assert (seen.verdict.kind, seen.verdict.candidate) == (Kind.ROLL_BACK, None)
    assert "the control stays. cheap: rule not_worse: reward is at most -0.1" in seen.verdict.sentence
    assert seen.next_epoch is not None
    assert seen.next_epoch.shares == (1.0, 0.0)


def test_at_the_margin_reward_per_cost_alone_does_not_promote():
    """Not shown to be worse and not shown to be good enough."""
    seen = trial(DEAR, Arm(500, 375, 0.0001), times=40).look()
    assert seen.comparisons[0].superior_lower > 4
    assert seen.verdict.kind is Kind.KEEP_RUNNING


def test_no_worthwhile_gain_stops_as_futile():
    """Equal in everything, on enough data."""
    verdict = trial(DEAR, DEAR, times=200).look().verdict
    assert verdict.kind is Kind.STOP_FUTILE
    assert "cheap is neither 10% cheaper nor worthwhile on reward_per_cost" in verdict.sentence


def test_the_planned_maximum_ends_inconclusive():
    """An open question at the end of the plan is an answer."""
    fields = {"decision": {"max_units": 10_000}}
    assert trial(DEAR, AT_MARGIN, **fields).look().verdict.kind is Kind.INCONCLUSIVE
    assert trial(DEAR, AT_MARGIN).look().verdict.kind is Kind.KEEP_RUNNING
    assert trial(DEAR, CHEAP, **fields).look().verdict.kind is Kind.PROMOTE


def test_a_broken_split_is_unhealthy_whatever_else_is_shown():
    """A tenth of one arm's units is missing; nobody is promoted and nobody dropped on such data."""
    for second in (CHEAP, WORSE):
        lossy = Arm(440, second.successes * 0.88, second.cost_usd)
        seen = trial(DEAR, lossy, times=20).look()
        assert seen.verdict.kind is Kind.UNHEALTHY
        assert "traffic was not split as decided (expected 9,400 / 9,400 units, got 10,000 / 8,800" in (
            seen.verdict.sentence
        )
        assert seen.dropped == {}


@pytest.mark.parametrize(
    ("cheap", "words"),
    [
        (Arm(500, 400, 0.005, served=450), "90.0% of units were served as assigned; 95% are needed"),
        (Arm(500, 320, 0.005, rated=400), "feedback is missing at different rates by candidate (dear 0%, cheap 20%)"),
        (Arm(500, 320, 0.005, rated=400, called=400), "calls reached the candidates in other shares than decided"),
    ],
)  # fmt: skip
def test_what_could_explain_the_result_needs_review(cheap, words):
    """It passes every test, and a person must look why."""
    verdict = trial(DEAR, cheap).look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.NEEDS_REVIEW, "cheap")
    assert "passes every test, but" in verdict.sentence
    assert words in verdict.sentence


def test_many_degraded_decisions_need_review():
    """They are in no statistic, so the statistics are not of all traffic."""
    found = trial(DEAR, CHEAP)
    found.rows.append(CellRow(0, 1, (0, 0, 0, 0, 0, 0, 200), {}))
    verdict = found.look().verdict
    assert verdict.kind is Kind.NEEDS_REVIEW
    assert "200 of 10,200 decisions were taken while degraded" in verdict.sentence


# What acts at once, and what waits


def test_harm_on_a_guardrail_drops_at_once():
    """Before the minimum duration, and although the reward is not worse and the cost half."""
    failing = Arm(500, 400, 0.005, errors=40)
    seen = trial(DEAR, failing, guardrails=[ERRORS], decision={"min_days": 30}).look()
    assert list(seen.dropped) == [1]
    assert seen.verdict.kind is Kind.ROLL_BACK
    assert "error is at least +0.0" in seen.verdict.sentence


@pytest.mark.parametrize("second", [CHEAP, DEAR])
def test_gain_and_futility_wait_for_the_minimum_duration(second):
    """A week has its weekend."""
    early = trial(DEAR, second, times=160, decision={"min_days": 7}).look().verdict
    assert early.kind in (Kind.NOT_READY, Kind.KEEP_RUNNING)
    late = trial(DEAR, second, times=170, decision={"min_days": 7}).look().verdict
    assert late.kind in (Kind.PROMOTE, Kind.STOP_FUTILE)


def test_a_passing_candidate_names_the_days_it_waits():
    """10 hours of 7 days are over, and twenty minutes for the window."""
    verdict = trial(DEAR, CHEAP, decision={"min_days": 7}).look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.NOT_READY, "cheap")
    assert verdict.days_needed == pytest.approx(7 - (10 + 1 / 3) / 24)


def test_an_absolute_floor_keeps_a_cheap_candidate_waiting():
    """`min_reward` is a rule of promotion like any other."""
    found = trial(DEAR, CHEAP, objective={"min_reward": 0.79})
    assert found.look().verdict.kind is Kind.KEEP_RUNNING


def test_a_candidate_below_the_absolute_floor_goes():
    """It could never be promoted, and its users get too little meanwhile."""
    seen = trial(DEAR, CHEAP, objective={"min_reward": 0.9}).look()
    assert seen.verdict.kind is Kind.ROLL_BACK
    assert "mean reward is at most 0.8" in seen.verdict.sentence


def test_the_surviving_candidate_with_the_best_objective_is_promoted():
    """Both pass; the cheaper one leads."""
    verdict = trial(DEAR, CHEAP, Arm(500, 400, 0.004)).look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.PROMOTE, "mini")


def test_a_hopeless_leader_keeps_nobody_waiting():
    """`mini` is a little better on the objective and can never gain enough; `cheap` passes every rule."""
    cheap, mini = Arm(500, 380, 0.0085), Arm(500, 420, 0.00935)
    found = trial(DEAR, cheap, mini, times=300, objective={"kind": "cheapest_non_inferior"})
    seen = found.look()
    assert seen.candidacies[1].futile
    assert (seen.verdict.kind, seen.verdict.candidate) == (Kind.PROMOTE, "cheap")


def test_alpha_is_shared_by_all_candidates_declared():
    """What is enough evidence for one candidate is not enough for the best of four."""
    arms = (DEAR, Arm(500, 400, 0.005))
    times = next(n for n in range(1, 20) if trial(*arms, times=n).look().verdict.kind is Kind.PROMOTE)
    four = Trial(experiment("dear", "cheap", "mini", "tiny"))
    four.epochs_of(times, *arms, Arm(0, 0), Arm(0, 0), shares=(0.5, 0.5, 0.0, 0.0))
    assert four.look().verdict.kind is not Kind.PROMOTE


# A declared promotion


def declared(*arms, **fields):
    """A trial whose promotion of `cheap` was declared."""
    found = trial(DEAR, CHEAP, *arms, **fields)
    assert found.look().verdict.kind is Kind.PROMOTE
    return found


def test_a_declared_promotion_is_not_taken_back_by_a_later_look():
    """The tests hold at all looks together; a bad week afterwards is not news about the first one."""
    found = declared()
    sentence = found.progress.declared.sentence
    found.epochs_of(4, DEAR, Arm(500, 340, 0.005))
    later = found.look()
    assert not later.candidacies[0].passes
    assert (later.verdict.kind, later.verdict.sentence) == (Kind.PROMOTE, sentence)
    assert later.progress.declared.epoch == 10


def test_harm_takes_a_declared_promotion_back():
    """Protection goes before consistency."""
    found = declared(guardrails=[ERRORS]).epochs_of(10, DEAR, Arm(500, 400, 0.005, errors=40))
    assert found.look().verdict.kind is Kind.ROLL_BACK


def test_broken_health_takes_a_declared_promotion_back():
    """Nothing is promoted on data that cannot be trusted."""
    found = declared().epochs_of(10, DEAR, Arm(380, 300, 0.005))
    assert found.look().verdict.kind is Kind.UNHEALTHY


def test_new_prices_take_a_declared_promotion_back():
    """It promised half the cost; at the new price that has to be shown again."""
    found = declared()
    found.price_version = "v2"
    at_once = found.look()
    assert at_once.verdict.kind is Kind.KEEP_RUNNING
    assert at_once.progress.declared is None
    found.epoch(DEAR, Arm(500, 400, 0.0091), series=1)
    assert found.look().verdict.kind is Kind.KEEP_RUNNING


def test_a_doubt_since_the_declaration_asks_for_review():
    """Waiting for approval must not carry a promotion past a feedback loss, not even an automatic one."""
    found = declared().epochs_of(10, DEAR, Arm(500, 320, 0.005, rated=400))
    verdict = found.look().verdict
    assert (verdict.kind, verdict.candidate) == (Kind.NEEDS_REVIEW, "cheap")
    assert "passed every test at epoch 10, but since then: feedback is missing" in verdict.sentence


def test_a_better_candidate_does_not_drop_a_declared_one():
    """It was promised; the better one may be tried against it after the promotion."""
    found = Trial(experiment("dear", "cheap", "mini"))
    found.epochs_of(30, DEAR, CHEAP, Arm(0, 0), shares=(0.5, 0.5, 0.0))
    assert found.look().verdict.candidate == "cheap"
    found.epochs_of(30, DEAR, CHEAP, Arm(500, 400, 0.001))
    seen = found.look()
    assert seen.comparisons[1].cost_upper < seen.comparisons[0].cost_lower
    assert seen.dropped == {}
    assert (seen.verdict.kind, seen.verdict.candidate) == (Kind.PROMOTE, "cheap")


def test_an_alarm_is_remembered_after_it_fell_silent():
    """The epochs that were split wrongly stay in the cells, diluted by the later ones."""
    found = trial(DEAR, Arm(400, 320, 0.005), times=2)
    assert found.look().verdict.kind is Kind.UNHEALTHY
    found.epochs_of(60, DEAR, CHEAP)
    seen = found.look()
    assert seen.health.assigned.classical.p_value > 0.1
    assert seen.verdict.kind is Kind.UNHEALTHY


# Words


def test_every_kind_says_what_would_change_it():
    """The question that every reader asks next."""
    words = {}
    for found in (
        trial(DEAR, CHEAP),
        trial(DEAR, WORSE),
        trial(DEAR, DEAR, times=200),
        trial(DEAR, Arm(440, 350), times=20),
        trial(DEAR, AT_MARGIN),
        trial(Arm(40, 30), Arm(40, 30), times=1),
        trial(DEAR, AT_MARGIN, decision={"max_units": 10_000}),
        trial(DEAR, Arm(500, 400, 0.005, served=400)),
    ):
        seen = found.look()
        words[seen.verdict.kind] = would_change(found.definition, seen)
    shadow = {Kind.FIT, Kind.UNFIT}  # those of mode shadow stand in tests/router/test_shadow_mode.py
    assert set(words) == set(Kind) - shadow
    assert len(set(words.values())) == len(words)
    assert "its reward's lower bound rising above -0.05" in words[Kind.KEEP_RUNNING]
    assert all(sentence.endswith(".") for sentence in words.values())


def test_a_forecast_beyond_the_plan_says_so():
    """A million units are no plan for an experiment of ten thousand."""
    found = trial(DEAR, Arm(500, 376, 0.005), times=9, decision={"max_units": 10_000})
    assert "more than the 1,000 left of max_units" in found.look().verdict.sentence


def test_one_look_more_without_a_new_epoch_is_no_new_look():
    """Ticks every second must not count as looks."""
    found = trial(DEAR, CHEAP)
    assert (found.look().progress.looks, found.look(later_ms=HOUR_MS).progress.looks) == (1, 1)
    assert found.progress != Progress()
