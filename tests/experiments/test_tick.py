"""The tick: which epochs it opens, which evidence it reads, and that it always has an answer."""

import json
from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evidence.epochs import LONGEST_MS, Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import CellRow
from experiments.verdict.next_shares import next_shares
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, tick
from experiments.verdict.verdict import Kind
from tests.experiments.looks import HOUR_MS, START_MS, WINDOW_MS, Arm, Trial, experiment, row

DEAR = Arm(500, 400, 0.010)
CHEAP = Arm(500, 400, 0.005)


def opened(trial, *arms, later_ms=0, price_version=None, dropped=()):
    """The epoch that follows when the open one holds these counts."""
    evidence = trial.evidence()
    number = len(trial.epochs) + 1
    rows = [*trial.rows, *(row(number, index, arm) for index, arm in enumerate(arms))]
    standing = trial.standing()
    if price_version is not None:
        standing = replace(standing, price_version=price_version)
    now_ms = trial.now_ms + HOUR_MS + later_ms
    everything = gather(evidence.epochs, rows, len(trial.definition.candidates))
    return tick(trial.definition, everything, replace(standing, dropped=dropped), now_ms).next_epoch


# Epochs


def test_a_large_enough_epoch_gives_way_to_new_shares():
    """Mode earn moves traffic as evidence arrives, without waiting for windows."""
    found = opened(Trial(experiment()), Arm(50, 30), Arm(50, 47))
    assert (found.number, found.opened_at_ms, found.cost_series) == (2, START_MS + HOUR_MS, 0)
    assert found.shares[1] > 0.6
    assert sum(found.shares) == pytest.approx(1, abs=1e-12)


def test_a_small_epoch_stays_open_for_a_day():
    """Small epochs would hold little information."""
    trial = Trial(experiment())
    assert opened(trial, Arm(49, 40), Arm(50, 40)) is None
    assert opened(trial, Arm(49, 40), Arm(50, 40), later_ms=LONGEST_MS) is not None


def test_mode_ab_keeps_its_shares():
    """And looks on once the evidence has grown by a tenth."""
    trial = Trial(experiment(mode="ab", shares=(0.7, 0.3))).epoch(
        Arm(1_400, 900), Arm(600, 500), shares=(0.7, 0.3)
    )
    assert opened(trial, Arm(130, 100), Arm(60, 40)) is None
    assert opened(trial, Arm(140, 100), Arm(60, 40)).shares == (0.7, 0.3)


def test_new_prices_close_the_epoch_at_once_and_begin_a_cost_series():
    """Costs before and after are never added up."""
    found = opened(Trial(experiment()), Arm(1, 1), Arm(0, 0), price_version="v2")
    assert (found.number, found.cost_series, found.price_version) == (2, 1, "v2")


def test_a_dropped_candidate_loses_its_traffic_at_once():
    """Its epoch is closed early; the shares of the others are whole again."""
    trial = Trial(experiment("dear", "cheap", "bad")).epochs_of(3, DEAR, CHEAP, Arm(500, 200))
    seen = trial.look()
    assert list(seen.dropped) == [2]
    assert seen.next_epoch.shares[2] == 0
    assert sum(seen.next_epoch.shares) == pytest.approx(1, abs=1e-12)


def test_given_shares_are_spread_over_the_candidates_that_remain():
    """In mode ab in their old proportion."""
    definition = experiment("a", "b", "c", mode="ab", shares=(0.5, 0.3, 0.2))
    trial = Trial(definition)
    assert next_shares(definition, trial.evidence(), trial.standing(), (1,), 2, START_MS) == (
        pytest.approx(5 / 7), 0.0, pytest.approx(2 / 7)
    )  # fmt: skip
    assert next_shares(definition, trial.evidence(), trial.standing(), (1, 2), 2, START_MS) == (1.0, 0.0, 0.0)


def test_a_holdback_shrinks_along_its_ramp():
    """One step an epoch, and the last one for good."""
    definition = experiment(mode="ab", ramp=(0.5, 0.25, 0.05))
    trial = Trial(definition)
    steps = [
        next_shares(definition, trial.evidence(), trial.standing(), (), number, START_MS)
        for number in (1, 2, 3, 9)
    ]
    assert steps == [(0.5, 0.5), (0.25, 0.75), (0.05, 0.95), (0.05, 0.95)]
    assert opened(trial, Arm(50, 40), Arm(50, 40)).shares == (0.25, 0.75)


def test_a_paused_experiment_opens_no_epoch():
    """Its last epoch is closed; starting it again opens the next one."""
    trial = Trial(experiment()).epochs_of(2, DEAR, CHEAP)
    evidence = gather(trial.epochs, trial.rows, 2)
    assert (
        tick(trial.definition, evidence, trial.standing(), trial.now_ms + 9 * LONGEST_MS).next_epoch is None
    )


def test_the_same_evidence_gives_the_same_shares_on_every_node():
    """A second planner that takes over must not flip traffic."""
    trial = Trial(experiment()).epochs_of(2, Arm(60, 40), Arm(60, 50))
    assert opened(trial, Arm(60, 40), Arm(60, 50)) == opened(trial, Arm(60, 40), Arm(60, 50))


# What is read


def test_tests_read_mature_epochs_only():
    """Successes of the newest epoch that arrived early would reject a true null."""
    trial = Trial(experiment()).epochs_of(4, DEAR, CHEAP)
    before = trial.look(later_ms=WINDOW_MS // 2)
    trial.rows[-1] = row(4, 1, Arm(500, 0, rated=500))
    assert trial.look(later_ms=WINDOW_MS // 2).comparisons == before.comparisons
    assert before.volume.mature == 3_000
    assert trial.look().comparisons != before.comparisons


def test_allocation_reads_what_has_arrived():
    """A failing candidate loses traffic long before its windows are over."""
    patient = experiment(reward={"window": "7d"})
    found = opened(Trial(patient), Arm(100, 90), Arm(100, 10))
    assert found.shares[1] < 0.25


def test_degraded_epoch_zero_is_no_evidence():
    """Whatever was counted there."""
    trial = Trial(experiment()).epochs_of(3, DEAR, CHEAP)
    before = trial.look()
    trial.rows.append(CellRow(0, 1, (500, 500, 500, 0, 500, 0, 3), row(0, 1, Arm(500, 0)).moments))
    assert trial.look().comparisons == before.comparisons


# Always an answer


NOBODY = Arm(0, 0)
EXTREMES = {
    "no traffic": ([], {}),
    "epochs without units": ([(NOBODY, NOBODY)] * 3, {}),
    "one unit": ([(Arm(1, 1), NOBODY)], {}),
    "one unit each": ([(Arm(1, 1), Arm(1, 0))], {}),
    "a candidate without data": ([(DEAR, NOBODY)] * 5, {}),
    "a control without data": ([(NOBODY, DEAR)] * 5, {}),
    "all succeed": ([(Arm(500, 500), Arm(500, 500))] * 5, {}),
    "all fail": ([(Arm(500, 0), Arm(500, 0))] * 5, {}),
    "one succeeds, one fails": ([(Arm(500, 500), Arm(500, 0))] * 5, {}),
    "nothing varies": ([(Arm(500, 500, variation=0.0), Arm(500, 500, variation=0.0))] * 5, {}),
    "free of charge": ([(Arm(500, 400, 0.0), Arm(500, 400, 0.0))] * 5, {}),
    "a free candidate": ([(DEAR, Arm(500, 400, 0.0))] * 5, {}),
    "a free control": ([(Arm(500, 400, 0.0), DEAR)] * 5, {}),
    "no cost known": ([(Arm(500, 400, costed=0), Arm(500, 400, costed=0))] * 5, {}),
    "every call fails": ([(Arm(500, 0, errors=500), Arm(500, 0, errors=500))] * 5, {}),
    "no feedback": ([(Arm(500, 0, rated=0), Arm(500, 0, rated=0))] * 5, {}),
    "no calls": ([(Arm(500, 0, rated=0, called=0), Arm(500, 0, rated=0, called=0))] * 5, {}),
    "a billion units": ([(Arm(10**9, 8e8), Arm(10**9, 8e8, 0.005))] * 3, {}),
    "dear units": ([(Arm(500, 400, 1e6), Arm(500, 400, 1e-9))] * 5, {}),
    "a wide range": (
        [(Arm(500, 5e10, squares=1e19), Arm(500, 4e10, squares=9e18))] * 5,
        {
            "reward": {"kind": "score", "range": (0, 1e9)},
            "objective": {"reward_margin": 1e7},
            "decision": {"mde": 1e7},
        },
    ),
    "a narrow range": (
        [(Arm(500, 4e-4, squares=4e-10), Arm(500, 4e-4, squares=4e-10))] * 5,
        {
            "reward": {"kind": "score", "range": (0, 1e-6)},
            "objective": {"reward_margin": 1e-8},
            "decision": {"mde": 1e-8},
        },
    ),
    "the finest margins": (
        [(DEAR, CHEAP)] * 3,
        {
            "objective": {"reward_margin": 1e-6, "min_reward": 1.0},
            "decision": {"alpha": 1e-6, "mde": 1e-6, "min_saving": 1e-9},
            "guardrails": [{"metric": "error", "max_increase": 1e-6}, {"metric": "cost_usd", "max_ratio": 1.000002}],
        },
    ),
    "the widest margins": (
        [(DEAR, CHEAP)] * 3,
        {
            "objective": {"reward_margin": 1e9},
            "decision": {"alpha": 0.2, "mde": 1e9, "min_saving": 0.999999999},
            "guardrails": [{"metric": "error", "max_increase": 1.0}, {"metric": "cost_usd", "max_ratio": 1e6}],
        },
    ),
}  # fmt: skip


MONEY = {"net_value": {"value_usd": 0.05}, "budget": {"budget_usd": 0.006}}
KINDS = ["reward_per_cost", "reward", "cheapest_non_inferior", *MONEY]


@pytest.mark.parametrize("objective", KINDS)
@pytest.mark.parametrize("extreme", EXTREMES)
def test_every_extreme_has_a_verdict_in_words_and_a_report_in_finite_numbers(extreme, objective):
    """An exception in a tick stops the planner for every experiment; a NaN in a report breaks every page."""
    epochs, fields = EXTREMES[extreme]
    guardrails = [{"metric": "error", "max_increase": 0.01}, {"metric": "cost_usd", "max_ratio": 1.5}]
    fields = {
        "guardrails": guardrails,
        **fields,
        "objective": {**fields.get("objective", {}), "kind": objective, **MONEY.get(objective, {})},
    }
    for silence in ("drop", 0):
        reward = {**fields.get("reward", {}), "missing": silence}
        trial = Trial(experiment(**{**fields, "reward": reward}))
        for arms in epochs:
            trial.epoch(*arms)
        check(trial)


def check(trial):
    """A verdict, finite JSON without NaN, shares that are a split."""
    seen = trial.look()
    assert seen.verdict.kind in set(Kind)
    assert "nan" not in seen.verdict.sentence
    assert seen.verdict.units_needed is None or seen.verdict.units_needed > 0
    document = json.loads(trial.report(seen).model_dump_json(), parse_constant=_refuse)
    assert document["verdict"]["sentence"]
    assert not [rule for rule in document["rules"] if "nan" in rule["sentence"]]
    if seen.next_epoch is not None:
        assert sum(seen.next_epoch.shares) == pytest.approx(1, abs=1e-9)
        assert min(seen.next_epoch.shares) >= 0
    assert Progress.loads(seen.progress.dumps()) == seen.progress
    for one in seen.comparisons:
        for p in (one.reward.p, one.cost.p, one.reward_per_cost.p, one.p_deciding):
            assert 0 <= p <= 1
        assert all(isfinite(effect.estimate.value) for effect in (one.reward, one.cost, one.reward_per_cost))


def _refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("mode", ["earn", "learn", "ab"])
def test_twenty_candidates_have_a_verdict_too(mode):
    """The most that may be declared, one of them without data and one free."""
    names = [f"m{k}" for k in range(20)]
    trial = Trial(experiment(*names, mode=mode))
    arms = [Arm(100, 80 - k, 0.01 / (1 + k)) for k in range(18)] + [NOBODY, Arm(100, 50, 0.0)]
    check(trial.epochs_of(6, *arms))
    assert len(trial.look().comparisons) == 19


COUNTS = st.builds(
    lambda units, share, cost, errors, rated, served, called: Arm(
        units, units * rated * share, cost, errors=round(units * called * errors),
        served=round(units * called * served), rated=round(units * rated), called=round(units * called),
    ),
    st.integers(0, 2_000), st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.01, 5.0]), st.floats(0, 1),
    st.floats(0.01, 1), st.floats(0, 1), st.floats(0.01, 1),
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(st.tuples(COUNTS, COUNTS, COUNTS), max_size=4),
    st.sampled_from(KINDS),
    st.sampled_from(["earn", "learn", "ab"]),
    st.none() | st.floats(0, 1),
)
def test_any_counts_have_a_verdict(epochs, objective, mode, least):
    """Whatever arrives, in whatever proportion."""
    guardrails = [{"metric": "error", "max_increase": 0.01}, {"metric": "cost_usd", "max_ratio": 1.5}]
    trial = Trial(
        experiment(
            "a",
            "b",
            "c",
            mode=mode,
            guardrails=guardrails,
            objective={"kind": objective, "min_reward": least, **MONEY.get(objective, {})},
        )
    )
    for arms in epochs:
        trial.epoch(*arms)
    check(trial)


def test_an_experiment_without_epochs_is_looked_at():
    """A draft's report can be asked for before it starts."""
    standing = Standing(1, START_MS, (), Progress(), (0.01, 0.01), "v1")
    seen = tick(experiment(), gather((), (), 2), standing, START_MS)
    assert (seen.verdict.kind, seen.next_epoch) == (Kind.NOT_READY, None)


def test_the_first_tick_comes_right_after_the_start():
    """No time has passed and nothing has arrived."""
    evidence = gather((Epoch(1, 1, START_MS, (0.5, 0.5), price_version="v1"),), (), 2)
    standing = Standing(1, START_MS, (), Progress(), (0.01, 0.01), "v1")
    assert tick(experiment(), evidence, standing, START_MS).next_epoch is None
