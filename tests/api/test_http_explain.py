"""Explanations: what was considered, from /v1/route, /v1/explain and the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.admin.route_schemas import ExplainAnswer, RouteAnswer
from api.cli import app
from tests.servers.front import Front, open_front

EXAMPLE = Path(__file__).parents[2] / "examples" / "pointsman.yaml"
MODELS = {
    "big": {"base_url": "http://127.0.0.1:9/v1", "price": {"input": 10.0, "output": 30.0}},
    "small": {"base_url": "http://127.0.0.1:9/v1", "vision": False, "tier": 1},
}


@pytest.fixture
def front() -> Iterator[Front]:
    rule = {"when": {"metadata": {"plan": "free"}}, "model": "small"}
    with open_front(models=MODELS, routes=[rule]) as opened:
        yield opened


def test_a_decision_says_what_was_considered_if_it_is_asked(front: Front) -> None:
    """The list costs time, so only who asks pays for it; the decision is the same."""
    front.start_experiment()
    body = {"task": "support", "user": "u1", "needs": {"vision": True, "input_tokens": 10}}
    answer = RouteAnswer.model_validate_json(front.post("/v1/route", {**body, "explain": True}).body)
    assert (answer.model, answer.reason) == ("big", "ineligible")
    assert answer.considered is not None
    assert any("small (candidate, fallback): lacks vision" in line for line in answer.considered)
    assert "considered" not in front.post("/v1/route", body).json


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_cost": 0}, "max_cost"),
        ({"latency": "soon"}, "latency"),
        ({"tags": "gold"}, "tags"),
        ({"residency": ""}, "residency"),
        ({"needs": {"vision": 1}}, "needs"),
        ({"needs": {"smell": True}}, "needs"),
        ({"explain": "yes"}, "explain"),
        ({"needs": {"vision": True}, "override": "small"}, "model"),
    ],
)
def test_a_hint_that_cannot_be_read_is_refused_by_name(
    front: Front, body: dict[str, object], field: str
) -> None:
    """A misspelt ceiling that is ignored costs money."""
    answer = front.post("/v1/route", body)
    assert (answer.status, answer.json["error"]["param"]) == (422, field)


def test_an_explanation_decides_records_and_draws_nothing_for_a_unit(front: Front) -> None:
    """Looking must not move traffic: no row, no assignment, and a unit's own candidate is shown."""
    front.start_experiment()
    for _ in range(3):
        seen = ExplainAnswer.model_validate_json(
            front.post("/v1/explain", {"task": "support", "user": "u1"}).body
        )
        assert seen.reason == "experiment"
    front.engine.recorder.flush()
    assert front.store.traffic() == []
    first = front.post("/v1/route", {"task": "support", "user": "u1"}).json["model"]
    front.engine.recorder.flush()
    held = front.post("/v1/explain", {"task": "support", "user": "u1"}).json
    assert (held["model"], held["reason"]) == (first, "held")


def test_rules_are_told_apart_in_an_explanation(front: Front) -> None:
    """Which rule fired is what an operator asks first."""
    lines = front.post("/v1/explain", {"metadata": {"plan": "free"}}).json["considered"]
    assert "routes[0], to model small: fits" in lines
    assert "routes[0], to model small: does not fit" in front.post("/v1/explain", {}).json["considered"]
    assert front.post("/v1/explain", {"tier": 9}).status == 422
    front.key = front.add_key("app", "traffic")
    assert front.post("/v1/explain", {}).status == 403


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A ledger that holds the example configuration."""
    path = str(tmp_path / "ledger.sqlite")
    assert CliRunner().invoke(app, ["--store", path, "apply", str(EXAMPLE)]).exit_code == 0
    return path


def test_the_command_explains_a_text(store: str) -> None:
    """`pointsman route --explain TEXT` before anything is sent."""
    run = CliRunner().invoke(
        app, ["--store", store, "route", "--explain", "where is my invoice?", "--tags", "a,b"]
    )
    assert run.exit_code == 0, run.output
    assert "task support/billing, by keyword" in run.stdout
    assert "asked: tags a, b" in run.stdout
    shown = CliRunner().invoke(app, ["--store", store, "route", "where is my invoice?", "--format", "json"])
    assert json.loads(shown.stdout)["task"] == "support/billing"
    short = CliRunner().invoke(app, ["--store", store, "route", "--task", "support/billing"])
    assert len(short.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [("--metadata", "plan"), ("--needs", "smell"), ("--latency", "soon"), ("--override", "nobody")],
)
def test_the_command_refuses_what_a_request_may_not_say(store: str, arguments: tuple[str, ...]) -> None:
    """One line and exit code 1, as everywhere."""
    run = CliRunner().invoke(app, ["--store", store, "route", *arguments])
    assert run.exit_code == 1
    assert len(run.stderr.strip().splitlines()) == 1
