"""What a request asks of its model, through the gateway: read from the body, from headers, from metadata."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from experiments.definition.experiment import Experiment
from tests.servers.house import House, open_house, serving, upstreams
from tests.servers.upstream import UpstreamServer, answer, status

pytestmark = pytest.mark.process
HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts
PICTURE: Any = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    }
]
TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
PRICE = {"input": 1.0, "output": 2.0}
ABILITIES: dict[str, dict[str, Any]] = {
    "big": {"residency": ["us"], "tags": ["gold"], "languages": ["en"], "latency": "interactive",
            "price": {"input": 100.0, "output": 300.0}},
    "small": {"vision": False, "tools": False, "json_mode": False, "context_tokens": 2_000,
              "residency": ["eu", "us"], "price": PRICE},
    "spare": {"residency": ["eu"], "vision": False, "price": PRICE},
}  # fmt: skip


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """An upstream for each of the three models."""
    with upstreams(*ABILITIES) as running:
        yield running


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """Two models in an experiment on `math`, a third as the fallback of all."""
    models = {
        name: {
            "base_url": servers[name].url,
            "model": f"{name}-upstream",
            "api_key_env": "UPSTREAM_KEY",
            **each,
        }
        for name, each in ABILITIES.items()
    }
    tasks = {
        "math": {},
        "code": {"fallbacks_on": {"error": ["big"]}},
        "thrift": {"max_cost_usd": 0.005, "fallbacks_on": {"error": ["big"]}},
    }
    with open_house({}, models=models, fallbacks=["spare"], tasks=tasks) as opened:
        opened.start(Experiment(name="duel", task="math", candidates=("big", "small"), mode="ab"))
        yield opened


@pytest.fixture
def client(house: House, servers: dict[str, UpstreamServer]) -> Iterator[openai.OpenAI]:
    """The official client on a real server; the upstreams behave well again."""
    for server in servers.values():
        server.will(answer())
        server.requests.clear()
    with (
        serving(house) as url,
        openai.OpenAI(base_url=url, api_key="pk", max_retries=0, timeout=10) as opened,
    ):
        yield opened


def served(client: openai.OpenAI, **options: Any) -> tuple[str, str]:
    """Model and reason of one answer."""
    got = client.chat.completions.with_raw_response.create(
        **{"model": "task/math", "messages": HELLO, **options}
    )
    return got.parse().model, got.headers["x-pointsman-reason"]


@pytest.mark.parametrize(
    "options",
    [
        {"messages": PICTURE},
        {"tools": TOOLS},
        {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "user", "content": "word " * 3_000}]},
        {"max_completion_tokens": 2_000},
    ],
)
def test_what_the_body_carries_keeps_a_request_from_a_candidate_that_cannot_take_it(
    client: openai.OpenAI, options: dict[str, Any]
) -> None:
    """Pictures, tools, JSON mode and length are read from the request; no client need declare them."""
    assert {served(client, **options) for _ in range(8)} == {("big", "ineligible")}


def test_a_plain_request_takes_part(client: openai.OpenAI) -> None:
    """Abilities cost the experiment nothing but what they must."""
    assert {served(client) for _ in range(24)} == {("big", "experiment"), ("small", "experiment")}


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("residency", "EU", ("spare", "ineligible")),
        ("max-cost", "0.005", ("spare", "ineligible")),
        ("latency", "batch", ("spare", "ineligible")),
        ("language", "de-AT", ("spare", "ineligible")),
        ("tags", "gold, vip", ("spare", "ineligible")),
    ],
)
def test_hints_by_header_and_by_metadata_say_the_same(
    client: openai.OpenAI, header: str, value: str, expected: tuple[str, str]
) -> None:
    """The champion lacks what is asked in each of them; the first fallback that has it serves."""
    assert served(client, extra_headers={f"x-pointsman-{header}": value}) == expected
    assert served(client, metadata={header.replace("-", "_"): value}) == expected


def test_nothing_that_is_asked_for_is_lost_on_the_way_to_a_fallback(
    client: openai.OpenAI, servers: dict[str, UpstreamServer]
) -> None:
    """Data that must stay in the EU stays there when its model is down: an error, not a transfer."""
    servers["small"].will(status(500))
    servers["spare"].will(status(500))
    with pytest.raises(openai.InternalServerError):
        served(client, model="small", extra_headers={"x-pointsman-residency": "eu"})
    assert not servers["big"].requests
    with pytest.raises(openai.InternalServerError):
        served(client, model="task/code", extra_headers={"x-pointsman-residency": "eu"})
    assert servers["spare"].requests
    assert not servers["big"].requests


def test_a_tasks_ceiling_holds_for_models_that_only_a_cause_names(
    client: openai.OpenAI, servers: dict[str, UpstreamServer]
) -> None:
    """The dear model is named for errors, and would cost thirty times what a request of the task may."""
    servers["spare"].will(status(500))
    with pytest.raises(openai.InternalServerError):
        served(client, model="task/thrift")
    assert servers["spare"].requests
    assert not servers["big"].requests
    with pytest.raises(openai.BadRequestError, match=r"max_cost_usd 0.005 of task thrift"):
        served(client, model="task/thrift", max_tokens=10_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"messages": PICTURE, "extra_headers": {"x-pointsman-residency": "eu"}}, "lacks vision"),
        ({"model": "small", "tools": TOOLS}, "model 'small' lacks tools"),
        ({"extra_headers": {"x-pointsman-max-cost": "0.000001"}}, "max_cost"),
        ({"extra_headers": {"x-pointsman-max-cost": "cheap"}}, "max_cost must be"),
        ({"extra_headers": {"x-pointsman-latency": "soon"}}, "interactive, batch"),
        ({"metadata": {"tags": "a b"}}, "tags"),
    ],
)
def test_a_request_that_nobody_can_serve_is_refused_with_what_is_missing(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], options: dict[str, Any], words: str
) -> None:
    """400 with the ability or the hint's name, before any upstream is called."""
    with pytest.raises(openai.BadRequestError, match=words):
        served(client, **options)
    assert not any(server.requests for server in servers.values())
