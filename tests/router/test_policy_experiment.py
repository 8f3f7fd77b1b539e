"""An experiment with a policy, from the first request to the promotion: whoever knows what is easy wins."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from experiments.definition.lifecycle import ExperimentState
from router.deciding.choose import RouteRequest
from tests.router.worlds import World, document, experiment, world
from tests.servers.oracle import Oracle

RIGHT = {"dear": {"easy": 0.9, "hard": 0.8}, "cheap": {"easy": 0.9, "hard": 0.3}}
COST = {"dear": {"easy": 1e-3, "hard": 1e-3}, "cheap": {"easy": 1e-4, "hard": 2e-3}}
"""The cheap model answers what is hard at length, and wrong."""


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """A policy that knows what is easy, and says truly how sure it is."""

    def known(asked: Any) -> tuple[int, bytes]:  # reason: JSON
        kind = asked["metadata"]["kind"]
        model = "cheap" if kind == "easy" else "dear"
        return 200, json.dumps({"model": model, "success": {model: RIGHT[model][kind]}}).encode()

    made = Oracle(b"")
    made.answer = known
    yield made
    made.stop()


def play(made: World, units: int, seed: int) -> None:
    """Requests of which half are easy, their answers, a look every 50."""
    random = np.random.default_rng(seed)
    for number in range(units):
        made.clock.forward(20)
        kind = "easy" if random.random() < 0.5 else "hard"
        seen = made.engine.route(RouteRequest(task="support/billing", metadata={"kind": kind}))
        right = float(random.random() < RIGHT[seen.model][kind])
        made.give(seen.id, value=right, cost_usd=COST[seen.model][kind])
        if number % 50 == 49:
            made.tick()
    made.clock.forward(4_000)
    made.tick()


def test_a_policy_that_knows_what_is_easy_beats_both_of_its_models_and_is_promoted(oracle: Oracle) -> None:
    """Reward per dollar of mixture by request beats that of either model; and its word is true."""
    policy = {
        "chooses": ["cheap", "dear"], "otherwise": "dear",
        "ask": {"url": oracle.url, "deadline_ms": 2_000, "metadata": ["kind"]},
    }  # fmt: skip
    drafted = experiment(candidates=["dear", "cheap", "smart"], decision={"promote": "auto"})
    made = world(document(policies={"smart": policy}, experiments={"cheaper": drafted}))
    try:
        play(made, 6_000, seed=3)
        assert len(oracle.asked) == 2, "a question is asked once"
        row = made.control.experiment("cheaper")
        assert (row.state, row.ended_because) == (ExperimentState.PROMOTED, "promoted smart")
        report = json.loads(made.control.report("cheaper").body)
        dear, cheap, smart = report["candidates"]
        assert smart["reward_per_usd"] > 1.5 * max(dear["reward_per_usd"], cheap["reward_per_usd"])
        said = smart["calibration"]
        assert said["requests"] == smart["mature_units"]
        assert said["brier_score"] == pytest.approx((0.9 * 0.1 + 0.8 * 0.2) / 2, abs=0.03)
        assert said["expected_calibration_error"] < 0.05
        assert (dear["calibration"], cheap["calibration"]) == (None, None)
        route = made.engine.snapshot.tasks["support/billing"]
        assert route.champion == "smart"
        assert made.control.experiment("cheaper~holdback").definition.candidates == ("dear", "smart")
        made.control.rollback("support/billing", "ann", "complaints")
        made.engine.refresh()
        assert made.engine.snapshot.tasks["support/billing"].champion == "dear"
    finally:
        made.close()


def test_a_policy_that_is_wrong_about_what_is_easy_does_harm_and_is_rolled_back() -> None:
    """Nothing protects a policy from being shown worse than its control."""
    rules = [{"when": {"metadata": {"kind": "hard"}}, "model": "cheap"}]
    policy = {"chooses": ["cheap", "dear"], "otherwise": "dear", "rules": rules}
    drafted = experiment(candidates=["dear", "smart"], mode="ab")
    made = world(document(policies={"smart": policy}, experiments={"cheaper": drafted}))
    play(made, 2_500, seed=4)
    row = made.control.experiment("cheaper")
    assert row.state is ExperimentState.ROLLED_BACK
    assert "smart" in row.ended_because
    made.close()
