"""F16: clients that leave or do not read: the upstream is cut, what came is paid, decisions kept, memory bounded."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from router.upstream.dispatch import Limits
from tests.faults.watching import nothing_left_behind, rss_bytes
from tests.servers.asking import wait_until
from tests.servers.house import House, document, serving, upstreams
from tests.servers.upstream import ROLE, Request, UpstreamServer, Wire, chunk, chunked, event, head

pytestmark = pytest.mark.process
CLIENTS_PER_ROUND = 8
LAG_S = 10.0
"""Ten times the second within which an upstream is to be cut."""
HEAD = head(content_type="text/event-stream") + b"transfer-encoding: chunked\r\n\r\n"


class Writing:
    """Writes a long stream to each client, and remembers when each of them was gone, and what it was given."""

    def __init__(self, piece: bytes, pause_s: float, before_s: float = 0.0) -> None:
        self.ended_s: dict[str, float] = {}
        self.given: dict[str, int] = {}
        self._piece = chunked(piece)
        self._pause_s = pause_s
        self._before_s = before_s

    async def __call__(self, request: Request, wire: Wire) -> None:
        """One stream."""
        user = request.body["user"]
        self.given[user] = 0
        gone = asyncio.ensure_future(wire.gone())
        try:
            await asyncio.wait([gone], timeout=self._before_s)
            if not gone.done():
                await wire.send(HEAD + chunked(ROLE))
            while not gone.done():
                await wire.send(self._piece)
                self.given[user] += len(self._piece)
                await asyncio.wait([gone], timeout=self._pause_s)
        finally:
            gone.cancel()
            self.ended_s[user] = time.monotonic()


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    """One upstream."""
    with upstreams("big") as running:
        yield running["big"]


@pytest.fixture(scope="module")
def house(upstream: UpstreamServer) -> Iterator[House]:
    """A patient house."""
    made = House(document({"big": upstream.url}), Limits())
    yield made
    made.close()


@pytest.fixture(scope="module")
def port(house: House) -> Iterator[int]:
    """Of the house, served."""
    with serving(house) as url:
        yield int(url.rsplit(":", 1)[1].removesuffix("/v1"))


def request_of(user: str) -> bytes:
    """A request for a stream."""
    body = orjson.dumps(
        {"model": "big", "stream": True, "user": user, "messages": [{"role": "user", "content": "hi"}]}
    )
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


async def leave(port: int, user: str, draw: random.Random) -> float:
    """Ask, read for a while or not at all, and leave in a polite or a rude way; returns when."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_of(user))
    await writer.drain()
    if draw.random() < 0.3:
        await asyncio.sleep(draw.random() * 0.3)
    else:
        await asyncio.wait_for(reader.read(draw.choice([1, 300, 3_000])), 20)
    if draw.random() < 0.5:
        writer.transport.abort()
    writer.close()
    return time.monotonic()


@pytest.mark.parametrize("before_s", [0.0, 60.0])
def test_whenever_a_client_leaves_its_upstream_is_cut_and_paid(
    port: int, house: House, upstream: UpstreamServer, rounds: int, before_s: float
) -> None:
    """Before the first piece or within the stream: one row, nobody blamed, an estimate of what came."""
    for turn in range(rounds):
        draw, writing = random.Random(turn), Writing(event(chunk("word ")), 0.01, before_s)
        if before_s:
            draw.random = lambda: 0.0  # type: ignore[method-assign]  # reason: nothing comes that could be read
        upstream.will(writing)
        before = len(house.finished)
        with nothing_left_behind(house):
            users = [f"user-{turn}-{index}" for index in range(CLIENTS_PER_ROUND)]

            async def all_of_them(users: list[str] = users, draw: random.Random = draw) -> list[float]:
                return await asyncio.gather(*(leave(port, user, draw) for user in users))

            left = dict(zip(users, asyncio.run(all_of_them()), strict=True))
            wait_until(lambda before=before: len(house.finished) == before + CLIENTS_PER_ROUND)  # type: ignore[misc]  # reason: bound now
        wait_until(lambda writing=writing: len(writing.ended_s) == len(writing.given))  # type: ignore[misc]  # reason: bound now
        assert all(ended_s - left[user] < LAG_S for user, ended_s in writing.ended_s.items())
        asked = [row for row in house.finished[before:] if row.attempts]
        assert all((row.error, row.cost_estimated) == (None, True) and row.cost_usd for row in asked)
        assert all(row.trail and orjson.loads(row.trail)[-1][1] == "left" for row in asked)
    kept = {row["number"] for row in decisions(house)}
    assert {row.number for row in house.finished} <= kept


def decisions(house: House) -> list[dict[str, Any]]:
    """All decisions of the ledger."""
    house.engine.recorder.flush()
    return list(house.store.export("decisions"))


def test_clients_that_do_not_read_fill_sockets_and_no_memory(
    port: int, house: House, upstream: UpstreamServer, rounds: int
) -> None:
    """Sixteen of them, offered as much as they could take: the upstream is held back, and cut when they leave."""
    writing = Writing(event(chunk("y" * 50_000)), 0.0)
    upstream.will(writing)
    before, memory = len(house.finished), rss_bytes()
    users = [f"slow-{index}" for index in range(16)]

    async def wait_and_leave() -> int:
        writers = []
        for user in users:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
            writer.write(request_of(user))
            writers.append(writer)
        await asyncio.sleep(min(10.0, 1.0 + rounds / 20))
        grown = rss_bytes() - memory
        for writer in writers:
            writer.transport.abort()
        return grown

    with nothing_left_behind(house):
        grown = asyncio.run(wait_and_leave())
        wait_until(lambda: len(house.finished) == before + len(users))
    assert (
        grown < 30_000_000
    )  # what each may hold: 64 kB to the client, 128 kB from the upstream, and its event
    wait_until(lambda: len(writing.ended_s) == len(writing.given))
    assert all(given < 30_000_000 for given in writing.given.values())
    assert all(row.error is None for row in house.finished[before:])
