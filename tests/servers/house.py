"""A whole gateway for tests: real engine on a memory store, real transport, real upstream servers."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
import uvicorn

from api.serving.gateway import Gateway
from experiments.definition.experiment import Experiment
from router.availability.sites import site_ids
from router.clock import machine_clock
from router.deciding.decision_id import Signer, SigningKey
from router.engine import Engine
from router.steering.control import Control
from router.transport.aiohttp_transport import AiohttpTransport
from router.upstream.dispatch import Dispatcher, Limits, Secrets
from storage.memory.store import MemoryStore
from storage.records import CallRow, PutConfig
from tests.servers.upstream import UpstreamServer

PRICES = {"big": {"input": 10.0, "output": 30.0}, "small": {"input": 1.0, "output": 2.0}, "free": None}
"""US dollars per million tokens; nobody knows the price of `free`."""
KEY = "sk-upstream-0123456789"
SIGNER = Signer(SigningKey(1, b"k" * 32))
_Got = TypeVar("_Got")


def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def document(urls: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """A configuration with one model for each upstream, all tasks served by `big` with fallback `small`."""
    models: dict[str, Any] = {}
    for name, url in urls.items():
        models[name] = {"base_url": url, "model": f"{name}-upstream", "api_key_env": "UPSTREAM_KEY"}
        if PRICES.get(name):
            models[name]["price"] = PRICES[name]
    fallbacks = [name for name in urls if name == "small"]
    tasks = {
        "support": {},
        "support/billing": {"match": {"keywords": ["invoice"]}},
        "math": {"timeout_s": 1.5},
    }
    return {
        "models": models,
        "default": "big",
        "fallbacks": fallbacks,
        "tasks": tasks,
        "timeout_s": 20.0,
        "retries": 0,
        **changes,
    }


class House:
    """Store, engine and dispatcher over the models of a configuration."""

    def __init__(
        self,
        config: Mapping[str, Any],
        limits: Limits | None = None,
        keys: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
    ):
        self.store = MemoryStore()
        self.store.commit([PutConfig(orjson.dumps(config).decode(), 0)])
        self.engine = Engine(self.store, SIGNER, follow=False)
        self.transport = AiohttpTransport()
        sites = self.engine.snapshot.models.items()
        every = [site for name, model in sites for site in (name, *site_ids(name, model))]
        known = dict.fromkeys(every, KEY) if keys is None else keys
        self.dispatcher = Dispatcher(self.engine, self.transport, known, limits, secrets=secrets)
        self.finished: list[CallRow] = []
        """Every call row that was queued, before the ledger drops what it has already."""
        self._listen()
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the gateway runs while it is served."""

    def _listen(self) -> None:
        queue = self.engine.recorder.finished

        def finished(row: CallRow) -> None:
            self.finished.append(row)
            queue(row)

        self.engine.recorder.finished = finished  # type: ignore[method-assign]  # reason: the real one follows

    def start(self, definition: Experiment) -> None:
        """Run an experiment."""
        control = Control(self.store, machine_clock)
        control.create(definition, "test")
        control.start(definition.name, "test")
        self.engine.refresh()

    def calls(self) -> list[dict[str, Any]]:
        """All call rows of the ledger."""
        self.engine.recorder.flush()
        return list(self.store.export("calls"))

    def run(self, work: Coroutine[Any, Any, _Got]) -> _Got:
        """Run a coroutine and close the transport in the same loop."""

        async def all_of_it() -> _Got:
            try:
                return await work
            finally:
                await self.transport.close()

        return asyncio.run(all_of_it())

    def in_loop(self, work: Callable[[], _Got]) -> _Got:
        """What a function gives in the loop of the served gateway."""
        assert self.loop is not None
        done: Future[_Got] = Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(work()))
        return done.result(10)

    def tasks(self) -> int:
        """How many tasks the served gateway runs now."""
        return self.in_loop(lambda: len(asyncio.all_tasks()))

    def close(self) -> None:
        """End the engine's threads."""
        self.engine.close()


@contextmanager
def open_house(urls: Mapping[str, str], limits: Limits | None = None, **changes: Any) -> Iterator[House]:
    """A house over these upstreams."""
    house = House(document(urls, **changes), limits)
    try:
        yield house
    finally:
        house.close()


@contextmanager
def serving(house: House, finish_s: float = 10.0, max_in_flight: int = 500) -> Iterator[str]:
    """A uvicorn server with the gateway's routes; gives its base URL."""
    gateway = Gateway(house.engine, house.dispatcher, finish_s, max_in_flight)
    routes = {"models": gateway.models, "embeddings": gateway.embeddings, "responses": gateway.responses}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        route = routes.get(scope["path"].removeprefix("/v1/"), gateway.chat)
        await route(scope, receive, send)

    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)

    async def serve() -> None:
        house.loop = asyncio.get_running_loop()
        await server.serve()
        await house.transport.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway", daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def upstreams(*names: str) -> Iterator[dict[str, UpstreamServer]]:
    """One upstream server for each name."""
    servers = {name: UpstreamServer() for name in names}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.stop()
