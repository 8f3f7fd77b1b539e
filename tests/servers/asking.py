"""Short ways to ask a house for answers and streams, without a server between."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from router.deciding.choose import Decision
from router.errors import UpstreamFailed
from router.upstream.chat import read_chat
from router.upstream.dispatch import Answer, Limits
from tests.servers.house import House, open_house
from tests.servers.upstream import UpstreamServer, answer

QUICK = Limits(connect_s=0.5, first_chunk_s=0.4, idle_s=0.3)
COST = {"big": (100 * 10 + 20 * 30) / 1e6, "small": (100 * 1 + 20 * 2) / 1e6}
"""Of an answer with the usual usage, by the models' prices."""


@contextmanager
def quick_house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """A gateway's inside over upstreams that behave well at first."""
    for server in servers.values():
        server.will(answer())
        server.requests.clear()
        server.left_after_s.clear()
    with open_house({name: server.url for name, server in servers.items()}, QUICK) as opened:
        yield opened


def ask(house: House, model: str = "auto", **fields: Any) -> Answer:
    """One whole answer."""
    chat = read_chat(
        orjson.dumps({"model": model, "messages": [{"role": "user", "content": "2+2?"}], **fields})
    )
    return house.run(house.dispatcher.answer(house.engine.route(chat.route), chat))


def failure(house: House, model: str = "auto", **fields: Any) -> UpstreamFailed:
    """The error of a request that no model answers."""
    with pytest.raises(UpstreamFailed) as caught:
        ask(house, model, **fields)
    return caught.value


def ask_stream(house: House, model: str = "auto", **fields: Any) -> tuple[list[Any], Decision]:
    """The events of a stream (`"[DONE]"` as itself) and its decision."""
    body = {"model": model, "messages": [{"role": "user", "content": "2+2?"}], "stream": True, **fields}
    chat = read_chat(orjson.dumps(body))
    decision = house.engine.route(chat.route)

    async def read_all() -> bytes:
        relay = await house.dispatcher.stream(decision, chat)
        pieces = []
        while not relay.over:
            pieces.append(await relay.read())
        await relay.close()
        return b"".join(pieces)

    text = house.run(read_all())
    events = [part.removeprefix(b"data: ") for part in text.split(b"\n\n") if part]
    return ["[DONE]" if part == b"[DONE]" else orjson.loads(part) for part in events], decision


def only_call(house: House) -> dict[str, Any]:
    """The one call row there must be."""
    calls = house.calls()
    assert len(calls) == len(house.finished) == 1
    return calls[0]


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + 5
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert happened()
