"""The plan over HTTP: of drafts and of running experiments, without statistics in the worker."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.verdict.progress import Progress
from router.clock import machine_clock
from router.steering.forecast import forecast
from router.steering.planner import Planner
from tests.servers.front import Front, open_front

ROOT = Path(__file__).parents[2]
BODY = {"name": "cheaper", "task": "support", "candidates": ["big", "small"], "unit": "user"}


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front() as opened:
        yield opened


def tick(front: Front) -> None:
    """One round of the planner that a server runs beside its workers."""
    assert Planner(front.store, "planner", machine_clock).run_once()


def local(front: Front, units_per_day: float | None = None) -> object:
    """What the command computes beside the ledger."""
    return json.loads(json.dumps(asdict(forecast(front.store, "cheaper", units_per_day, machine_clock()))))


def test_a_draft_has_its_plan_before_the_start(front: Front) -> None:
    """Whoever starts an experiment asks first how long it takes."""
    front.post("/v1/experiments", BODY)
    waiting = front.get("/v1/experiments/cheaper/power")
    assert (waiting.status, waiting.code) == (404, "not_found")
    assert "next tick" in waiting.json["error"]["message"]
    tick(front)
    found = front.get("/v1/experiments/cheaper/power")
    assert found.status == 200
    assert found.json == local(front)
    assert found.json["answer"] == "traffic_unknown"
    assert front.get("/v1/experiments/cheaper/report").status == 404  # a plan is no report


@pytest.mark.parametrize("units_per_day", [5.0, 5_000.0, 1e6])
def test_a_given_traffic_turns_units_into_days(front: Front, units_per_day: float) -> None:
    """The same answer as beside the ledger, digit by digit, at any traffic."""
    front.post("/v1/experiments", BODY)
    tick(front)
    found = front.get(f"/v1/experiments/cheaper/power?units_per_day={units_per_day}").json
    assert found == local(front, units_per_day)
    assert found["units_per_day"] == units_per_day
    assert found["answer"] == ("not_enough_traffic" if units_per_day == 5 else "enough")


def test_a_running_experiment_keeps_its_plan_with_the_report(front: Front) -> None:
    """The report's reader sees it without asking."""
    front.post("/v1/experiments", BODY)
    tick(front)
    front.post("/v1/experiments/cheaper/start")
    assert front.get("/v1/experiments/cheaper/power").status == 200  # the draft's, until the first look
    tick(front)
    shown = front.get("/v1/experiments/cheaper/report").json["plan"]
    assert front.get("/v1/experiments/cheaper/power").json == shown == local(front)
    text = front.get("/v1/experiments/cheaper/report?format=text").body.decode()
    assert shown["sentence"].split(";")[0] in text


def test_lists_and_the_overview_say_when_a_verdict_is_likely(front: Front) -> None:
    """And which experiments are discoveries among all that run."""
    front.post("/v1/experiments", BODY)
    tick(front)
    draft = front.get("/v1/experiments").json["experiments"][0]
    assert (draft["plan"], draft["discovery"]) == (
        front.get("/v1/experiments/cheaper/power").json["sentence"],
        None,
    )
    front.post("/v1/experiments/cheaper/start")
    tick(front)
    running = front.get("/v1/experiments/cheaper").json
    assert (running["plan"], running["discovery"]) == (draft["plan"], False)
    assert running == front.get("/v1/experiments").json["experiments"][0]
    assert draft["plan"].split(";")[0] in front.get("/").body.decode()
    front.post("/v1/experiments/cheaper/stop")
    ended = front.get("/v1/experiments/cheaper").json
    assert (ended["plan"], ended["discovery"]) == (None, None)


def test_the_overview_marks_a_discovery(front: Front) -> None:
    """A look at the overview is where many experiments are seen at once."""
    front.post("/v1/experiments", BODY)
    front.post("/v1/experiments/cheaper/start")
    row = front.control.experiment("cheaper")
    lease = front.store.acquire_lease("planner", "test", machine_clock(), 10_000)
    assert lease is not None
    front.store.put_progress(row.id, Progress(e_value=1e4).dumps(), lease, machine_clock())
    assert front.get("/v1/experiments/cheaper").json["discovery"] is True
    assert "a discovery among all that run" in front.get("/").body.decode()


def test_a_draft_that_is_stopped_leaves_no_report(front: Front) -> None:
    """Its plan is not evidence and is not frozen as such."""
    front.post("/v1/experiments", BODY)
    tick(front)
    assert front.post("/v1/experiments/cheaper/stop").status == 200
    assert front.get("/v1/experiments/cheaper/report").status == 404
    assert front.get("/v1/experiments").json["experiments"][0]["verdict"] is None


@pytest.mark.parametrize("wrong", ["0", "-3", "nan", "inf", "1e13", "many"])
def test_impossible_traffic_is_refused(front: Front, wrong: str) -> None:
    """By its field, as everywhere."""
    front.post("/v1/experiments", BODY)
    tick(front)
    answer = front.get(f"/v1/experiments/cheaper/power?units_per_day={wrong}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["error"]["param"] == "units_per_day"


def test_an_unknown_experiment_and_a_key_without_the_scope_are_refused(front: Front) -> None:
    """It reads, so it needs `view`."""
    assert front.get("/v1/experiments/nope/power").status == 404
    front.key = front.add_key("app", "traffic", "feedback")
    assert front.get("/v1/experiments/cheaper/power").status == 403


def test_the_endpoint_needs_no_statistics() -> None:
    """Workers answer in 110 MB: the planner has done the reckoning."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, router.steering.planned; "
         "print(sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'scipy', 'statsmodels'}))"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert found.stdout == "[]\n"
