"""`pointsman serve`: one supervisor, several serving workers on one socket, one planner, one batcher.

The supervisor opens the socket once, so that a worker can be replaced without refusing anybody, and starts
a process again when it dies. It serves nothing itself, and loads what a worker needs as its processes are copies of
it (api.processes.children); what others need besides they load themselves.
"""

import gc
import logging
import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from api.processes import logs
from api.processes.children import Child
from api.processes.orders import Order
from api.processes.preparation import Prepared, Say, prepare
from api.serving.metrics import page_bytes
from api.settings import Settings
from router.errors import ConfigInvalid
from storage.open import place_of
from storage.spool.spool import spool_path

TICK_S = 0.05
GRACE_S = 1.5
"""Time after the workers' own limit before they are killed."""
HOPELESS = 4
"""Starts in a row that may fail before the server was ready once."""
_log = logging.getLogger("pointsman.serve")


def _print(line: str) -> None:
    print(line, flush=True)


def serve(
    settings: Settings, config_path: Path | None = None, say: Say = _print, with_parent: bool = False
) -> int:
    """Serve until SIGTERM or SIGINT, or until the parent process is gone; returns the exit status.

    Raises ConfigInvalid before anything starts.
    """
    logs.set_up("supervisor", logs.Redaction([settings.signing_key_text or ""]))
    prepared = prepare(settings, config_path, say)
    return Supervisor(settings, prepared, say, os.getppid() if with_parent else None).run()


class Supervisor:
    """Keeps the server's processes alive until it is told to end."""

    def __init__(self, settings: Settings, prepared: Prepared, say: Say, parent: int | None = None) -> None:
        self._parent = parent
        self._settings = settings
        self._prepared = prepared
        self._say = say
        self._told_to_end = False
        self._ready = False

    def run(self) -> int:
        """Start everything, watch it, and end it in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        reading, writing = os.pipe()
        with tempfile.TemporaryFile() as page:
            page.truncate(page_bytes(self._settings.workers))
            children = self._children(page.fileno(), _Lifeline(reading, writing))
            gc.freeze()  # a collection would write to every page that the copies share
            try:
                self._watch(children)
            finally:
                self._end(children)
                os.close(reading)
                os.close(writing)
        return 0

    def _children(self, page: int, lifeline: "_Lifeline") -> list[Child]:
        """One child for each worker, the planner, and the batcher where batches have a place."""
        from api.processes.worker import work

        listener, only_here = self._prepared.listener, (lifeline.writing,)
        serving = partial(work, listener=listener, page=page)
        workers = [
            Child(serving, self._order(f"worker {slot}", lifeline, slot), only_here)
            for slot in range(self._settings.workers)
        ]
        elsewhere = (*only_here, listener.fileno(), page)
        planner = Child(_plan, self._order("planner", lifeline), elsewhere)
        folder = spool_path(self._settings.store, self._settings.batch_spool)
        if folder is None or not self._settings.batch_spool_mb:
            return [*workers, planner]
        return [*workers, planner, Child(_work_on_batches, self._order("batcher", lifeline), elsewhere)]

    def _order(self, name: str, lifeline: "_Lifeline", slot: int = 0) -> Order:
        holder = f"{socket.gethostname()}:{os.getpid()}:{time.monotonic_ns()}:{name}"
        return Order(self._settings, name, holder, slot, self._prepared.loopback, lifeline.reading)

    def _watch(self, children: list[Child]) -> None:
        while not self._told_to_end and self._parent in (None, os.getppid()):
            now_s = time.monotonic()
            for child in children:
                child.look(now_s)
                if not self._ready and child.failures >= HOPELESS:
                    raise ConfigInvalid(f"{child.name} does not start; the lines above say why")
            if not self._ready and _answers(self._prepared.url):
                self._ready = True
                self._announce()
            time.sleep(TICK_S)

    def _announce(self) -> None:
        workers = "1 worker" if self._settings.workers == 1 else f"{self._settings.workers} workers"
        ledger = place_of(self._settings.store)
        self._say(f"Pointsman is ready at {self._prepared.url} ({workers}, ledger {ledger})")
        if self._prepared.open:
            self._say(
                "The ledger holds no key: this machine needs none. Make the first with: pointsman keys add"
            )

    def _end(self, children: list[Child]) -> None:
        """Stop accepting, let running requests finish, kill what outstays its time."""
        self._prepared.listener.close()
        for child in children:
            child.end()
        deadline_s = time.monotonic() + self._settings.shutdown_s + GRACE_S
        ended = [child.wait_until(deadline_s) for child in children]
        if not all(ended):
            _log.error("%d processes were killed; rows they had not written are lost", ended.count(False))

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_end = True


@dataclass(frozen=True)
class _Lifeline:
    """Both ends of the pipe by which processes notice that the supervisor is gone."""

    reading: int
    writing: int


def _plan(order: Order) -> None:
    from api.processes.planner import work

    work(order)


def _work_on_batches(order: Order) -> None:
    from api.processes.batcher import work

    work(order)


def _answers(url: str) -> bool:
    """Whether a worker says that it is ready."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=0.5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
