"""A serving process: it serves on a socket that it inherits, follows the store, and records what it decides."""

import asyncio
import gc
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from api.processes import logs, orders
from api.processes.orders import Order
from api.serving.auth import Auth
from api.serving.batch_door import BatchDoor
from api.serving.connections import Limits, bounded, sweep
from api.serving.gateway import Gateway
from api.serving.hot import HotApp
from api.serving.later import Later
from api.serving.metrics import Counters
from api.serving.upstream_keys import UpstreamKeys
from api.settings import Settings, environment
from router.clock import machine_clock
from router.deciding.signing import load_signer
from router.deciding.snapshot import Snapshot
from router.engine import Engine
from router.steering.control import Control
from router.transport.aiohttp_transport import AiohttpTransport
from router.upstream.dispatch import Dispatcher
from router.upstream.shadow import Shadows
from storage.errors import StoreError
from storage.open import open_store
from storage.spool.spool import spool_path

CLAIM_MS = 30_000
KEEP_ALIVE_S = 75
_TICKS_A_SECOND = 10
_GC_THRESHOLDS = (50_000, 50, 50)
_log = logging.getLogger("pointsman.worker")


class Worker:
    """Everything one serving process holds, from its order to its last commit."""

    def __init__(self, order: Order, redaction: logs.Redaction, counters: Counters) -> None:
        settings = order.settings
        self.order = order
        self.counters = counters
        self._redaction = redaction
        self._store = open_store(settings.store)
        self._number = self._store.claim_worker(order.holder, machine_clock(), CLAIM_MS)
        self._engine = Engine(
            self._store, load_signer(settings.store, settings.signing_key_text), self._number
        )
        self._keys = UpstreamKeys(self._engine, environment())
        self._transport = AiohttpTransport()
        self.rest = Later(self._build_rest)
        self._batches: BatchDoor | None = None
        self._ended = threading.Event()
        self._known: Snapshot | None = None
        self._missing = frozenset(self._keys.missing())
        self._lost = 0
        self._found = dict(self._engine.found_by)
        self._tiers = tuple(self._engine.tiers)
        self._chose = dict(self._engine.chosen_by)
        self._unusable = self._engine.unusable_answers
        self._dispatcher = Dispatcher(
            self._engine,
            self._transport,
            self._keys,
            secrets=self._keys.secrets_of,
            most_waiting=settings.max_connections // 2,
        )
        self._happened = dict(self._dispatcher.fleet.counts)
        self._shadows = Shadows(self._engine, self._dispatcher, counters.copied)

    def app(self) -> HotApp:
        """The application, all of it."""
        engine = self._engine
        gateway = Gateway(engine, self._dispatcher, max_in_flight=self.order.settings.max_in_flight)
        auth = Auth(lambda: engine.snapshot.state, self.order.loopback)
        settings = self.order.settings
        self._batches = BatchDoor(
            spool_path(settings.store, settings.batch_spool), settings.batch_spool_mb, machine_clock
        )
        return HotApp(engine, gateway, auth, self.rest, self.counters, self._live, self._batches)

    def each_second(self, connections: int) -> None:
        """Show the counters to the other workers; learn which secrets a new configuration brought."""
        lost = self._engine.recorder.lost
        self.counters.set("connections", connections)
        self.counters.add("rows_lost", lost - self._lost)
        found = dict(self._engine.found_by)
        self.counters.tasks_found({by: count - self._found[by] for by, count in found.items()})
        happened = dict(self._dispatcher.fleet.counts)
        self.counters.happened({kind: count - self._happened[kind] for kind, count in happened.items()})
        tiers = tuple(self._engine.tiers)
        self.counters.tiers_served([now - before for now, before in zip(tiers, self._tiers, strict=True)])
        self._tiers = tiers
        chose, unusable = dict(self._engine.chosen_by), self._engine.unusable_answers
        self.counters.policies_chose({by: count - self._chose[by] for by, count in chose.items()})
        self.counters.add("policy_unusable", unusable - self._unusable)
        self._chose, self._unusable = chose, unusable
        self.counters.publish()
        self._lost, self._found, self._happened = lost, found, happened
        if self._engine.snapshot is not self._known:
            self._known = self._engine.snapshot
            self._learn_keys()

    def keep_number(self, server: uvicorn.Server) -> None:
        """Renew the worker number, without which decision numbers would not be unique; end when it is lost."""
        while not self._ended.wait(CLAIM_MS / 3_000):
            try:
                number = self._store.claim_worker(self.order.holder, machine_clock(), CLAIM_MS)
            except StoreError as error:
                _log.warning("worker number %d was not renewed: %s", self._number, error)
                continue
            if number != self._number:
                _log.error("worker number %d went to another process; starting anew", self._number)
                server.should_exit = True
                return

    def _build_rest(self) -> ASGIApp:
        from api.admin.app import create_app

        return create_app(self._store, Control(self._store, machine_clock), self.counters)

    def _learn_keys(self) -> None:
        """Hide the keys that the configuration names now; say which new ones the environment lacks."""
        self._redaction.add(self._keys.secrets())
        missing = frozenset(self._keys.missing())
        for name in sorted(missing - self._missing):
            _log.warning("the environment variable %s is not set; its models are not called", name)
        self._missing = missing

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[None]:
        """From the first request to the last; what is queued is committed at the end."""
        try:
            yield
        finally:
            self._ended.set()
            await self._shadows.close()
            await self._transport.close()
            await asyncio.to_thread(self._engine.close)
            self._store.close()
            if self._batches is not None:
                self._batches.close()


class WorkerServer(uvicorn.Server):
    """Uvicorn with our sweep once a second."""

    def __init__(self, config: uvicorn.Config, worker: Worker) -> None:
        super().__init__(config)
        self._worker = worker

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving; the admin routes follow."""
        await super().startup(sockets)
        threading.Thread(
            target=self._worker.keep_number, args=(self,), name="pointsman-claim", daemon=True
        ).start()
        self._worker.rest.begin().add_done_callback(self._complete)

    def _complete(self, built: asyncio.Future[ASGIApp]) -> None:
        """Keep what start-up made out of garbage collection; end where the admin routes could not be made."""
        if not built.cancelled() and (error := built.exception()) is not None:
            _log.critical("the admin routes could not be made", exc_info=error)
            self.should_exit = True
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    async def on_tick(self, counter: int) -> bool:
        """Look after connections and counters."""
        if counter % _TICKS_A_SECOND == 0:
            self._worker.each_second(sweep(self, asyncio.get_running_loop().time()))
        return await super().on_tick(counter)


def serve(order: Order, listener: socket.socket, counters: Counters, redaction: logs.Redaction) -> None:
    """Serve until SIGTERM, or until the supervisor is gone."""
    worker = Worker(order, redaction, counters)
    server = WorkerServer(_config(order.settings, worker), worker)

    def end() -> None:
        server.should_exit = True

    orders.when_orphaned(order, end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())  # uvicorn raises the signal once more when it is done
    server.run(sockets=[listener])


def _config(settings: Settings, worker: Worker) -> uvicorn.Config:
    limits = Limits(
        settings.max_connections, settings.head_timeout_s, settings.body_timeout_s, worker.counters
    )
    return uvicorn.Config(
        worker.app(),
        loop="auto",
        http=bounded(limits),
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
    )


def work(order: Order, listener: socket.socket, page: int) -> None:
    """Serve as the supervisor says; `page` is the descriptor of the counters shared by all workers."""
    redaction = logs.Redaction([order.settings.signing_key_text or ""])
    logs.set_up(order.name, redaction)
    serve(order, listener, Counters(page, order.slot, order.settings.workers), redaction)
