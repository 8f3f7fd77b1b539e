"""A policy through the gateway: who answers, what the reply says, what it costs, and what a fallback changes."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from experiments.definition.experiment import Experiment
from tests.servers.asking import COST
from tests.servers.house import House, open_house, serving
from tests.servers.oracle import Oracle
from tests.servers.upstream import UpstreamServer, answer, status

pytestmark = pytest.mark.process
TAKES_SMALL = json.dumps({"model": "small", "success": {"small": 0.8}}).encode()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """A policy's server: short words are easy."""
    made = Oracle(TAKES_SMALL)
    made.answer = lambda asked: (200, TAKES_SMALL if "easy" in asked["text"] else b'{"model": "big"}')
    yield made
    made.stop()


@pytest.fixture
def house(servers: dict[str, UpstreamServer], oracle: Oracle) -> Iterator[House]:
    """The large model against the policy on `math`; each is the other's fallback."""
    for server in servers.values():
        server.will(answer())
        server.requests.clear()
    policy = {
        "chooses": ["small", "big"],
        "otherwise": "big",
        "ask": {"url": oracle.url, "deadline_ms": 2_000},
    }
    urls = {name: server.url for name, server in servers.items()}
    with open_house(
        urls, policies={"smart": policy}, tasks={"math": {"fallbacks": ["small", "big"]}}
    ) as opened:
        opened.start(Experiment(name="duel", task="math", candidates=("big", "smart"), mode="ab"))
        yield opened


@pytest.fixture
def client(house: House) -> Iterator[openai.OpenAI]:
    """The official client on a real server."""
    with (
        serving(house) as url,
        openai.OpenAI(base_url=url, api_key="pk", max_retries=0, timeout=10) as opened,
    ):
        yield opened


def of_policy(client: openai.OpenAI, text: str, **options: Any) -> Any:  # reason: the client's raw response
    """An answer of the policy's arm."""
    for _ in range(60):
        got = client.chat.completions.with_raw_response.create(
            model="task/math", messages=[{"role": "user", "content": text}], **options
        )
        if got.headers["x-pointsman-candidate"] == "smart":
            return got
    raise AssertionError("no draw named the policy")


def test_the_chosen_model_answers_and_is_paid_under_the_policys_name(
    client: openai.OpenAI, house: House
) -> None:
    """`model` is who answered, the candidate is the policy, the cost is the chosen model's."""
    for text, model in (("an easy one", "small"), ("a hard one", "big")):
        got = of_policy(client, text)
        assert got.parse().model == model
        assert float(got.headers["x-pointsman-cost"]) == pytest.approx(COST[model])
        assert "x-pointsman-fallback-from" not in got.headers
    calls = [row for row in house.calls() if row["arm"] == 1]
    assert {row["served_model"] for row in calls} == {"small", "big"}
    assert {row["diverted"] for row in calls} == {False}
    kept = [row for row in house.store.export("decisions") if row["arm"] == 1]
    assert {(row["model"], row["predicted"]) for row in kept} == {("small", 0.8), ("big", None)}


def test_a_fallback_is_no_longer_what_the_policy_chose(
    client: openai.OpenAI, house: House, servers: dict[str, UpstreamServer]
) -> None:
    """It is charged to the policy, and does not count as served as assigned."""
    servers["small"].will(status(500))
    got = of_policy(client, "an easy one")
    assert got.parse().model == "big"
    assert got.headers["x-pointsman-fallback-from"] == "small"
    calls = [row for row in house.calls() if row["arm"] == 1]
    assert [(row["served_model"], row["diverted"]) for row in calls] == [("big", True)]


def test_a_policy_may_be_named_in_place_of_a_model_and_is_listed(client: openai.OpenAI) -> None:
    """Pinned, it chooses, outside every experiment."""
    assert "smart" in [each.id for each in client.models.list()]
    got = client.chat.completions.with_raw_response.create(
        model="smart", messages=[{"role": "user", "content": "an easy one"}]
    )
    assert (got.parse().model, got.headers["x-pointsman-reason"]) == ("small", "override")


def test_streams_are_served_by_the_choice_too(client: openai.OpenAI, house: House) -> None:
    """The decision is the same, however the answer is sent."""
    for _ in range(8):
        chunks = list(
            client.chat.completions.create(
                model="task/math", messages=[{"role": "user", "content": "an easy one"}], stream=True
            )
        )
        assert chunks
    house.engine.recorder.flush()
    served = {(row["arm"], row["model"]) for row in house.store.export("decisions")}
    assert served <= {(0, "big"), (1, "small")}
