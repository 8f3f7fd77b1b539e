"""Batch requests at a limit: they wait for room in order, against real servers, and nobody else waits for them."""

import asyncio
import time

import orjson
import pytest

from router.availability.lines import LOOK_S
from router.availability.quotas import MINUTE_MS, Need, Rule, Ticket
from router.errors import UpstreamFailed
from router.upstream.dispatch import Answer
from tests.router.pursuing import Servers
from tests.router.waiters import QUEUE, Waiters, asked_of
from tests.servers.asking import ask
from tests.servers.house import PRICES
from tests.servers.upstream import answer, status

UPSTREAMS = ("big", "small")


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
