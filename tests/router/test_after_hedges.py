"""What hedged requests leave behind: no task, no socket, no reservation."""

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import orjson
import pytest

from router.upstream.chat import read_chat
from tests.router.hedged import ESTIMATE, NOON_MS, counts, hedged, visits
from tests.router.pursuing import Servers, asked, two_places
from tests.servers.asking import ask, wait_until
from tests.servers.house import House
from tests.servers.upstream import (
    TEXT,
    Request,
    Script,
    Wire,
    after,
    answer,
    hang_up,
    silent,
    silent_after,
    status,
)

UPSTREAMS = ("big", "small", "other")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_client_that_leaves_ends_both_attempts(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """One row, no error, both upstreams cut, both paid."""
    opened.append(house := hedged(servers))
    for name in ("big", "other"):
        servers[name].will(silent())
    body = {"model": "task/math", "stream": streaming, "messages": [{"role": "user", "content": "2+2?"}]}
    chat = read_chat(orjson.dumps(body))

    async def leave() -> int:
        work = house.dispatcher.stream if streaming else house.dispatcher.answer
        task: asyncio.Future[Any] = asyncio.ensure_future(work(house.engine.route(chat.route), chat))  # type: ignore[arg-type]  # reason: either
        await asyncio.to_thread(wait_until, lambda: bool(servers["other"].requests))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return await left_over()

    assert house.run(leave()) == 0
    wait_until(lambda: len(servers["big"].left_after_s) == len(servers["other"].left_after_s) == 1)
    (row,) = house.finished
    assert (row.error, row.attempts, row.cost_usd) == (None, 2, pytest.approx(2 * ESTIMATE))
    assert [step[1] for step in orjson.loads(row.trail)] == ["hedged", "left", "left"]
    assert visits(house) == [0, 0]


async def left_over() -> int:
    """Tasks beside this one, after they had a moment to end."""
    for _ in range(100):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.02)
    return len(asyncio.all_tasks()) - 1


def test_a_hedge_that_was_waiting_for_its_limit_when_the_answer_came_is_as_if_it_had_not_been(
    servers: Servers, opened: list[House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its place among the hedges of the task nor its part of the limit is lost."""
    places = two_places(servers)["deployments"]
    limited = {"deployments": [places[0], {**places[1], "limits": {"rpm": 600}}]}
    opened.append(house := hedged(servers, big=limited))
    lease, asks = house.store.take_allowance, threading.Event()

    def slowly(name: str, period: int, wanted: float, most: float) -> float:
        asks.set()
        time.sleep(0.2)
        return lease(name, period, wanted, most)

    async def answered(request: Request, wire: Wire) -> None:
        await asyncio.to_thread(asks.wait, 20)
        await answer()(request, wire)

    monkeypatch.setattr(house.store, "take_allowance", slowly)
    servers["big"].will(answered)
    assert ask(house, "task/math").model == "big"
    assert asks.is_set()
    assert (counts(house), asked(servers)["other"]) == ((0, 0), 0)
    assert house.dispatcher.fleet.hedge_purse("math").spend()
    assert house.calls()[-1]["attempts"] == 1


def test_many_races_leave_no_task_no_socket_and_no_reservation(servers: Servers, opened: list[House]) -> None:
    """Whoever wins, fails or is cut: counts afterwards are those before."""
    task = {"budget": {"usd_per_day": 1_000.0, "pacing": False}, "retries": 0}
    opened.append(house := hedged(servers, {"share": 0.2}, task=task, big={"limits": {"tpm": 10**9}}))
    house.dispatcher._quotas._clock = lambda: NOON_MS
    house.dispatcher.fleet.follow(house.engine.snapshot)
    purse = house.dispatcher.fleet.hedge_purse("math")
    fates: list[Script] = [
        answer(), after(0.06, answer()), silent(), after(0.06, status(500)), hang_up(), silent_after(*TEXT[:1]),
        after(0.05, answer()),
    ]  # fmt: skip

    async def story() -> int:
        for turn in range(3 * len(fates)):
            servers["big"].will(fates[turn % 7])
            servers["other"].will(fates[(turn * 3 + turn // 7) % 7])
            purse.give_back()
            body = {"model": "task/math", "stream": turn % 2 == 1, "max_tokens": 20,
                    "messages": [{"role": "user", "content": "2+2?"}]}  # fmt: skip
            chat = read_chat(orjson.dumps(body))
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    if not chat.stream:
                        await house.dispatcher.answer(house.engine.route(chat.route), chat)
                        continue
                    relay = await house.dispatcher.stream(house.engine.route(chat.route), chat)
                    try:
                        while not relay.over:
                            await relay.read()
                    finally:
                        await relay.close()
        return await left_over()

    assert house.run(story()) == 0
    assert counts(house)[0] > 5
    assert len(house.finished) == 21
    assert set(visits(house)) == {0}
    held = house.dispatcher._quotas._held
    leased = 1_000.0 / 200
    spent = sum(row.cost_usd or 0.0 for row in house.finished)
    assert held["budget:math", False].left == pytest.approx(leased - spent)
    tokens = sum((row.input_tokens or 0) + (row.output_tokens or 0) for row in house.finished)
    small = sum(row.served_model == "small" for row in house.finished)
    assert small > 0 or held["model:big:tpm", False].left == pytest.approx(10**9 / 200 - tokens)
