"""Definition: what a user may declare, and the words in which the rest is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments.definition.decision import Decision
from experiments.definition.experiment import MAX_CANDIDATES, Experiment
from experiments.definition.guardrail import Guardrail
from experiments.definition.objective import Objective
from experiments.definition.reward import Reward

SMALLEST = {"name": "cheaper", "task": "support/billing", "candidates": ["dear", "cheap"]}
EVERYTHING = {
    "name": "cheaper",
    "task": "support/billing",
    "hypothesis": "as good for less",
    "candidates": ["dear", "cheap"],
    "unit": "conversation",
    "mode": "ab",
    "shares": [0.75, 0.25],
    "traffic": 0.2,
    "reward": {"metric": "stars", "kind": "score", "range": [1, 5], "window": "36h", "on_error": 1.5, "missing": 3,
               "outside": "clip"},
    "objective": {"kind": "reward", "reward_margin": 0.25, "min_reward": 2, "cost_cap_usd": 0.5},
    "guardrails": [{"metric": "error", "max_increase": 0.01}, {"metric": "cost_usd", "max_ratio": 1.25}],
    "decision": {
        "alpha": 0.01, "mde": 0.1, "min_saving": 0.2, "read_out": "anytime", "min_days": 7,
        "max_units": 5000, "promote": "auto", "holdback": 0,
    },
}  # fmt: skip


def declared(**fields):
    """The smallest experiment, changed in places."""
    return Experiment.model_validate({**SMALLEST, **fields})


def loaded(document):
    """An experiment as a file or a request brings it."""
    return Experiment.model_validate_json(json.dumps(document))


def test_three_lines_declare_an_experiment():
    """Everything else has a default that is safe."""
    found = loaded(SMALLEST)
    assert (found.control, found.mode, found.unit, found.traffic) == ("dear", "earn", "request", 1.0)
    assert found.starting_shares == (0.5, 0.5)
    assert (found.reward.error_value, found.reward.width) == (0.0, 1.0)
    assert (found.decision.alpha, found.decision.promote) == (0.05, "ask")


@pytest.mark.parametrize("document", [SMALLEST, EVERYTHING])
def test_a_declaration_survives_its_json_by_alias(document):
    """It is frozen in the store as JSON and read back there and in the audit."""
    found = loaded(document)
    assert Experiment.model_validate_json(found.model_dump_json(by_alias=True)) == found
    assert json.loads(found.model_dump_json(by_alias=True))["reward"]["window"] == (
        "36h" if document is EVERYTHING else "1d"
    )


def test_field_names_and_aliases_are_both_read():
    """Python says window_ms, a file says window."""
    assert Reward(window_ms=1_500) == Reward.model_validate({"window": "1500ms"})


@pytest.mark.parametrize("part", [Experiment, Reward, Objective, Guardrail, Decision])
def test_unknown_fields_are_refused(part):
    """A misspelt margin must not fall back to a default."""
    with pytest.raises(ValidationError, match=r"rewrad\n  Extra inputs are not permitted"):
        part.model_validate({"rewrad": 1})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"candidates": ["dear"]}, "at least 2"),
        ({"candidates": [f"m{k}" for k in range(MAX_CANDIDATES + 1)]}, "at most 20"),
        ({"candidates": ["dear", "dear"]}, "listed twice"),
        ({"candidates": ["dear", "che ap"]}, "must be letters"),
        ({"name": "x" * 65}, "must be letters"),
        ({"task": "a//b"}, "one to five words"),
        ({"hypothesis": "x" * 501}, "at most 500"),
        ({"unit": "session"}, "request"),
        ({"mode": "shadow"}, "needs what its copies may cost a day"),
        ({"shadow_usd_per_day": 1.0}, "which only mode shadow makes"),
        ({"mode": "shadow", "shadow_usd_per_day": 0.0}, "greater than 0"),
        (
            {"mode": "shadow", "shadow_usd_per_day": 1.0, "unit": "user"},
            "unit must be request in mode shadow",
        ),
        ({"mode": "shadow", "shadow_usd_per_day": 1.0, "shares": [0.5, 0.5]}, "the control serves all"),
        ({"mode": "shadow", "shadow_usd_per_day": 1.0, "bandit": {"ramp": [0.1]}}, "which mode shadow keeps"),
        (
            {
                "mode": "shadow",
                "shadow_usd_per_day": 1.0,
                "guardrails": [{"metric": "latency_p95_ms", "max_ratio": 2}],
            },
            "guardrails of mode shadow are error, cost_usd, latency_p50_ms",
        ),
        ({"traffic": 0}, "greater than 0"),
        ({"traffic": 1.5}, "less than or equal to 1"),
        ({"traffic": True}, "valid number"),
        ({"shares": [0.5, 0.5]}, "only in mode ab"),
        ({"mode": "ab", "shares": [1.0]}, "1 shares for 2 candidates"),
        ({"mode": "ab", "shares": [0.5, 0.4]}, "shares sum to 0.9"),
        ({"mode": "ab", "shares": [1.0, 0.0]}, "greater than 0"),
        ({"mode": "ab", "shares": [0.5, 0.5], "ramp": [0.5]}, "both given"),
        ({"ramp": [0.5]}, "ramp needs mode ab"),
        ({"mode": "ab", "ramp": []}, "at least one control share"),
        ({"mode": "ab", "ramp": [1.0]}, "less than 1"),
        ({"mode": "ab", "candidates": ["a", "b", "c"], "ramp": [0.5]}, "two candidates"),
        ({"reward": {"metric": "error"}}, "measured by Pointsman itself"),
        ({"reward": {"metric": "reward_unclipped"}}, "measured by Pointsman itself"),
        ({"reward": {"outside": "clip"}}, "never clipped; use kind: score"),
        ({"reward": {"outside": "keep"}}, "'refuse' or 'clip'"),
        ({"reward": {"kind": "stars"}}, "binary"),
        ({"reward": {"kind": "score", "range": [1, 1]}}, "must rise"),
        ({"reward": {"kind": "score", "range": [0, 1e-7]}}, "at least 1e-06 wide"),
        ({"reward": {"kind": "score", "range": [0, 1e12]}}, "within 1e"),
        ({"reward": {"kind": "score", "range": [0, 1, 2]}}, "at most 2"),
        ({"reward": {"range": [0, 2]}}, "kind: score"),
        ({"reward": {"on_error": 2}}, "on_error == 2"),
        ({"reward": {"missing": -1}}, "missing == -1"),
        ({"reward": {"missing": "zero"}}, "drop"),
        ({"reward": {"window": "24"}}, "number and a unit"),
        ({"reward": {"window": "500d"}}, "less than or equal to"),
        ({"reward": {"window": 1.5}}, "has no unit"),
        ({"objective": {"kind": "net_value"}}, "needs value_usd"),
        ({"objective": {"kind": "budget"}}, "needs budget_usd"),
        ({"objective": {"kind": "budget", "budget_usd": 0.01, "value_usd": 1}}, "value_usd == 1 belongs"),
        ({"objective": {"kind": "net_value", "value_usd": 1e12}}, "must be in"),
        (
            {"objective": {"kind": "net_value", "value_usd": 1e-12}, "decision": {"mde": 1e-5}},
            "value_usd . mde",
        ),
        ({"mode": "ab", "bandit": {"pool": True}}, "mode ab keeps"),
        ({"bandit": {"ramp": [0.05, 0.05]}}, "must rise"),
        ({"bandit": {"ramp": [1.0]}}, "less than 1"),
        ({"bandit": {"drift": "chase"}}, "follow"),
        ({"bandit": {"prior_weight": 0}}, "greater than 0"),
        ({"bandit": {"priors": {"c": {"reward": 0.5, "prompts": 9}}}}, "no candidate"),
        ({"bandit": {"priors": {"cheap": {"reward": 1.5, "prompts": 9}}}}, "within range"),
        ({"bandit": {"priors": {"cheap": {"reward": 0.5, "prompts": 0}}}}, "greater than or equal to 1"),
        ({"objective": {"value_usd": 1}}, "value_usd == 1 belongs"),
        ({"objective": {"reward_margin": 0}}, "greater than 0"),
        ({"objective": {"reward_margin": 1e-9}}, "at least 1e-06 of the reward's range"),
        ({"objective": {"reward_margin": 1e12}}, "at most 1e"),
        ({"objective": {"cost_cap_usd": 0}}, "greater than 0"),
        ({"reward": {"kind": "score", "range": [-1, 1]}}, "needs rewards >= 0"),
        ({"guardrails": [{"metric": "latency_p95_ms", "max_increase": 0.2}]}, "takes max_ratio"),
        ({"guardrails": [{"metric": "latency_p95_ms", "max_ratio": 1.04}]}, r"must be in \[1\.05"),
        (
            {"guardrails": [{"metric": "latency_p90_ms", "max_ratio": 2}]},
            "use error, cost_usd, feedback_rate",
        ),
        ({"guardrails": [{"metric": "feedback_rate", "max_increase": 0.1}]}, "takes max_decrease"),
        ({"guardrails": [{"metric": "feedback_rate", "max_decrease": 1.1}]}, "must be in"),
        ({"guardrails": [{"metric": "thumbs", "max_decrease": 0.1}]}, "needs its range"),
        ({"guardrails": [{"metric": "thumbs", "max_ratio": 2, "range": (0, 1)}]}, "in its own unit"),
        (
            {"guardrails": [{"metric": "thumbs", "max_decrease": 6, "range": (0, 5)}]},
            r"must be in \[5e-06, 5\]",
        ),
        ({"guardrails": [{"metric": "thumbs", "max_decrease": 0.1, "range": (1, 1)}]}, "must rise"),
        ({"guardrails": [{"metric": "error", "max_increase": 0.1, "range": (0, 1)}]}, "has no range"),
        ({"guardrails": [{"metric": "gain", "max_decrease": 0.1, "range": (0, 1)}]}, "rename it"),
        ({"guardrails": [{"metric": "input_tokens", "max_increase": 9, "range": (0, 99)}]}, "rename it"),
        (
            {
                "guardrails": [{"metric": "resolved", "max_decrease": 0.1, "range": (0, 1)}],
                "reward": {"metric": "resolved"},
            },
            "is the reward metric",
        ),
        ({"guardrails": [{"metric": "error"}]}, "exactly one of"),
        ({"guardrails": [{"metric": "error", "max_increase": 0.1, "max_ratio": 2}]}, "exactly one of"),
        ({"guardrails": [{"metric": "error", "max_ratio": 2}]}, "takes max_increase"),
        ({"guardrails": [{"metric": "error", "max_increase": 2}]}, "must be in"),
        ({"guardrails": [{"metric": "error", "max_increase": 1e-12}]}, "must be in"),
        ({"guardrails": [{"metric": "cost_usd", "max_increase": 0.1}]}, "takes max_ratio"),
        ({"guardrails": [{"metric": "cost_usd", "max_ratio": 1}]}, "greater than 1"),
        ({"guardrails": [{"metric": "cost_usd", "max_ratio": 1 + 1e-12}]}, "must be in"),
        ({"guardrails": [{"metric": "cost_usd", "max_ratio": 1e12}]}, "must be in"),
        ({"guardrails": [{"metric": "error", "max_increase": 0.1}] * 2}, "listed twice"),
        ({"decision": {"alpha": 0}}, r"greater than or equal to 0\.000001"),
        ({"decision": {"alpha": 0.3}}, "less than or equal to 0.2"),
        ({"decision": {"mde": 0}}, "greater than 0"),
        ({"decision": {"mde": 1e-9}}, "mde == 1e-09"),
        ({"decision": {"min_saving": 1}}, "less than 1"),
        ({"decision": {"min_saving": 0}}, "greater than 0"),
        ({"decision": {"read_out": "fixed"}}, "anytime"),
        ({"decision": {"min_days": -1}}, "greater than or equal to 0"),
        ({"decision": {"max_units": 99}}, "greater than or equal to 100"),
        ({"decision": {"max_units": 1000.5}}, "valid integer"),
        ({"decision": {"promote": "yes"}}, "ask"),
        ({"decision": {"holdback": 0.6}}, "less than or equal to 0.5"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(fields, words):
    """Value, bound and remedy; and never an exception of the planner later."""
    with pytest.raises(ValidationError, match=words):
        loaded({**SMALLEST, **fields})


NUMBERS = ["traffic", "objective.reward_margin", "objective.min_reward", "decision.alpha", "decision.mde",
           "decision.min_saving", "decision.min_days", "decision.holdback", "reward.on_error"]  # fmt: skip


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.05", True])
def test_only_finite_numbers_are_numbers(field, value):
    """Strict: no text, no truth value, nothing that JSON cannot hold."""
    outer, _, inner = field.partition(".")
    with pytest.raises(ValidationError):
        declared(**{outer: {inner: value} if inner else value})


@given(st.integers(2, MAX_CANDIDATES))
def test_shares_start_equal_and_sum_to_one(count):
    """Before any evidence every candidate is served alike."""
    shares = declared(candidates=tuple(f"m{k}" for k in range(count))).starting_shares
    assert len(set(shares)) == 1
    assert sum(shares) == pytest.approx(1, abs=1e-12)


def test_a_ramp_starts_at_its_first_share():
    """A holdback gives the new champion half at first."""
    assert declared(mode="ab", ramp=(0.5, 0.05)).starting_shares == (0.5, 0.5)
    assert declared(mode="ab", shares=(0.9, 0.1)).starting_shares == (0.9, 0.1)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(0, 1))
def test_an_error_is_worth_the_lowest_reward_unless_declared(low, width, part):
    """And the declared value lies within the range."""
    high = low + width
    value = min(max(low + part * width, low), high)
    assert Reward(kind="score", range=(low, high)).error_value == low
    assert Reward(kind="score", range=(low, high), on_error=value).error_value == value


def test_a_declaration_cannot_be_changed_after_it_was_read():
    """It is frozen when the experiment starts."""
    with pytest.raises(ValidationError, match="frozen"):
        declared().traffic = 0.5  # type: ignore[misc]  # that is the point
