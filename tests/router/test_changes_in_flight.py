"""What happens around a request while it is under way: another configuration, a silent ledger, a client that leaves."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from api.serving.upstream_keys import UpstreamKeys
from experiments.definition.experiment import Experiment
from router.availability.quotas import DAY_MS, MINUTE_MS, Need, Quotas, Rule, Ticket
from router.errors import UpstreamFailed
from router.transport.aiohttp_transport import AiohttpTransport
from router.upstream.chat import read_chat
from router.upstream.dispatch import Dispatcher
from router.upstream.shadow import Shadows
from storage.errors import StoreUnavailable
from storage.memory.store import MemoryStore
from storage.records import CallRow, PutConfig
from tests.router.pursuing import Servers, configured
from tests.servers.asking import COST, QUICK, ask, failure, wait_until
from tests.servers.house import House
from tests.servers.upstream import Request, Script, Wire, answer, silent, status

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
RPM = Rule("model:big:rpm", "attempts", MINUTE_MS, 60.0)
KEYS = {"OLD_KEY": "sk-of-the-old-place", "NEW_KEY": "sk-of-the-new-place"}
UPSTREAMS = ("big", "small")


def moved(servers: Servers, **changes: Any) -> dict[str, Any]:
    """A configuration with one retry, and changes to `big`."""
    config = configured(servers, retries=1)
    config["models"]["big"] |= changes
    return config


def house_with(config: dict[str, Any]) -> House:
    """A house that retries without waiting."""
    house = House(config, QUICK)
    house.dispatcher.fleet.draw = lambda: 0.0
    return house


def apply(house: House, config: dict[str, Any]) -> None:
    """Put another configuration in force, as the follower and another request do in mid-request."""
    house.store.commit([PutConfig(orjson.dumps(config).decode(), 1)])
    house.engine.refresh()
    house.dispatcher.fleet.follow(house.engine.snapshot)


def first(happens: Callable[[], None], then: Script) -> Script:
    """An answer before which something happens."""

    async def script(request: Request, wire: Wire) -> None:
        happens()
        await then(request, wire)

    return script


# Another configuration


def test_a_retry_after_a_change_of_the_configuration_goes_by_the_new_one(
    servers: Servers, opened: list[House]
) -> None:
    """A request under way must not fall over what `apply` replaced: the retry reaches the new place."""
    before = moved(servers)
    before["fallbacks"] = []
    opened.append(house := house_with(before))
    after = moved(servers, base_url=servers["small"].url)
    servers["big"].will(first(lambda: apply(house, after), status(503)))
    assert ask(house, "task/support").model == "big"
    assert [len(server.requests) for server in servers.values()] == [1, 1]
    assert [(call["attempts"], call["error"]) for call in house.calls()] == [(2, None)]


def test_the_key_of_the_new_place_never_goes_to_the_old_one(servers: Servers, opened: list[House]) -> None:
    """A request that waits for a quota while the model moves to another provider is not sent with that one's key."""
    config = moved(servers, api_key_env="OLD_KEY", limits={"rpm": 5})
    config["models"]["small"]["api_key_env"] = "OLD_KEY"
    opened.append(house := house_with(config))
    house.dispatcher = Dispatcher(house.engine, AiohttpTransport(), UpstreamKeys(house.engine, KEYS), QUICK)
    house.transport = house.dispatcher._transport  # type: ignore[assignment]  # reason: the one made above
    later = moved(servers, api_key_env="NEW_KEY", base_url=servers["small"].url, limits={"rpm": 5})
    later["models"]["small"]["api_key_env"] = "OLD_KEY"
    lease = house.store.take_allowance

    def slowly(name: str, period: int, wanted: float, most: float) -> float:
        apply(house, later)
        return lease(name, period, wanted, most)

    house.store.take_allowance = slowly  # type: ignore[method-assign]  # reason: the real one follows
    assert ask(house, "task/support").model == "small"
    sent = {
        name: [each.headers["authorization"] for each in server.requests] for name, server in servers.items()
    }
    assert sent == {"big": [], "small": ["Bearer sk-of-the-old-place"]}
    assert ask(house, "task/support").model == "big"
    assert servers["small"].requests[-1].headers["authorization"] == "Bearer sk-of-the-new-place"


# Nobody left but one that rests


def test_a_fallback_at_its_limit_leaves_the_resting_model_to_be_asked(
    servers: Servers, opened: list[House]
) -> None:
    """Passed over and at a limit, nobody was asked at all: then a pause is no reason to answer nothing."""
    config = moved(servers)
    config |= {"retries": 0, "cooldown": {"failures": 1}}
    config["models"]["small"]["limits"] = {"rpm": 1}
    opened.append(house := house_with(config))
    house.dispatcher._quotas._clock = lambda: NOON_MS
    servers["big"].will(status(503), answer())
    assert ask(house, "task/support").model == "small"  # big failed and rests, small is at its limit now
    assert ask(house, "task/support").model == "big"
    assert [call["trail"] for call in house.calls()][1].count("resting") == 1


# A silent ledger


class Silent(MemoryStore):
    """A store that hangs, then says that it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = True
        self.asked = 0

    def take_allowance(self, name: str, period: int, wanted: float, most: float) -> float:
        """Nothing, after a while."""
        self.asked += 1
        if self.away:
            time.sleep(0.1)
            raise StoreUnavailable("away")
        return super().take_allowance(name, period, wanted, most)


def test_requests_do_not_wait_one_after_another_for_a_ledger_that_hangs() -> None:
    """A limit must not turn a slow ledger into a queue: the first waits, the others flow."""
    store = Silent()
    quotas = Quotas(store, lambda: NOON_MS)

    async def together() -> list[Ticket | float]:
        return await asyncio.gather(*(quotas.admit([RPM], Need(10, 0.0)) for _ in range(40)))

    started_s = time.monotonic()
    admitted = asyncio.run(together())
    assert all(isinstance(each, Ticket) for each in admitted)
    assert store.asked == 1
    assert time.monotonic() - started_s < 2.0


def test_an_outage_of_the_ledger_leaves_no_debt_behind_its_minute() -> None:
    """Ten minutes of unmetered traffic must not close a model for ten minutes more once the ledger is back."""
    now, store = [NOON_MS], Silent()
    quotas = Quotas(store, lambda: now[0])

    async def admitted(times: int) -> int:
        return sum([isinstance(await quotas.admit([RPM], Need(10, 0.0)), Ticket) for _ in range(times)])

    async def story() -> list[int]:
        seen = []
        for _ in range(3):
            seen.append(await admitted(300))
            now[0] += MINUTE_MS
        store.away = False
        return [*seen, await admitted(100)]

    assert asyncio.run(story()) == [300, 300, 300, 60]


# A client that leaves


def test_what_a_client_reserved_that_left_while_waiting_comes_back() -> None:
    """Money held for a request that was never sent would be missing for the rest of the day."""
    store = Silent()
    store.away = False
    quotas = Quotas(store, lambda: NOON_MS)
    day = Rule("model:big:usd_per_day", "usd", DAY_MS, 1.0)

    async def story() -> list[bool]:
        admitted = [isinstance(await quotas.admit([day], Need(10, 0.001)), Ticket)]
        store.away = True
        waiting = asyncio.ensure_future(quotas.admit([day, RPM], Need(10, 0.004)))
        await asyncio.to_thread(wait_until, lambda: store.asked == 2)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        held = quotas._held[day.name, False]
        return [*admitted, waiting.cancelled(), abs(held.left - 0.004) < 1e-9]

    assert asyncio.run(story()) == [True, True, True]


def test_a_stream_left_before_its_first_piece_is_told_as_left_and_not_copied(
    servers: Servers, opened: list[House]
) -> None:
    """There is no answer that a copy could be compared with; the ledger says who ended it."""
    opened.append(house := house_with(moved(servers)))
    house.start(
        Experiment(
            name="probe", task="math", candidates=("big", "small"), mode="shadow", shadow_usd_per_day=9.0
        )
    )
    servers["big"].will(silent())
    fates: list[str] = []
    chat = read_chat(
        orjson.dumps(
            {"model": "task/math", "messages": [{"role": "user", "content": "2+2?"}], "stream": True}
        )
    )

    async def story() -> None:
        shadows = Shadows(house.engine, house.dispatcher, fates.append)
        asking = asyncio.ensure_future(house.dispatcher.stream(house.engine.route(chat.route), chat))
        await asyncio.to_thread(wait_until, lambda: bool(servers["big"].requests))
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        assert not shadows._tasks
        await shadows.close()

    house.run(story())
    assert (fates, servers["small"].requests) == ([], [])
    (row,) = house.finished
    assert (row.error, row.attempts) == (None, 1)
    assert orjson.loads(row.trail)[-1][:2] == ["big", "left"]


# Money of a copy


def copying(house: House, times: int) -> list[str]:
    """Fates of the copies of so many requests, one after another, in an experiment with money enough."""
    house.start(
        Experiment(
            name="probe", task="math", candidates=("big", "small"), mode="shadow", shadow_usd_per_day=9.0
        )
    )
    house.dispatcher._quotas._clock = lambda: NOON_MS
    fates: list[str] = []
    chat = read_chat(
        orjson.dumps(
            {"model": "task/math", "messages": [{"role": "user", "content": "2+2?"}], "max_tokens": 1}
        )
    )

    async def story() -> None:
        shadows = Shadows(house.engine, house.dispatcher, fates.append)
        for _ in range(times):
            with suppress(UpstreamFailed):
                await house.dispatcher.answer(house.engine.route(chat.route), chat)
            await asyncio.gather(*shadows._tasks)
        await shadows.close()

    house.run(story())
    return fates


def test_copies_spend_nothing_of_their_tasks_budget(servers: Servers, opened: list[House]) -> None:
    """A budget is for answers that are served: dear copies take nothing of it, and a refused request is not copied."""
    config = moved(servers)
    config["models"]["small"]["price"] = {"input": 100.0, "output": 100.0}
    config["tasks"]["math"] = {
        "budget": {"usd_per_day": 2.9 * COST["big"], "pacing": False, "then": "refuse"}
    }
    opened.append(house := house_with(config))
    assert copying(house, 4) == ["paired"] * 3
    assert [row.error for row in house.finished] == [*[None] * 6, "over_budget"]


def test_a_copy_at_a_limit_is_no_error_of_the_candidate(servers: Servers, opened: list[House]) -> None:
    """A provider counts copies like any call, so its limit is shared; reaching it says nothing of the model."""
    config = moved(servers)
    config["models"]["small"]["limits"] = {"rpm": 1}
    opened.append(house := house_with(config))
    assert copying(house, 2) == ["paired", "limit"]
    copy: CallRow = house.finished[-1]
    assert (copy.error, copy.attempts, copy.cost_usd) == ("over_quota", 0, 0.0)
    assert len({row["number"] for row in house.store.export("feedback")}) == 1


# Words of an upstream


def test_a_key_at_the_edge_of_a_long_error_is_hidden_whole(servers: Servers, opened: list[House]) -> None:
    """An upstream may quote the key anywhere; cutting its message must not leave the half of one."""
    opened.append(house := house_with(moved(servers)))
    words = "x" * 1_985 + "sk-upstream-0123456789"
    servers["big"].will(status(400, {"error": {"message": words, "type": "invalid_request_error"}}))
    error = failure(house, "big")
    assert b"sk-upstream" not in getattr(error, "body", b"")
    assert b"xxx" in getattr(error, "body", b"")


def test_a_bug_of_ours_does_not_rest_the_upstream(servers: Servers, opened: list[House]) -> None:
    """Who fails here is not there: a site that answered well must not be left alone for our errors."""
    opened.append(house := house_with(moved(servers)))
    fleet = house.dispatcher.fleet
    fleet.follow(house.engine.snapshot)
    model = fleet.served("big")
    assert model is not None
    for code, open_after in (("internal_error", True), ("upstream_5xx", False)):
        for _ in range(10):
            stand = fleet.pick(model, (), 0.0, False, forced=True)
            assert stand is not None
            visit = fleet.visit(stand, 0.0, False)
            visit.failed(code, 0.0)
            visit.end()
        assert stand.health.open(0.0) is open_after
