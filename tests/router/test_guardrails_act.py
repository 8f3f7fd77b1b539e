"""Guardrails from the feedback to the ledger, the planner and the report."""

import json

import numpy as np

from experiments.definition.lifecycle import ExperimentState
from experiments.evidence.epochs import CALL_WINDOW_MS
from router.deciding.choose import RouteRequest
from storage.records import FeedbackState
from tests.router.worlds import World, document, experiment, world

BILLING = RouteRequest(task="support/billing")


def guarded(*guardrails: dict[str, object], window: str = "1s") -> World:
    """A running experiment whose rewards are equal."""
    made = experiment(reward={"window": window}, guardrails=list(guardrails), mode="ab")
    return world(document(experiments={"cheaper": made}))


def serve(made: World, units: int, slow_ms: float = 400.0, errors: float = 0.0, thumbs: float = 0.8) -> None:
    """Answer, report and tick; only the candidate is slow, fails or displeases."""
    random = np.random.default_rng(4)
    for number in range(units):
        made.clock.forward(20)
        decision = made.engine.route(BILLING)
        bad = decision.model == "cheap"
        failed = bad and random.random() < errors
        wait = (slow_ms if bad else 400.0) * float(random.lognormal(0.0, 0.3))
        value = None if failed else float(random.random() < 0.8)
        made.give(decision.id, value=value, error=failed, cost_usd=1e-4, latency_ms=wait)
        made.give(decision.id, metric="thumbs", value=float(random.random() < (thumbs if bad else 0.8)))
        if number % 50 == 49:
            made.tick()


def test_harm_to_errors_does_not_wait_for_the_reward_window() -> None:
    """A day of window, minutes of traffic: the planner drops the candidate when the calls of an epoch have ended."""
    made = guarded({"metric": "error", "max_increase": 0.02}, window="24h")
    serve(made, 600, errors=0.3)
    assert made.control.experiment("cheaper").state is ExperimentState.RUNNING
    made.clock.forward(CALL_WINDOW_MS)
    made.tick()
    ended = made.control.experiment("cheaper")
    assert (ended.state, ended.dropped) == (ExperimentState.ROLLED_BACK, (1,))
    assert "rule error" in ended.ended_because
    made.close()


def test_a_slow_tail_ends_a_candidate() -> None:
    """Latencies of feedback are counted like those of the gateway."""
    made = guarded({"metric": "latency_p95_ms", "max_ratio": 1.25})
    serve(made, 1_500, slow_ms=900.0)
    assert "latency_p95_ms is at least" in made.control.experiment("cheaper").ended_because
    made.close()


def test_a_metric_of_feedback_ends_a_candidate_and_counts_within_its_range() -> None:
    """Users' thumbs beside the reward; a value outside the range is stored, and counts as the nearer end."""
    made = guarded({"metric": "thumbs", "max_decrease": 0.05, "range": [0, 1]})
    decision = made.engine.route(BILLING)
    assert made.give(decision.id, metric="thumbs", value=1_000.0).state is FeedbackState.APPLIED
    serve(made, 2_000, thumbs=0.4)
    row = made.control.experiment("cheaper")
    assert "thumbs falls by at least" in row.ended_because
    totals = sum(
        cell.moments["thumbs"][2] for cell in made.store.cells(row.id, 0) if "thumbs" in cell.moments
    )
    assert totals <= 2_001
    effects = [cell for cell in made.store.recount(row.id) if "thumbs" in cell.moments]
    assert sum(cell.moments["thumbs"][2] for cell in effects) == totals
    made.close()


def test_the_stored_report_carries_the_guardrails() -> None:
    """What the page and the text show is in the document."""
    made = guarded(
        {"metric": "latency_p50_ms", "max_ratio": 1.5}, {"metric": "feedback_rate", "max_decrease": 0.1}
    )
    serve(made, 600)
    made.clock.forward(4_000)
    made.tick()
    body = json.loads(made.control.report("cheaper").body)
    latency, answered = body["candidates"][1]["guardrails"]
    assert (latency["metric"], latency["relative"], latency["bound"]) == ("latency_p50_ms", True, 0.5)
    assert latency["low"] < latency["value"] < latency["high"]
    assert (answered["metric"], answered["value"], answered["bound"]) == ("feedback_rate", 0.0, -0.1)
    cheap = body["candidates"][1]
    assert cheap["latency_p50_low_ms"] < cheap["latency_p50_ms"] < cheap["latency_p50_high_ms"]
    made.close()
