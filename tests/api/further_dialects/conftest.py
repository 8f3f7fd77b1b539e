"""Upstreams that speak Gemini's and Bedrock's own APIs behind one gateway."""

from collections.abc import Iterator

import openai
import pytest

from experiments.definition.experiment import Experiment
from router.availability.fleet import Fleet
from router.clock import machine_clock
from router.steering.control import Control
from tests.api.further_dialects.speeches import LIMITS, PRICE, SPEECHES
from tests.servers.house import House, document, serving, upstreams
from tests.servers.upstream import UpstreamServer, answer


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """An upstream of each dialect; `small` speaks OpenAI's."""
    with upstreams("gemini", "bedrock", "small") as running:
        yield running


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine with a task for each, both with `small` as their fallback, and an experiment of all three."""
    config = document({name: server.url for name, server in servers.items()}, default="small")
    for speech in SPEECHES:
        own = {"dialect": speech.name, "provider": speech.provider, "price": PRICE}
        config["models"][speech.name] |= own
        config["tasks"][f"by-{speech.name}"] = {
            "fallbacks": ["small"],
            "timeout_s": 3.0,
        }
    config["tasks"]["math"] = {"default": "small", "fallbacks": []}
    opened = House(config, LIMITS)
    for speech in SPEECHES:
        Control(opened.store, machine_clock).set_route(f"by-{speech.name}", speech.name, "test")
    candidates = ("small", "gemini", "bedrock")
    opened.start(Experiment(name="duel", task="math", candidates=candidates, mode="ab"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def url(house: House) -> Iterator[str]:
    """The gateway on a real server."""
    with serving(house, finish_s=1.0) as base_url:
        yield base_url


@pytest.fixture
def client(url: str, servers: dict[str, UpstreamServer], house: House) -> Iterator[openai.OpenAI]:
    """The official client; the upstreams behave well again."""
    for speech in SPEECHES:
        servers[speech.name].will(speech.well())
    servers["small"].will(answer())
    house.dispatcher.fleet = Fleet()
    for server in servers.values():
        server.requests.clear()
        server.left_after_s.clear()
    with openai.OpenAI(base_url=url, api_key="pk-client", max_retries=0, timeout=10) as opened:
        yield opened
