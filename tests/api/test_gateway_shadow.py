"""Mode shadow at the gateway: the client gets the control's answer and never waits for a copy."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from experiments.definition.experiment import Experiment
from router.clock import machine_clock
from router.steering.control import Control
from router.upstream import shadow
from router.upstream.shadow import Shadows
from tests.servers.house import House, open_house, serving
from tests.servers.upstream import Request, Script, UpstreamServer, Wire, answer, status, waiting
from tests.servers.whole import serving_whole

pytestmark = pytest.mark.process
HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts
TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


class Scene:
    """A served gateway with an experiment in mode shadow, and what became of its copies."""

    def __init__(self, house: House, client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
        self.house = house
        self.client = client
        self.servers = servers
        self.fates: Counter[str] = Counter()
        self.shadows = Shadows(house.engine, house.dispatcher, lambda fate: self.fates.update([fate]))

    def ask(self, **more: Any) -> Any:
        """One chat request of the shadowed task."""
        return self.client.chat.completions.with_raw_response.create(
            model="task/math", messages=HELLO, **more
        )

    def until(self, count: int) -> Counter[str]:
        """The fates once so many copies have met theirs."""
        assert eventually(lambda: sum(self.fates.values()) >= count), self.fates
        return self.fates

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Rows of the ledger."""
        self.house.engine.recorder.flush()
        return list(self.house.store.export(kind))


def eventually(true: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    until = time.monotonic() + within_s
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


@pytest.fixture
def scene(servers: dict[str, UpstreamServer], request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A gateway whose task `math` is shadowed; a test may give the day's money as parameter."""
    limit_usd = getattr(request, "param", 100.0)
    for server in servers.values():
        server.will(answer())
        server.requests.clear()
    with open_house({name: server.url for name, server in servers.items()}) as house:
        house.start(
            Experiment(
                name="probe",
                task="math",
                candidates=("big", "small"),
                mode="shadow",
                shadow_usd_per_day=limit_usd,
            )
        )
        with serving(house) as url, openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
            scene = Scene(house, client, servers)
            yield scene
            assert house.loop is not None
            asyncio.run_coroutine_threadsafe(scene.shadows.close(), house.loop).result(10)


def test_a_copy_is_asked_of_the_candidate_and_paired_in_the_ledger(scene: Scene) -> None:
    """The client's reply is the control's; the copy has a decision, a cost and a pair of its own."""
    got = scene.ask(tools=TOOLS, user="ada")
    assert got.parse().model == "big"
    assert (got.headers["x-pointsman-candidate"], got.headers["x-pointsman-propensity"]) == ("big", "1")
    assert scene.until(1) == {"paired": 1}
    (copied,) = scene.servers["small"].requests
    assert (copied.body["messages"], copied.body["model"]) == (HELLO, "small-upstream")
    assert copied.body["tools"] == TOOLS
    served, copy = sorted(scene.rows("calls"), key=lambda row: row["number"])
    assert (served["arm"], copy["arm"], copy["served_model"]) == (0, 1, "small")
    assert copy["cost_usd"] == pytest.approx((100 * 1 + 20 * 2) / 1e6)
    pair = {row["metric"]: row["value"] for row in scene.rows("feedback")}
    assert pair.keys() == {"pair_error", "pair_latency_ln", "pair_cost_usd"}
    assert (pair["pair_error"], pair["pair_cost_usd"]) == (0.0, served["cost_usd"])
    assert {row["state"] for row in scene.rows("feedback")} == {"applied"}


def test_a_stream_is_copied_too_and_read_to_its_end(scene: Scene) -> None:
    """What a streamed answer costs is known at its end only."""
    got = scene.client.chat.completions.create(model="task/math", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got if chunk.choices) == "four"
    assert scene.until(1) == {"paired": 1}
    (copied,) = scene.servers["small"].requests
    assert copied.body["stream"] is True
    copy = max(scene.rows("calls"), key=lambda row: row["number"])
    assert (copy["error"], copy["input_tokens"], copy["output_tokens"]) == (None, 100, 20)


def slow(seconds: float) -> Script:
    """Answer after a while."""

    async def script(request: Request, wire: Wire) -> None:
        await asyncio.sleep(seconds)
        await answer()(request, wire)

    return script


def test_a_slow_candidate_delays_no_client(scene: Scene) -> None:
    """A second of the candidate's time is no millisecond of the client's: it is answered before any copy is."""
    scene.servers["small"].will(slow(1.0))
    started = time.monotonic()
    for _ in range(4):
        scene.ask()
    took_s = time.monotonic() - started
    assert scene.until(4) == {"paired": 4}
    assert took_s < 4.0, "four requests that wait for their copies take four seconds"


def test_a_failing_candidate_is_an_error_of_its_own_and_falls_back_to_nobody(scene: Scene) -> None:
    """The control is a fallback's business elsewhere; a copy is about this candidate alone."""
    scene.servers["small"].will(status(500))
    assert scene.ask().parse().model == "big"
    assert scene.until(1) == {"paired": 1}
    assert len(scene.servers["big"].requests) == 1
    copy = max(scene.rows("calls"), key=lambda row: row["number"])
    assert (copy["error"], copy["served_model"]) == ("upstream_5xx", "small")
    assert {row["metric"]: row["value"] for row in scene.rows("feedback")} == {"pair_error": 1.0}


@pytest.mark.parametrize("scene", [0.0005], indirect=True)
def test_copies_end_where_the_days_money_ends(scene: Scene) -> None:
    """0.0005 dollars pay for four copies of 0.00014 each; clients are served on."""
    for count in range(1, 9):
        assert scene.ask().parse().model == "big"
        scene.until(count)
    assert scene.fates == {"paired": 4, "budget": 4}
    assert len(scene.servers["small"].requests) == 4


def test_what_is_too_much_to_copy_is_left_out_and_counted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded queue is what keeps a slow candidate from filling the memory."""
    monkeypatch.setattr(shadow, "MOST_WAITING", 2)
    scene.servers["small"].will(slow(2.0))
    for _ in range(shadow.AT_ONCE + 6):
        scene.ask()
    fates = scene.until(shadow.AT_ONCE + 6)
    assert fates["full"] >= 1
    assert fates["full"] + fates["paired"] == shadow.AT_ONCE + 6


def test_a_stopped_experiment_is_copied_no_more(scene: Scene) -> None:
    """Its traffic goes on, its spending does not."""
    Control(scene.house.store, machine_clock).stop("probe", "test", "enough")
    scene.house.engine.refresh()
    assert scene.ask().headers["x-pointsman-reason"] == "champion"
    time.sleep(0.2)
    assert not scene.servers["small"].requests


def test_other_tasks_are_not_copied(scene: Scene) -> None:
    """Only the shadowed task's requests, and no pinned ones."""
    scene.client.chat.completions.create(model="task/support", messages=HELLO)
    scene.client.chat.completions.create(model="big", messages=HELLO)
    time.sleep(0.2)
    assert not scene.servers["small"].requests
    assert not scene.fates


def test_a_shutdown_cuts_the_copies_under_way(scene: Scene) -> None:
    """Nobody waits for an answer that nobody reads."""

    async def never(request: Request, wire: Wire) -> None:
        return

    scene.servers["small"].will(waiting(never))
    scene.ask()
    assert eventually(lambda: len(scene.servers["small"].requests) == 1)
    assert scene.house.loop is not None
    started = time.monotonic()
    asyncio.run_coroutine_threadsafe(scene.shadows.close(), scene.house.loop).result(20)
    assert time.monotonic() - started < 10
    assert not scene.fates


def test_a_whole_server_copies_counts_and_reports(servers: dict[str, UpstreamServer], tmp_path: Path) -> None:
    """From the file to the metrics and the report, through the processes that users run."""
    for server in servers.values():
        server.will(answer())
        server.requests.clear()
    price = {"input": 1.0, "output": 2.0}
    config = {
        "models": {name: {"base_url": server.url, "price": price} for name, server in servers.items()},
        "default": "big",
        "tasks": {"math": {}},
        "experiments": {
            "probe": {
                "task": "math",
                "candidates": ["big", "small"],
                "mode": "shadow",
                "shadow_usd_per_day": 1.0,
            }
        },
    }
    with serving_whole(tmp_path, json.dumps(config)) as whole:
        status_code, _ = whole.ask("POST", "/v1/experiments/probe/start", {"why": "test"})
        assert status_code == 200
        body = {"model": "task/math", "messages": HELLO}

        def copied() -> bool:
            assert whole.ask("POST", "/v1/chat/completions", body)[0] == 200
            metrics = str(whole.ask("GET", "/metrics")[1])
            return 'pointsman_copies_total{fate="paired"} 0' not in metrics

        assert eventually(copied)
        assert {request.body["model"] for request in servers["small"].requests} == {"small"}

        def reported() -> bool:
            status_code, report = whole.ask("GET", "/v1/experiments/probe/report")
            return status_code == 200 and bool(report.get("shadow")) and report["shadow"][0]["asked"] > 0

        assert eventually(reported)
        status_code, refusal = whole.ask(
            "POST", "/v1/experiments/probe/promote", {"why": "x", "candidate": "small"}
        )
        assert "mode shadow promotes nobody" in json.dumps(refusal)
        assert status_code == 409
