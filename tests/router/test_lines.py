"""Lines at a limit: bounded, left at once by whoever goes away, and no burden on those who do not wait."""

import asyncio
import time

import httpx
import orjson
import pytest

from router.availability.lines import Lines
from router.upstream.dispatch import Answer
from tests.router.pursuing import Servers
from tests.router.waiters import NOON_MS, QUEUE, Waiters, asked_of
from tests.servers.asking import QUICK
from tests.servers.house import House, document, serving

UPSTREAMS = ("big", "small")


class Leaving:
    """A client that leaves when it is told to."""

    gone = False


def test_a_client_that_leaves_is_taken_out_and_nobody_is_asked_for_it(servers: Servers) -> None:
    """In the middle of the line and at its head; the model is not blamed."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue=QUEUE)

    async def story() -> Answer:
        await waiters.ask("first")
        clients = [Leaving(), Leaving(), Leaving()]
        queued = []
        for place, client in enumerate(clients):
            queued.append(waiters.ask(str(place), presence=client))
            await waiters.in_line(place + 1)
        clients[1].gone = True
        await waiters.in_line(2)
        clients[0].gone = True
        await waiters.in_line(1)
        waiters.next_minute()
        last = await queued[2]
        await asyncio.gather(*queued[:2], return_exceptions=True)
        return last

    assert waiters.run(story()).model == "big"
    assert asked_of(servers["big"]) == ["first", "2"]
    left = [row for row in waiters.house.finished if row.attempts == 0]
    assert [(row.error, orjson.loads(row.trail)[-1][1]) for row in left] == [(None, "left")] * 2


def test_a_request_that_is_cancelled_leaves_its_place(servers: Servers) -> None:
    """As the stream of a client that left is."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue=QUEUE)

    async def story() -> Answer:
        await waiters.ask("first")
        head, second = waiters.ask("head"), waiters.ask("second")
        await waiters.in_line(2)
        asyncio.ensure_future(head).cancel()
        await waiters.in_line(1)
        waiters.next_minute()
        return await second

    assert waiters.run(story()).model == "big"
    assert asked_of(servers["big"]) == ["first", "second"]


def test_lines_are_bounded_by_number_and_by_bytes() -> None:
    """Of a worker, all lines together."""

    async def story() -> list[bool]:
        lines = Lines(time.monotonic, most_waiting=3, most_bytes=100)
        never = time.monotonic() + 60
        joined = [
            lines.of("a").join(40, 9, never, lambda: False),
            lines.of("b").join(40, 9, never, lambda: False),
        ]
        too_big = lines.of("a").join(40, 9, never, lambda: False)
        third = lines.of("a").join(1, 9, never, lambda: False)
        fourth = lines.of("c").join(1, 9, never, lambda: False)
        assert joined[0] is not None
        joined[0].leave()
        joined[0].leave()
        again = lines.of("c").join(40, 9, never, lambda: False)
        return [place is not None for place in (*joined, too_big, third, fourth, again)]

    assert asyncio.run(story()) == [True, True, False, True, False, True]


@pytest.mark.process
def test_requests_that_wait_leave_the_door_open(servers: Servers) -> None:
    """They use no upstream, so they do not count among the requests that a worker has under way."""
    config = document({name: server.url for name, server in servers.items()}, queue=QUEUE)
    config["models"]["big"] |= {"limits": {"rpm": 1}}
    house = House(config, QUICK)
    house.dispatcher._quotas._clock = lambda: NOON_MS
    body = {"model": "auto", "messages": [{"role": "user", "content": "2+2?"}]}

    async def story(url: str) -> tuple[list[int], int]:
        async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(30):
            path = f"{url}/chat/completions"
            assert (await client.post(path, json=body)).status_code == 200
            waiting = []
            for place in range(1, 7):  # one after another: three that come at once are one too many
                batch = client.post(path, json=body, headers={"x-pointsman-latency": "batch"})
                waiting.append(asyncio.ensure_future(batch))
                while house.dispatcher.waiting < place:
                    await asyncio.sleep(0.01)
            statuses = [(await client.post(path, json=body)).status_code for _ in range(2)]
            for each in waiting:
                each.cancel()
            while house.dispatcher.waiting:
                await asyncio.sleep(0.01)
        return statuses, house.dispatcher.waiting

    try:
        with serving(house, max_in_flight=2, finish_s=0.5) as url:
            assert asyncio.run(story(url)) == ([200, 200], 0)
    finally:
        house.close()
