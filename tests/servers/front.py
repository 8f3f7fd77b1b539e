"""The whole ASGI application for tests, called without a socket: real store, engine, gateway and admin routes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api.admin.app import create_app
from api.serving.auth import Auth
from api.serving.batch_door import BatchDoor
from api.serving.gateway import Gateway
from api.serving.hot import HotApp
from api.serving.metrics import Counters
from experiments.definition.experiment import Experiment
from router.steering.control import Control
from storage.records import Scope
from storage.spool.spool import spool_path
from tests.servers.house import House, document

HOST = (b"host", b"localhost:8080")
DEFINITION = Experiment(name="cheaper", task="support", candidates=("big", "small"), unit="user", mode="ab")


@dataclass(frozen=True)
class Got:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's stable name."""
        return str(self.json["error"]["code"])


class Front:
    """The application over one house; `get`, `post` and the like call it."""

    def __init__(self, house: House, loopback: bool = True, ledger: Path | None = None) -> None:
        """Beside `ledger` batches have a place."""
        self.house = house
        self.engine = house.engine
        self.store = house.store
        self.control = Control(house.store, house.engine.clock)
        self.counters = Counters()
        self.rest = create_app(house.store, self.control, self.counters)
        auth = Auth(lambda: house.engine.snapshot.state, loopback)
        gateway = Gateway(house.engine, house.dispatcher)
        self.batches = BatchDoor(None if ledger is None else spool_path(str(ledger)), 1, house.engine.clock)
        self.app = HotApp(house.engine, gateway, auth, self.rest, self.counters, _nothing, self.batches)
        self.key: str | None = None
        """Bearer key sent with every request."""

    def add_key(self, name: str, *scopes: Scope) -> str:
        """A key that the application knows at once."""
        secret = self.control.add_key(name, scopes, "test")
        self.engine.refresh()
        return secret

    def start_experiment(self) -> None:
        """Run DEFINITION."""
        self.house.start(DEFINITION)

    def get(self, path: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Got:
        """GET a path."""
        return self.call("GET", path, headers=headers)

    def post(self, path: str, content: object = None, headers: Sequence[tuple[bytes, bytes]] = ()) -> Got:
        """POST content as JSON."""
        return self.call("POST", path, b"" if content is None else json.dumps(content).encode(), headers)

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = (),
        host: tuple[bytes, bytes] | None = HOST,
    ) -> Got:  # fmt: skip
        """One request through the application."""
        sent = [*headers, *([host] if host else [])]
        if self.key is not None:
            sent.append((b"authorization", b"Bearer " + self.key.encode()))
        if body:
            sent.append((b"content-length", b"%d" % len(body)))
        return asyncio.run(_call(self.app, method, path, sent, body))


@contextmanager
def open_front(loopback: bool = True, **changes: Any) -> Iterator[Front]:
    """The application over a configuration whose upstreams answer nothing."""
    urls = {"big": "http://127.0.0.1:9/v1", "small": "http://127.0.0.1:9/v1"}
    house = House(document(urls, **changes))
    with TemporaryDirectory() as folder:
        front = Front(house, loopback, Path(folder) / "ledger.sqlite")
        try:
            yield front
        finally:
            house.close()
            front.batches.close()


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


async def _call(app: HotApp, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Got:
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": headers, "scheme": "http", "root_path": "",
        "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"}, "state": {},
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    gone = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    whole = b"".join(message.get("body", b"") for message in sent[1:])
    return Got(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, whole)
