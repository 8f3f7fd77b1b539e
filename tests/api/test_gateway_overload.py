"""More requests than a worker can carry: the ones it takes are answered, the others hear so at once."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import openai
import orjson
import pytest

from tests.servers.house import House, open_house, serving, upstreams
from tests.servers.upstream import Request, UpstreamServer, Wire, answer

pytestmark = pytest.mark.process
LIMIT = 8
BODY = orjson.dumps({"model": "big", "messages": [{"role": "user", "content": "hello"}]})


class Thinking:
    """A model that thinks for a moment, and counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def __call__(self, request: Request, wire: Wire) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.04)
        await answer()(request, wire)
        self.now -= 1


THINKING = Thinking()


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    """One slow upstream."""
    with upstreams("big") as running:
        running["big"].will(THINKING)
        yield running["big"]


@pytest.fixture(scope="module")
def house(upstream: UpstreamServer) -> Iterator[House]:
    """A gateway's inside."""
    with open_house({"big": upstream.url}) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(house: House) -> Iterator[str]:
    """A server that carries eight requests at a time."""
    with serving(house, max_in_flight=LIMIT) as base_url:
        yield base_url


async def load(url: str, clients: int, seconds: float) -> Counter[int]:
    """Answers by status that so many clients get, each asking again as soon as it has heard."""
    statuses: Counter[int] = Counter()
    ends_s = time.monotonic() + seconds

    async def ask(client: httpx.AsyncClient) -> None:
        while time.monotonic() < ends_s:
            reply = await client.post(f"{url}/chat/completions", content=BODY)
            statuses[reply.status_code] += 1
            if reply.status_code == 503:
                assert reply.headers["retry-after"] == "1"
                await asyncio.sleep(0.02)

    async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=None)) as client:
        await asyncio.gather(*(ask(client) for _ in range(clients)))
    return statuses


def test_at_three_times_the_load_the_door_holds_and_the_room_stays_full(url: str, house: House) -> None:
    """Those who are let in are served as if there were no crowd; the others are told at once, and counted."""
    crowd = asyncio.run(load(url, 3 * LIMIT, 1.5))
    assert crowd.keys() == {200, 503}
    assert THINKING.most == LIMIT
    assert house.dispatcher.fleet.counts["shed"] == crowd[503]


def test_a_refused_request_is_an_error_that_official_clients_retry(url: str, house: House) -> None:
    """503 in OpenAI's shape; nothing was decided, so nothing is charged to anybody."""
    before = len(house.calls())

    async def crowd() -> list[object]:
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            asking = [
                client.chat.completions.create(model="big", messages=[{"role": "user", "content": "x"}])
                for _ in range(3 * LIMIT)
            ]
            return list(await asyncio.gather(*asking, return_exceptions=True))

    got = asyncio.run(crowd())
    refused = [each for each in got if isinstance(each, openai.InternalServerError)]
    assert refused
    assert {each.status_code for each in refused} == {503}
    assert {each.code for each in refused} == {"overloaded"}
    assert len(house.calls()) - before == len(got) - len(refused)
