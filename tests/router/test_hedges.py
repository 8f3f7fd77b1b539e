"""Second attempts beside slow ones, against real servers: who answers, what it costs, and that nothing stays behind."""

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import orjson
import pytest

from router.availability.hedging import ENOUGH
from router.availability.quotas import DAY_MS
from router.deciding.choose import Decision, RouteRequest
from router.upstream.chat import read_chat
from router.upstream.dispatch import Limits
from tests.router.pursuing import Servers, asked, configured, house_of, two_places
from tests.servers.asking import COST, ask, ask_stream, failure, wait_until
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
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
PATIENT = Limits()
SOON = {"after_s": 0.05}
ESTIMATE = 5 * 10 / 1e6
"""Of an attempt at `big` that was cut before a word: its input."""


def hedged(servers: Servers, hedge: dict[str, Any] | None = None, **changes: Any) -> House:
    """A patient house whose task `math` hedges soon, between two places of `big`."""
    task = {"hedge": {**SOON, **(hedge or {})}, **changes.pop("task", {})}
    return house_of(servers, task, two_places(servers) | changes.pop("big", {}), limits=PATIENT, **changes)


def steps(house: House) -> list[tuple[str, str]]:
    """The newest call's trail."""
    return [(where, code) for where, code, _ in orjson.loads(house.calls()[-1]["trail"])]


def served(house: House, streaming: bool) -> str:
    """Who answers a request to the task `math`."""
    if not streaming:
        return ask(house, "task/math").model
    events, _ = ask_stream(house, "task/math")
    assert events[-1] == "[DONE]"
    return str(events[0]["model"])


def ask_many(house: House, times: int) -> None:
    """So many whole answers, one after another."""
    chat = read_chat(orjson.dumps({"model": "task/math", "messages": [{"role": "user", "content": "2+2?"}]}))

    async def all_of_them() -> None:
        for _ in range(times):
            got = await house.dispatcher.answer(house.engine.route(chat.route), chat)
            assert got.model == "big"

    house.run(all_of_them())


def counts(house: House) -> tuple[int, int]:
    """Second attempts, and those that won."""
    found = house.dispatcher.fleet.counts
    return found["hedges"], found["hedges_won"]


def visits(house: House) -> list[int]:
    """Attempts that each site believes to be under way."""
    return [health.in_flight for health in house.dispatcher.fleet._health.values()]


# Who answers


@pytest.mark.parametrize("streaming", [False, True])
def test_a_slow_deployment_is_overtaken_by_another_one(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """The assigned model answers all the same; both attempts are its own, and the slow one is cut at once."""
    opened.append(house := hedged(servers))
    servers["big"].will(silent())
    assert served(house, streaming) == "big"
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["error"], call["attempts"]) == (
        "big",
        False,
        None,
        2,
    )
    assert steps(house) == [("big#eu", "hedged"), ("big#eu", "lost_race"), ("big#us", "served")]
    assert call["cost_usd"] == pytest.approx(COST["big"] + ESTIMATE)
    assert call["cost_estimated"] is True
    assert counts(house) == (1, 1)
    wait_until(lambda: len(servers["big"].left_after_s) == 1)
    assert visits(house) == [0, 0]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_attempt_may_still_win(servers: Servers, opened: list[House], streaming: bool) -> None:
    """Whoever is first is the answer; then it is the second attempt that is cut and paid."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.5, answer()))
    servers["other"].will(silent())
    assert served(house, streaming) == "big"
    assert steps(house) == [("big#eu", "hedged"), ("big#us", "lost_race"), ("big#eu", "served")]
    assert house.calls()[-1]["cost_usd"] == pytest.approx(COST["big"] + ESTIMATE)
    assert counts(house) == (1, 0)
    wait_until(lambda: len(servers["other"].left_after_s) == 1)


@pytest.mark.parametrize("streaming", [False, True])
def test_an_answer_in_time_is_never_hedged(servers: Servers, opened: list[House], streaming: bool) -> None:
    """Nor is a stream whose first piece came, however long the rest takes."""
    opened.append(house := hedged(servers, {"after_s": 5.0}))
    assert served(house, streaming) == "big"
    assert (asked(servers), counts(house)) == ({"big": 1, "small": 0, "other": 0}, (0, 0))


def test_what_the_client_reads_of_the_cost_is_what_the_ledger_holds(
    servers: Servers, opened: list[House]
) -> None:
    """The loser is charged before the winner's answer is written."""
    opened.append(house := hedged(servers))
    servers["big"].will(silent())
    got = ask(house, "task/math")
    assert got.cost_usd == orjson.loads(got.body)["usage"]["cost"] == house.calls()[-1]["cost_usd"]
    events, _ = ask_stream(house, "task/math", stream_options={"include_usage": True})
    assert events[-2]["usage"]["cost"] == house.calls()[-1]["cost_usd"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_second_attempt_may_go_to_the_fallback(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """Then another model answers: told to the client, diverted in the ledger, charged to the decision."""
    opened.append(house := house_of(servers, {"hedge": {**SOON, "to": "fallback"}}, limits=PATIENT))
    servers["big"].will(silent())
    assert served(house, streaming) == "small"
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["error"]) == ("small", True, None)
    assert call["cost_usd"] == pytest.approx(COST["small"] + ESTIMATE)
    assert steps(house) == [("big", "hedged"), ("big", "lost_race"), ("small", "served")]


# Failures


def test_a_failure_before_the_time_goes_the_usual_way(servers: Servers, opened: list[House]) -> None:
    """Nothing is hedged that has failed; the other deployment is asked as always."""
    opened.append(house := hedged(servers, {"after_s": 5.0}))
    servers["big"].will(status(500))
    assert served(house, False) == "big"
    assert counts(house) == (0, 0)
    assert steps(house) == [("big#eu", "upstream_5xx"), ("big#us", "served")]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("script", [status(500), hang_up()])
def test_the_second_attempt_goes_on_when_the_first_one_fails(
    servers: Servers, opened: list[House], script: Script, streaming: bool
) -> None:
    """It is the attempt then; the failure is the first site's own."""
    opened.append(house := hedged(servers, cooldown={"failures": 1, "first_s": 60.0}))
    servers["big"].will(after(0.4, script))
    servers["other"].will(after(0.8, answer()))
    assert served(house, streaming) == "big"
    code = "upstream_5xx" if script is not None and steps(house)[1][1] == "upstream_5xx" else "connect_error"
    assert steps(house) == [("big#eu", "hedged"), ("big#eu", code), ("big#us", "served")]
    assert house.dispatcher.fleet.counts["pauses"] == 1
    assert house.calls()[-1]["diverted"] is False


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_attempt_goes_on_when_the_second_one_fails(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """A hedge that failed is no reason to give up what is under way."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.6, answer()))
    servers["other"].will(status(500))
    assert served(house, streaming) == "big"
    assert steps(house) == [("big#eu", "hedged"), ("big#us", "upstream_5xx"), ("big#eu", "served")]
    assert asked(servers)["small"] == 0


def test_when_both_fail_the_chain_follows_and_asks_nobody_twice(
    servers: Servers, opened: list[House]
) -> None:
    """Two places of the model are used up; the fallback answers."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.4, status(500)))
    servers["other"].will(after(0.4, status(500)))
    assert served(house, False) == "small"
    assert asked(servers) == {"big": 1, "small": 1, "other": 1}
    assert house.calls()[-1]["attempts"] == 3


def test_a_fallback_that_failed_beside_the_first_attempt_is_not_asked_again(
    servers: Servers, opened: list[House]
) -> None:
    """The client hears of the assigned model, which is what it asked for."""
    opened.append(house := house_of(servers, {"hedge": {**SOON, "to": "fallback"}}, limits=PATIENT))
    servers["big"].will(after(0.5, status(503)))
    servers["small"].will(status(500))
    error = failure(house, "task/math")
    assert error.status == 503
    assert asked(servers) == {"big": 1, "small": 1, "other": 0}
    assert house.calls()[-1]["error"] == "upstream_5xx"


# Where there is none


@pytest.mark.parametrize("why", ["purse", "pause", "limit", "budget", "one place", "pinned", "no fallback"])
def test_nothing_is_hedged_where_something_speaks_against_it(
    servers: Servers, opened: list[House], why: str
) -> None:
    """A second attempt is a luxury: it breaks no bound and wakes no site that rests."""
    hedge, model = {"to": "fallback"} if why in ("pinned", "no fallback") else {}, "task/math"
    big: dict[str, Any] = {"deployments": []} if why == "one place" else {}
    if why == "limit":
        places = two_places(servers)["deployments"]
        big = {"deployments": [places[0], {**places[1], "limits": {"rpm": 1}}]}
    budget = {"usd_per_day": 0.001, "pacing": False}  # enough to reserve one answer, not two
    task: dict[str, Any] = {"budget": budget} if why == "budget" else {}
    opened.append(house := hedged(servers, hedge, big=big, task=task, cooldown={"failures": 1, "first_s": 60.0},
                                  fallbacks=[] if why == "no fallback" else ["small"]))  # fmt: skip
    house.dispatcher._quotas._clock = lambda: NOON_MS
    fleet = house.dispatcher.fleet
    fleet.follow(house.engine.snapshot)
    if why == "purse":
        assert fleet.hedge_purse("math").spend()
    if why in ("pause", "limit"):
        servers["other"].will(status(500) if why == "pause" else answer())
        asks = [ask(house, "task/support") for _ in range(2)]  # one of them at the second place
        assert len(asks) == 2
    servers["big"].will(after(0.3, answer()))
    before = asked(servers)
    if why == "pinned":
        chat = read_chat(orjson.dumps({"model": "x", "messages": [{"role": "user", "content": "2+2?"}]}))
        decision = house.engine.route(RouteRequest(task="math", override="big"))
        assert house.run(house.dispatcher.answer(decision, chat)).model == "big"
    else:
        assert ask(house, model, max_tokens=20).model == "big"
    assert counts(house) == (0, 0)
    assert asked(servers) == {**before, "big": before["big"] + 1}


@pytest.mark.parametrize("default", ["people", "big"])
def test_a_person_is_never_hurried(servers: Servers, opened: list[House], default: str) -> None:
    """A second hand-off of one conversation would have two people answer it; nor is one called in by a slow model."""
    other = "big" if default == "people" else "people"
    config = configured(servers, default=default, fallbacks=[other])
    config["models"]["people"] = {"kind": "human", "base_url": servers["small"].url, "cost_usd": 1.0}
    config["tasks"]["math"] = {"hedge": {**SOON, "to": "fallback"}}
    opened.append(house := House(config, PATIENT))
    servers["small"].will(after(0.3, status(202)))
    servers["big"].will(after(0.3, answer()))
    assert ask(house, "task/math").model == default
    assert counts(house) == (0, 0)


def test_a_copy_is_never_hedged(servers: Servers, opened: list[House]) -> None:
    """Nobody waits for it."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.3, answer()))
    chat = read_chat(orjson.dumps({"model": "task/math", "messages": [{"role": "user", "content": "2+2?"}]}))
    decision: Decision = house.engine.route(chat.route)
    object.__setattr__(decision, "reason", "shadow")
    house.run(house.dispatcher.answer(decision, chat))
    assert counts(house) == (0, 0)


def test_a_batch_request_is_never_hedged(servers: Servers, opened: list[House]) -> None:
    """It says itself that it has time."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.3, answer()))
    assert ask(house, "task/math", metadata={"latency": "batch"}).model == "big"
    assert counts(house) == (0, 0)


def test_a_request_is_hedged_once(servers: Servers, opened: list[House]) -> None:
    """A retry that is slow again has had its second chance."""
    opened.append(house := hedged(servers, {"share": 0.2}, fallbacks=[], task={"retries": 2}))
    house.dispatcher.fleet.follow(house.engine.snapshot)
    house.dispatcher.fleet.hedge_purse("math").give_back()
    servers["big"].will(after(0.2, status(500)))
    servers["other"].will(after(0.2, status(500)))
    failure(house, "task/math")
    assert counts(house) == (1, 0)
    assert house.calls()[-1]["attempts"] > 2


def test_of_many_slow_requests_a_share_is_hedged(servers: Servers, opened: list[House]) -> None:
    """A fifth of thirty, and the one that is there from the start."""
    opened.append(house := hedged(servers, {"share": 0.2}))
    servers["big"].will(after(0.15, answer()))
    servers["other"].will(after(0.15, answer()))
    ask_many(house, 30)
    assert 5 <= counts(house)[0] <= 7


def test_the_usual_time_of_a_site_is_learned_from_its_answers(servers: Servers, opened: list[House]) -> None:
    """Until fifty are known `after_s` holds; then the 95th percentile of that site does."""
    opened.append(house := hedged(servers, {"after": "p95", "after_s": 60.0}, big={"balance": "weighted"}))
    ask_many(house, ENOUGH)
    assert counts(house) == (0, 0)
    servers["big"].will(silent())
    started_s = time.monotonic()
    assert ask(house, "task/math").model == "big"
    assert time.monotonic() - started_s < 20
    assert counts(house) == (1, 1)


# What stays behind


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
