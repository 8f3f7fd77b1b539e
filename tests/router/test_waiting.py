"""Batch requests at a limit: they wait for room in order, against real servers, and nobody else waits for them."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from router.availability.lines import LOOK_S, Lines
from router.availability.quotas import MINUTE_MS, Need, Quotas, Rule, Ticket
from router.errors import UpstreamFailed
from router.upstream.chat import read_chat
from router.upstream.dispatch import Answer
from storage.memory.store import MemoryStore
from tests.servers.asking import QUICK, ask
from tests.servers.house import PRICES, House, document, serving, upstreams
from tests.servers.upstream import UpstreamServer, answer, status

NOON_MS = 20_000 * 86_400_000 + 43_200_000
QUEUE = {"wait_s": 20, "longest": 100}
BATCH = ((b"x-pointsman-latency", b"batch"),)
Servers = dict[str, UpstreamServer]


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    """Two upstreams."""
    with upstreams("big", "small") as servers:
        yield servers


@pytest.fixture
def servers(running: Servers) -> Servers:
    """The same, well-behaved at first."""
    for server in running.values():
        server.will(answer())
        server.requests.clear()
    return running


class Waiters:
    """A house whose `big` has limits, its clock, and ways to ask it at once."""

    def __init__(self, servers: Servers, big: dict[str, Any], **task: Any) -> None:
        config = document({name: server.url for name, server in servers.items()})
        config["models"]["big"] |= big
        config["tasks"]["math"] = task
        self.house = House(config, QUICK)
        self.now_ms = NOON_MS
        self.house.dispatcher._quotas._clock = lambda: self.now_ms

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, where it is not 0."""
        return {str(kind): count for kind, count in self.house.dispatcher.fleet.counts.items() if count}

    def ask(
        self, content: str = "2+2?", batch: bool = True, model: str = "task/math", presence: Any = None
    ) -> Awaitable[Answer]:
        """One request, on its way."""
        body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": content}]})
        call = read_chat(body, BATCH if batch else ())
        decision = self.house.engine.route(call.route)
        asked = self.house.dispatcher.answer(decision, call, *([] if presence is None else [presence]))
        return asyncio.ensure_future(asked)

    def run(self, story: Any) -> Any:
        """Run a story and close the house."""
        try:
            return self.house.run(story)
        finally:
            self.house.close()

    async def in_line(self, many: int) -> None:
        """Wait until so many requests wait."""
        async with asyncio.timeout(5):
            while self.house.dispatcher.waiting != many:
                await asyncio.sleep(0.01)

    def next_minute(self) -> None:
        """The limits begin anew."""
        self.now_ms += MINUTE_MS


def asked_of(server: UpstreamServer) -> list[str]:
    """What a server was asked, in order."""
    return [request.body["messages"][0]["content"] for request in server.requests]


def test_a_batch_request_waits_for_the_next_minute_while_others_move_on(servers: Servers) -> None:
    """Its answer is by the model that was decided; an interactive one is answered by the fallback at once."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue=QUEUE)

    async def story() -> tuple[Answer, Answer, float]:
        await waiters.ask("first")
        queued = waiters.ask("queued")
        await waiters.in_line(1)
        began_s = time.monotonic()
        other = await waiters.ask("other", batch=False)
        took_s = time.monotonic() - began_s
        await asyncio.sleep(0.5)
        waiters.next_minute()
        return await queued, other, took_s

    queued, other, took_s = waiters.run(story())
    assert (queued.model, queued.fallback_from, other.model) == ("big", None, "small")
    assert took_s < LOOK_S, "the interactive request waited for the queued one's look"
    assert asked_of(servers["big"]) == ["first", "queued"]
    assert waiters.counts == {"over_quota": 2, "queued": 1, "fallbacks": 1}


def test_the_wait_is_on_the_trail_and_not_in_the_latency(servers: Servers) -> None:
    """A guardrail on latency compares models, not lines."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue=QUEUE)

    async def story() -> None:
        await waiters.ask()
        queued = waiters.ask()
        await waiters.in_line(1)
        await asyncio.sleep(0.6)
        waiters.next_minute()
        await queued

    waiters.run(story())
    row = waiters.house.finished[-1]
    steps = orjson.loads(row.trail)
    assert [code for _, code, _ in steps] == ["over_quota", "queued", "let_in", "served"]
    assert steps[2][2] - steps[1][2] >= 600
    assert row.latency_ms < 400
    assert (row.attempts, row.error, row.diverted) == (1, None, False)


def test_whoever_came_first_is_served_first(servers: Servers) -> None:
    """Also before one that comes when there is room again but others still wait."""
    waiters = Waiters(servers, {"limits": {"rpm": 2}}, queue=QUEUE)

    async def story() -> None:
        await asyncio.gather(waiters.ask("a"), waiters.ask("b"))
        queued = []
        for place in range(1, 6):
            queued.append(waiters.ask(str(place)))
            await waiters.in_line(place)
        for left in (3, 1):
            waiters.next_minute()
            queued.append(waiters.ask("late"))
            await waiters.in_line(left + len(queued) - 5)
        waiters.next_minute()
        await waiters.in_line(1)
        waiters.next_minute()
        await asyncio.gather(*queued)

    waiters.run(story())
    assert asked_of(servers["big"])[2:] == ["1", "2", "3", "4", "5", "late", "late"]


def test_after_the_deadline_the_fallbacks_for_rate_limited_follow(servers: Servers) -> None:
    """The decided model is charged with it: the answer counts as diverted."""
    waiters = Waiters(
        servers, {"limits": {"rpm": 1}},
        queue={"wait_s": 0.3}, fallbacks_on={"rate_limited": ["small"], "error": []},
    )  # fmt: skip

    async def story() -> Answer:
        await waiters.ask()
        return await waiters.ask()

    assert waiters.run(story()).model == "small"
    assert waiters.counts["queue_expired"] == 1
    row = waiters.house.finished[-1]
    assert row.diverted
    assert [code for _, code, _ in orjson.loads(row.trail)] == [
        "over_quota",
        "queued",
        "queue_expired",
        "served",
    ]


def test_without_a_fallback_the_deadline_is_a_429(servers: Servers) -> None:
    """With the time after which there may be room."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue={"wait_s": 0.3}, fallbacks=[])

    async def story() -> None:
        await waiters.ask()
        await waiters.ask()

    with pytest.raises(UpstreamFailed) as caught:
        waiters.run(story())
    assert (caught.value.status, caught.value.retry_after_s) == (429, 60)
    assert waiters.house.finished[-1].error == "over_quota"


def test_a_full_line_is_a_429_at_once_and_no_fallback(servers: Servers) -> None:
    """Its client comes again later; the fallback is not where overnight work goes."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue={"wait_s": 20, "longest": 2})

    async def story() -> UpstreamFailed:
        await waiters.ask()
        queued = [waiters.ask(), waiters.ask()]
        await waiters.in_line(2)
        with pytest.raises(UpstreamFailed) as caught:
            await waiters.ask()
        for _ in queued:
            waiters.next_minute()
            await asyncio.sleep(2 * LOOK_S)
        await asyncio.gather(*queued)
        return caught.value

    error = waiters.run(story())
    assert (error.status, error.retry_after_s) == (429, 30)
    assert asked_of(servers["small"]) == []
    assert waiters.counts["queue_full"] == 1
    refused = next(row for row in waiters.house.finished if row.error)
    assert (refused.error, refused.attempts, refused.cost_usd) == ("queue_full", 0, 0.0)


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


def test_its_own_time_counts_from_the_end_of_the_wait(servers: Servers) -> None:
    """0.4 s for the answer are enough after a wait of a second."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}}, queue=QUEUE, timeout_s=0.4)

    async def story() -> Answer:
        await waiters.ask()
        queued = waiters.ask()
        await waiters.in_line(1)
        await asyncio.sleep(1.0)
        waiters.next_minute()
        return await queued

    assert waiters.run(story()).model == "big"


def test_without_a_queue_a_batch_request_moves_on_as_ever(servers: Servers) -> None:
    """What a file does not state changes nothing."""
    waiters = Waiters(servers, {"limits": {"rpm": 1}})

    async def story() -> list[str]:
        return [(await waiters.ask()).model for _ in range(2)]

    assert waiters.run(story()) == ["big", "small"]


def test_the_deployment_that_has_room_first_takes_the_next(servers: Servers) -> None:
    """One line for the model, not one for each place."""
    places = [{"limits": {"rpm": 1}}, {"base_url": servers["small"].url, "limits": {"tpm": 1_000}}]
    waiters = Waiters(servers, {"deployments": places, "balance": "round_robin"}, queue=QUEUE)

    async def story() -> list[Answer]:
        taken = await waiters.house.dispatcher._quotas.admit(
            [Rule("site:big#2:tpm", "tokens", MINUTE_MS, 1_000.0)], Need(1_000, 0)
        )
        assert isinstance(taken, Ticket)
        first = await waiters.ask()
        queued = waiters.ask("queued")
        await waiters.in_line(1)
        taken.settle(Need(0, 0))
        return [first, await queued]

    waiters.run(story())
    assert asked_of(servers["small"]) == ["queued"]


def test_the_reserve_is_kept_for_interactive_requests(servers: Servers) -> None:
    """Of ten a minute seven are for batch work, and the last three for whoever cannot wait."""
    waiters = Waiters(servers, {"limits": {"rpm": 10, "reserve": 0.3}}, queue=QUEUE)

    async def story() -> list[str]:
        batch = [waiters.ask(f"batch {place}") for place in range(9)]
        await waiters.in_line(2)
        models = [(await waiters.ask("now", batch=False)).model for _ in range(4)]
        waiters.next_minute()
        await asyncio.gather(*batch)
        return models

    assert waiters.run(story()) == ["big", "big", "big", "small"]
    assert len(servers["big"].requests) == 12


def test_interactive_requests_may_use_all_that_batch_work_left(servers: Servers) -> None:
    """The reserve is a floor for them, no ceiling."""
    waiters = Waiters(
        servers, {"limits": {"rpm": 4, "reserve": 0.5}}, queue={"wait_s": 0.2}, fallbacks=["small"]
    )

    async def story() -> list[str]:
        models = [(await waiters.ask(batch=False)).model for _ in range(3)]
        return [*models, (await waiters.ask()).model, (await waiters.ask(batch=False)).model]

    assert waiters.run(story()) == ["big", "big", "big", "small", "big"]


def test_the_reserve_holds_over_all_workers() -> None:
    """Whatever slices two workers leased, batch work gets no more than its part."""
    store = MemoryStore()
    workers = [Quotas(store, lambda: NOON_MS) for _ in range(2)]
    rule = Rule("model:big:rpm", "attempts", MINUTE_MS, 1_000.0, reserve=0.25)

    async def many(quotas: Quotas, batch: bool, times: int) -> int:
        return sum([isinstance(await quotas.admit([rule], Need(1, 0), batch), Ticket) for _ in range(times)])

    async def both() -> list[int]:
        batch = await asyncio.gather(*(many(quotas, True, 600) for quotas in workers))
        rest = await asyncio.gather(*(many(quotas, False, 300) for quotas in workers))
        return [sum(batch), sum(rest)]

    batch, rest = asyncio.run(both())
    assert batch == 750
    assert 240 <= rest <= 250, "slices of five that a worker did not use up may be lost"


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
        async with httpx.AsyncClient() as client:
            path = f"{url}/chat/completions"
            assert (await client.post(path, json=body)).status_code == 200
            waiting = [
                asyncio.ensure_future(client.post(path, json=body, headers={"x-pointsman-latency": "batch"}))
                for _ in range(6)
            ]
            while house.dispatcher.waiting < 6:
                await asyncio.sleep(0.01)
            statuses = [(await client.post(path, json=body)).status_code for _ in range(2)]
            for each in waiting:
                each.cancel()
            async with asyncio.timeout(5):
                while house.dispatcher.waiting:
                    await asyncio.sleep(0.01)
        return statuses, house.dispatcher.waiting

    try:
        with serving(house, max_in_flight=2, finish_s=0.5) as url:
            assert asyncio.run(story(url)) == ([200, 200], 0)
    finally:
        house.close()


def test_an_upstream_that_fails_is_no_limit(servers: Servers) -> None:
    """429 and 500 of an upstream lead on as ever: nobody knows when it would have room."""
    waiters = Waiters(servers, {}, queue=QUEUE)
    servers["big"].will(status(429), answer())

    async def story() -> Answer:
        return await waiters.ask()

    assert waiters.run(story()).model == "small"
    assert "queued" not in waiters.counts


def test_an_interactive_request_pays_nothing_for_it(servers: Servers) -> None:
    """The example of the page: prices are known, and nothing is on the trail."""
    waiters = Waiters(servers, {"limits": {"rpm": 5}}, queue=QUEUE)
    try:
        assert ask(waiters.house, "task/math").model == "big"
        assert waiters.house.finished[-1].trail == ""
        assert PRICES["big"] is not None
    finally:
        waiters.house.close()
