"""Guardrails: what each metric compares, when it is kept, and how soon harm acts."""

from math import inf, isfinite, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evidence.epochs import CALL_WINDOW_MS
from experiments.evidence.latency import bucket
from experiments.verdict.verdict import Kind
from tests.experiments.looks import DAY_MS, HOUR_MS, Arm, Trial, experiment
from tests.experiments.test_tick import check

LATENCY = {"metric": "latency_p95_ms", "max_ratio": 1.25}
MEDIAN = {"metric": "latency_p50_ms", "max_ratio": 1.25}
ANSWERED = {"metric": "feedback_rate", "max_decrease": 0.05}
THUMBS = {"metric": "thumbs", "max_decrease": 0.05, "range": (0, 1)}
COMPLAINTS = {"metric": "complaints", "max_increase": 0.05, "range": (0, 1)}
ERRORS = {"metric": "error", "max_increase": 0.01}
COSTS = {"metric": "cost_usd", "max_ratio": 1.5}
EVERY = [LATENCY, MEDIAN, ANSWERED, THUMBS, COMPLAINTS, ERRORS, COSTS]
PATIENT = {"window": "24h"}


def spread(units, middle_ms=400.0, tail=8):
    """Latencies over a range of buckets, a few of them slow."""
    first = bucket(middle_ms) - 5
    plain = {first + step: units // 11 for step in range(11)}
    slow = {first + 20 + step: max(units // 200, 1) for step in range(tail)}
    return plain | slow


def states(trial, later_ms=2 * 600_000):
    """State of every rule of the first candidate."""
    return {rule.name: rule.state for rule in trial.look(later_ms).candidacies[0].rules}


def guard(trial, **fields):
    """The first guardrail of the first candidate."""
    return trial.look(**fields).comparisons[0].guardrails[0]


def trial(control, candidate, *guardrails, times=10, **fields):
    """Some epochs of the same counts."""
    return Trial(experiment(guardrails=guardrails, **fields)).epochs_of(times, control, candidate)


# What is compared


@pytest.mark.parametrize(
    ("middle_ms", "times", "state"), [(400, 20, "holds"), (490, 1, "open"), (700, 20, "fails")]
)
@pytest.mark.parametrize("rule", [LATENCY, MEDIAN])
def test_latency_may_not_rise_by_more_than_its_ratio(rule, middle_ms, times, state):
    """Equal, about the bound, and well beyond it."""
    slow = Arm(500, 400, latency=spread(500, middle_ms))
    found = trial(Arm(500, 400, latency=spread(500)), slow, rule, times=times)
    assert states(found)[rule["metric"]] == state


@pytest.mark.parametrize(("rated", "state"), [(450, "holds"), (425, "open"), (380, "fails")])
def test_the_share_of_units_with_feedback_may_not_fall(rated, state):
    """Nine in ten of the control's units have it; the bound is five in a hundred of the assigned."""
    found = trial(Arm(500, 300, rated=450), Arm(500, rated * 2 // 3, rated=rated), ANSWERED)
    assert states(found)["feedback_rate"] == state
    assert guard(found).estimate.value == pytest.approx((rated - 450) / 500)


@pytest.mark.parametrize(
    ("rule", "control", "candidate", "state"),
    [
        (THUMBS, (300, 240), (300, 240), "holds"), (THUMBS, (300, 240), (300, 225), "open"),
        (THUMBS, (300, 240), (300, 180), "fails"), (THUMBS, (300, 180), (300, 240), "holds"),
        (COMPLAINTS, (300, 60), (300, 60), "holds"), (COMPLAINTS, (300, 60), (300, 75), "open"),
        (COMPLAINTS, (300, 60), (300, 120), "fails"), (COMPLAINTS, (300, 120), (300, 60), "holds"),
    ],
)  # fmt: skip
def test_metrics_of_feedback_are_compared_per_request_that_reports_them(rule, control, candidate, state):
    """Both directions; what goes the good way never does harm."""
    name = rule["metric"]
    found = trial(
        Arm(500, 400, reported={name: control}), Arm(500, 400, reported={name: candidate}), rule, times=15
    )
    assert states(found)[name] == state


def test_requests_without_a_report_are_left_out():
    """A metric that few report is compared among those; silence is what `feedback_rate` watches."""
    found = guard(trial(
        Arm(500, 400, reported={"thumbs": (400, 320)}), Arm(500, 400, reported={"thumbs": (40, 32)}), THUMBS
    ))  # fmt: skip
    assert found.estimate.value == pytest.approx(0)


def test_rare_complaints_take_the_variance_of_the_bound():
    """None in 150 happens by chance at a rate of .02; the variance that was seen would call it kept."""
    rule = {"metric": "complaints", "max_increase": 0.01, "range": (0, 1)}
    none = Arm(150, 120, reported={"complaints": (150, 0)})
    assert states(trial(none, none, rule, times=1))["complaints"] == "open"


def test_costs_of_too_few_units_are_no_comparison():
    """Those without a known cost may be the failures."""
    found = trial(Arm(500, 400, 0.01), Arm(500, 400, 0.05, costed=400), COSTS, objective={"kind": "reward"})
    assert not guard(found).known
    assert states(found)["cost_usd"] == "open"


def test_sentences_name_the_figure_and_the_bound():
    """In the words of the metric: a ratio, a rise or a fall."""
    control = Arm(500, 400, latency=spread(500), reported={"thumbs": (400, 320)}, rated=450, errors=2)
    worse = Arm(
        500, 360, 0.02, latency=spread(500, 700.0), reported={"thumbs": (400, 200)}, rated=380, errors=60
    )
    found = trial(control, worse, LATENCY, ANSWERED, THUMBS, ERRORS, COSTS, times=20).look()
    words = {rule.name: rule.sentence for rule in found.candidacies[0].rules}
    assert words["latency_p95_ms"].startswith("latency_p95_ms is at least 1.")
    assert words["latency_p95_ms"].endswith("times the control's; bound 1.25")
    assert words["feedback_rate"].startswith("feedback_rate falls by at least 0.")
    assert words["feedback_rate"].endswith("against the control; bound 0.05")
    assert words["thumbs"].startswith("thumbs falls by at least 0.")
    assert words["error"].startswith("error is at least +0.")
    assert words["cost_usd"].endswith("times the control's; bound 1.5")


def test_without_any_latency_the_rule_stays_open():
    """Nothing is promoted on a guardrail that nobody measures."""
    found = trial(Arm(500, 400), Arm(500, 400), LATENCY)
    rule = found.look().candidacies[0].rule("latency_p95_ms")
    assert (rule.state, "not known yet" in rule.sentence) == ("open", True)


# Harm acts at once


BROKEN = Arm(500, 280, errors=150)
SOUND = Arm(500, 400, errors=5)


def soon(control, candidate, *guardrails, window="24h", later_ms=CALL_WINDOW_MS):
    """A look minutes after one epoch of half an hour has closed."""
    found = Trial(experiment(guardrails=guardrails, reward={"window": window})).epoch(
        control, candidate, hours=0.5
    )
    return found, found.look(later_ms)


def test_a_candidate_that_fails_a_third_of_its_calls_is_gone_within_the_hour():
    """Rewards take a day to mature; errors are known when a call ends."""
    found, seen = soon(SOUND, BROKEN, ERRORS)
    assert found.now_ms + CALL_WINDOW_MS - found.epochs[0].opened_at_ms < HOUR_MS
    assert list(seen.dropped) == [1]
    assert seen.dropped[1].startswith("rule error: error is at least +0.")
    assert seen.verdict.kind is Kind.ROLL_BACK
    assert seen.volume.mature == 0


@pytest.mark.parametrize(
    ("rule", "candidate"),
    [(COSTS, Arm(500, 400, 0.05)), (LATENCY, Arm(500, 400, latency=spread(500, 1_200.0)))],
)
def test_costs_and_latency_act_as_soon(rule, candidate):
    """Both are complete when a call ends."""
    _, seen = soon(Arm(500, 400, 0.01, latency=spread(500)), candidate, rule)
    assert list(seen.dropped) == [1]


def test_calls_that_may_still_run_are_no_evidence():
    """A second before the window of calls is over the slow ones may be missing."""
    _, seen = soon(SOUND, BROKEN, ERRORS, later_ms=CALL_WINDOW_MS - 1_000)
    assert seen.dropped == {}


def test_an_epoch_with_missing_calls_waits_until_it_is_mature():
    """Where failures are reported first, a rate of the calls known so far is no rate."""
    half = Arm(500, 150, errors=150, called=250, rated=250)
    found, seen = soon(SOUND, half, ERRORS)
    assert seen.dropped == {}
    assert list(found.look(later_ms=DAY_MS + HOUR_MS).dropped) == [1]


@pytest.mark.parametrize(
    ("rule", "candidate"),
    [(ANSWERED, Arm(500, 200, rated=300)), (THUMBS, Arm(500, 400, reported={"thumbs": (400, 40)}))],
)
def test_what_feedback_reports_waits_until_it_is_mature(rule, candidate):
    """Silence so far is no answer, and the first to report are not like the others."""
    control = Arm(500, 400, reported={"thumbs": (400, 320)})
    found, seen = soon(control, candidate, rule)
    assert seen.dropped == {}
    assert list(found.look(later_ms=DAY_MS + HOUR_MS).dropped) == [1]


def test_a_guardrail_is_kept_by_mature_epochs_only():
    """A promotion rests on what cannot change any more."""
    found = Trial(experiment(guardrails=[ERRORS], reward=PATIENT)).epochs_of(10, SOUND, Arm(500, 400))
    early = guard(found, later_ms=CALL_WINDOW_MS)
    assert (early.known, early.kept, early.upper) == (True, False, inf)
    assert guard(found, later_ms=2 * DAY_MS).kept


def test_nobody_goes_while_the_data_cannot_be_trusted():
    """A broken split explains errors too."""
    found = Trial(experiment(guardrails=[ERRORS], reward=PATIENT))
    found.epoch(Arm(900, 700, errors=9), Arm(300, 150, errors=100), shares=(0.5, 0.5), hours=0.5)
    seen = found.look(CALL_WINDOW_MS)
    assert seen.health.alarm is not None
    assert seen.comparisons[0].guardrails[0].harmed
    assert (seen.dropped, seen.verdict.kind) == ({}, Kind.UNHEALTHY)


def test_the_others_go_on():
    """Harm drops one candidate, not the experiment."""
    found = Trial(experiment("dear", "cheap", "bad", guardrails=[ERRORS], reward=PATIENT))
    seen = found.epoch(SOUND, Arm(500, 400, errors=5), BROKEN, hours=0.5).look(CALL_WINDOW_MS)
    assert list(seen.dropped) == [2]
    assert seen.next_epoch.shares[2] == 0


def test_a_holdback_reads_the_newest_calls_too():
    """Errors that come late hide behind a hundred good hours, and a day of window would hide them for a day."""
    definition = experiment(
        guardrails=[ERRORS], reward=PATIENT, mode="ab", decision={"max_units": 100_000, "alpha": 0.025}
    )
    found = Trial(definition, watching=True).epochs_of(100, SOUND, SOUND)
    assert found.look(CALL_WINDOW_MS).dropped == {}
    seen = found.epochs_of(6, SOUND, Arm(500, 380, errors=45)).look(CALL_WINDOW_MS)
    assert list(seen.dropped) == [1]
    assert "over the newest" in seen.dropped[1]
    assert not seen.comparisons[0].guardrails[0].harmed


# Report and extremes


def test_the_report_shows_effect_interval_and_bound_on_the_scale_of_the_metric():
    """Ratios as relative changes; falls with a negative bound."""
    control = Arm(500, 400, latency=spread(500), reported={"thumbs": (400, 320)})
    found = trial(control, Arm(500, 400, 0.005, latency=spread(500, 450.0), reported={"thumbs": (400, 316)}),
                  LATENCY, THUMBS, COSTS, times=20)  # fmt: skip
    seen = found.look()
    latency, thumbs, costs = found.report(seen).candidates[1].guardrails
    assert (latency.relative, latency.bound) == (True, 0.25)
    assert latency.low < latency.value < latency.high
    assert latency.value == pytest.approx(0.125, abs=0.03)
    assert (thumbs.relative, thumbs.bound, thumbs.value) == (False, -0.05, pytest.approx(-0.01))
    assert (costs.value, costs.bound) == (pytest.approx(-0.5, abs=0.01), 0.5)
    assert found.report(seen).candidates[0].guardrails == ()


def test_a_forecast_counts_the_units_that_an_open_guardrail_needs():
    """About as many again as it takes to tell a tenth more from a quarter more."""
    slower = Arm(500, 400, 0.005, latency=spread(500, 420.0))
    found = trial(Arm(500, 400, latency=spread(500)), slower, LATENCY, times=2)
    seen = found.look()
    assert states(found)["latency_p95_ms"] == "open"
    assert seen.verdict.kind is Kind.KEEP_RUNNING
    assert seen.verdict.units_needed > 100
    assert "latency_p95_ms" in seen.verdict.sentence
    assert "latency_p95_ms shown to stay within its bound" in found.report(seen).verdict.would_change


HISTOGRAMS = st.dictionaries(st.integers(0, 520), st.integers(1, 10**9), max_size=4)
COUNTS = st.builds(
    lambda units, share, errors, rated, latency, thumbs: Arm(
        units, units * rated * share, errors=round(units * errors), rated=round(units * rated), latency=latency,
        reported={"thumbs": (units, units * thumbs), "complaints": (units // 2, units // 2 * thumbs)},
    ),
    st.sampled_from([0, 1, 2, 60, 500, 10**9]), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1), HISTOGRAMS,
    st.sampled_from([0.0, 0.3, 1.0]),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.tuples(COUNTS, COUNTS, COUNTS), max_size=3), st.sampled_from(["10m", "24h"]))
def test_any_counts_give_finite_guardrails(epochs, window):
    """No data, one epoch, ties, a candidate without data, a billion requests in one bucket."""
    found = Trial(experiment("a", "b", "c", guardrails=EVERY, reward={"window": window}))
    for arms in epochs:
        found.epoch(*arms)
    check(found)
    for one in found.look(CALL_WINDOW_MS).comparisons:
        for each in one.guardrails:
            assert isfinite(each.estimate.value)
            assert each.low <= each.estimate.value <= each.high or not each.known
            assert not (each.kept and each.harmed)
            assert 0 <= each.p <= 1


def test_scales_agree_with_the_declared_bounds():
    """ln of a ratio, or the difference."""
    found = trial(Arm(500, 400, latency=spread(500)), Arm(500, 400, latency=spread(500)), *EVERY)
    bounds = {each.guardrail.metric: each.bound for each in found.look().comparisons[0].guardrails}
    assert bounds["latency_p95_ms"] == log(1.25)
    assert bounds["thumbs"] == 0.05
