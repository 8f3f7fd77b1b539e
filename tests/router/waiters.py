"""Ways to have batch requests wait at a limit, on a clock that tests move."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import orjson

from router.availability.quotas import MINUTE_MS
from router.upstream.chat import read_chat
from router.upstream.dispatch import Answer
from tests.router.pursuing import Servers
from tests.servers.asking import QUICK
from tests.servers.house import House, document
from tests.servers.upstream import UpstreamServer

NOON_MS = 20_000 * 86_400_000 + 43_200_000
QUEUE = {"wait_s": 20, "longest": 100}
BATCH = ((b"x-pointsman-latency", b"batch"),)


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
