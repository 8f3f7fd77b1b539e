"""Limits and budgets: what all workers together send and spend, against real servers and shared ledgers."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from router.availability.quotas import BLIND_MS, DAY_MS, MINUTE_MS, Need, Quotas, Rule, Ticket
from router.upstream.chat import read_chat
from router.upstream.dispatch import Answer
from storage.errors import StoreUnavailable
from storage.memory.store import MemoryStore
from storage.sqlite.store import SqliteStore
from tests.router.pursuing import Servers, asked, house_of
from tests.servers.asking import COST, QUICK, ask, failure
from tests.servers.house import PRICES, House, document
from tests.servers.upstream import Request, Wire, answer, status

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
RPM = Rule("model:big:rpm", "attempts", MINUTE_MS, 60.0)
ONE = Need(10, 0.0)
UPSTREAMS = ("big", "small")


def house_at_noon(
    servers: Servers, big: dict[str, Any] | None = None, task: dict[str, Any] | None = None
) -> House:
    """A house whose quotas are asked at noon; `task` are the settings of the task `math`."""
    house = house_of(servers, task, big)
    house.dispatcher._quotas._clock = lambda: NOON_MS
    return house


def test_at_its_limit_a_model_is_passed_over_for_the_fallback(servers: Servers, opened: list[House]) -> None:
    """Three attempts a minute: the fourth request is answered all the same, charged to the decision."""
    opened.append(house := house_at_noon(servers, {"limits": {"rpm": 3}}))
    assert [ask(house, "task/math").model for _ in range(5)] == ["big", "big", "big", "small", "small"]
    assert asked(servers) == {"big": 3, "small": 2}
    assert house.dispatcher.fleet.counts["over_quota"] == 2
    assert [call["diverted"] for call in house.calls()] == [False, False, False, True, True]


def test_at_its_limit_a_pinned_model_is_a_429_that_says_when(servers: Servers, opened: list[House]) -> None:
    """Within the minute there is room again."""
    opened.append(house := house_at_noon(servers, {"limits": {"rpm": 1}}))
    ask(house, "big")
    error = failure(house, "big")
    assert (error.status, error.retry_after_s) == (429, 60)
    assert asked(servers)["big"] == 1
    assert house.calls()[-1]["error"] == "over_quota"


def test_a_deployment_at_its_limit_leaves_the_rest_to_the_others(
    servers: Servers, opened: list[House]
) -> None:
    """Each place has limits of its own, beside those of the model."""
    places = [{"limits": {"rpm": 2}}, {"base_url": servers["small"].url}]
    opened.append(house := house_at_noon(servers, {"deployments": places, "balance": "round_robin"}))
    assert {ask(house, "big").model for _ in range(8)} == {"big"}
    assert asked(servers) == {"big": 2, "small": 6}


@pytest.mark.parametrize(
    "limits", [{"tpm": 300}, {"tokens_per_day": 300}, {"usd_per_day": 2.5 * COST["big"]}]
)
def test_tokens_and_money_are_counted_as_they_are_used(
    servers: Servers, opened: list[House], limits: dict[str, float]
) -> None:
    """120 tokens an answer: after three of them 300 are passed, by no more than the answer under way."""
    opened.append(house := house_at_noon(servers, {"limits": limits}))
    models = [ask(house, "task/math", max_tokens=20).model for _ in range(6)]
    assert models == ["big"] * 3 + ["small"] * 3


def test_what_a_refused_attempt_reserved_comes_back(servers: Servers, opened: list[House]) -> None:
    """Tokens that nobody used are no tokens; the attempt itself counts."""
    opened.append(house := house_at_noon(servers, {"limits": {"tpm": 600}}))
    servers["big"].will(*[status(500)] * 4, answer())
    assert [ask(house, "task/math").model for _ in range(5)] == ["small"] * 4 + ["big"]


@pytest.mark.parametrize("at_once", [True, False])
def test_two_workers_share_a_limit_and_none_of_it_is_given_twice(tmp_path: Path, at_once: bool) -> None:
    """Two stores on one ledger file, as two processes have them: 60 a minute are 60 in all, and some for each."""
    stores = [SqliteStore(tmp_path / "ledger.db") for _ in range(2)]
    workers = [Quotas(store, lambda: NOON_MS) for store in stores]
    admitted = [0, 0]

    async def ask_once(worker: int) -> None:
        admitted[worker] += isinstance(await workers[worker].admit([RPM], ONE), Ticket)

    async def all_of_it() -> None:
        for _ in range(80):  # more than there is, so that each uses up what it took
            if at_once:
                await asyncio.gather(ask_once(0), ask_once(1))
            else:
                await ask_once(0)
                await ask_once(1)

    asyncio.run(all_of_it())
    for store in stores:
        store.close()
    assert sum(admitted) == 60
    assert min(admitted) > 5


def test_a_new_minute_brings_a_new_allowance_and_keeps_a_debt() -> None:
    """What was used beyond an estimate is taken off the next minute, not forgotten."""
    now = [NOON_MS]
    quotas = Quotas(MemoryStore(), lambda: now[0])
    tpm = Rule("model:big:tpm", "tokens", MINUTE_MS, 100.0)

    async def story() -> list[bool]:
        ticket = await quotas.admit([tpm], Need(90, 0))
        assert isinstance(ticket, Ticket)
        ticket.settle(Need(150, 0))
        seen = [isinstance(await quotas.admit([tpm], Need(10, 0)), Ticket)]
        now[0] += MINUTE_MS
        later = [await quotas.admit([tpm], Need(tokens, 0)) for tokens in (50, 10)]
        return seen + [isinstance(each, Ticket) for each in later]

    assert asyncio.run(story()) == [False, True, False]


def test_without_the_store_traffic_flows_and_is_taken_off_later() -> None:
    """A ledger that is away must not stop answers; the limit holds again when it is back."""

    class Away(MemoryStore):
        away = True

        def take_allowance(self, name: str, period: int, wanted: float, most: float) -> float:
            if self.away:
                raise StoreUnavailable("away")
            return super().take_allowance(name, period, wanted, most)

    store, now = Away(), [NOON_MS]
    quotas = Quotas(store, lambda: now[0])

    async def admitted(times: int) -> int:
        return sum([isinstance(await quotas.admit([RPM], ONE), Ticket) for _ in range(times)])

    assert asyncio.run(admitted(20)) == 20
    store.away = False
    now[0] += BLIND_MS
    assert asyncio.run(admitted(100)) == 40


# Budgets


def test_at_the_end_of_its_money_a_task_goes_on_with_the_cheapest_model(
    servers: Servers, opened: list[House]
) -> None:
    """Two answers of `big` are paid for; what follows costs a twelfth."""
    budget = {"usd_per_day": 1.5 * COST["big"], "pacing": False}
    opened.append(house := house_at_noon(servers, task={"budget": budget}))
    assert [ask(house, "task/math", max_tokens=20).model for _ in range(4)] == [
        "big",
        "big",
        "small",
        "small",
    ]
    assert house.dispatcher.fleet.counts["over_budget"] == 2
    assert ask(house, "task/support").model == "big"


def test_a_budget_may_refuse_instead(servers: Servers, opened: list[House]) -> None:
    """429 with a time to come back; nothing is called, and the ledger says why."""
    budget = {"usd_per_day": 0.5 * COST["big"], "pacing": False, "then": "refuse"}
    opened.append(house := house_at_noon(servers, task={"budget": budget}))
    ask(house, "task/math", max_tokens=1)
    error = failure(house, "task/math", max_tokens=1)
    assert (error.status, error.retry_after_s) == (429, 3_600)
    assert "budget" in str(error)
    assert asked(servers) == {"big": 1, "small": 0}
    call = house.calls()[-1]
    assert (call["error"], call["attempts"], call["cost_usd"]) == ("over_budget", 0, 0.0)


@pytest.mark.parametrize(("dear", "most"), [(False, 4), (True, 1)])
def test_money_is_reserved_for_the_dearest_place_that_may_serve(
    servers: Servers, opened: list[House], dear: bool, most: int
) -> None:
    """Requests that come at once know no costs yet: what they reserve is all that keeps them within the money."""
    here: dict[str, Any] = {"base_url": servers["big"].url, "weight": 1e6}
    there: dict[str, Any] = {"base_url": servers["small"].url, "weight": 1.0}
    if dear:
        there["price"] = {"input": 40.0, "output": 120.0}
    budget = {"usd_per_day": 4.5 * 20 * 30.0 / 1e6, "pacing": False, "then": "refuse"}
    opened.append(house := house_at_noon(servers, {"deployments": [here, there]}, {"budget": budget}))
    chat = read_chat(
        orjson.dumps(
            {"model": "task/math", "messages": [{"role": "user", "content": "2+2?"}], "max_tokens": 20}
        )
    )

    async def late(request: Request, wire: Wire) -> None:
        await asyncio.sleep(0.3)
        await answer()(request, wire)

    async def at_once() -> list[object]:
        return await asyncio.gather(
            *(house.dispatcher.answer(house.engine.route(chat.route), chat) for _ in range(8)),
            return_exceptions=True,
        )

    servers["big"].will(late)
    answered = [got for got in house.run(at_once()) if isinstance(got, Answer)]
    assert len(answered) == most


def test_no_request_is_refused_for_a_rounding_of_dollars() -> None:
    """A lease that is short by the last bit of a sum would refuse a request for a second, with the money there."""
    quotas, rule, draw = (
        Quotas(MemoryStore(), lambda: NOON_MS),
        Rule("budget:a", "usd", DAY_MS, 1.0),
        Random(1),
    )

    async def refused() -> int:
        count = 0
        for _ in range(100):
            ticket = await quotas.admit([rule], Need(0, draw.random() / 1e3))
            if isinstance(ticket, Ticket):
                ticket.settle(Need(0, draw.random() / 1e3 + 0.008))
            count += not isinstance(ticket, Ticket)
        return count

    assert asyncio.run(refused()) == 0


def test_pacing_keeps_money_for_the_rest_of_the_day(servers: Servers, opened: list[House]) -> None:
    """At noon a little more than half of it may be spent: 13 of 24 parts."""
    budget = {"usd_per_day": 24 * COST["big"]}
    opened.append(house := house_at_noon(servers, task={"budget": budget}))
    models = [ask(house, "task/math", max_tokens=20).model for _ in range(16)]
    assert models.count("big") in (13, 14)
    assert models == sorted(models)


def test_children_of_a_task_spend_its_money(servers: Servers, opened: list[House]) -> None:
    """Who gives `support` twenty dollars means billing questions as well."""
    config = document({name: server.url for name, server in servers.items()})
    config["tasks"]["support"] = {"budget": {"usd_per_day": 0.5 * COST["big"], "pacing": False}}
    opened.append(house := House(config, QUICK))
    assert ask(house, "task/support", max_tokens=1).model == "big"
    assert ask(house, "task/support/billing", max_tokens=1).model == "small"
    assert PRICES["small"] is not None
