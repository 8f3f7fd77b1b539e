"""Houses that hedge, and what is seen of it."""

from typing import Any

import orjson

from router.availability.quotas import DAY_MS
from router.upstream.chat import read_chat
from router.upstream.dispatch import Limits
from tests.router.pursuing import Servers, house_of, two_places
from tests.servers.asking import ask, ask_stream
from tests.servers.house import House

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
