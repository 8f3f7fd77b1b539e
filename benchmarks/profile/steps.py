"""The steps of a request, each alone in a warm loop: lower bounds, as in place they cost about twice as much.

Processor time of the calling thread, best of some rounds.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import uvloop
from starlette.types import Message, Receive, Scope, Send

from api.serving.auth import Auth
from api.serving.bodies import read_body
from api.serving.decisions import Decisions
from api.serving.gateway import Gateway, decision_headers
from api.serving.hot import HotApp
from api.serving.metrics import Counters
from api.serving.replies import JSON, Reply, send_reply
from benchmarks.loopback import ANSWER
from benchmarks.serving import CHAT, chat_body
from router.applying.plan import seed
from router.clock import machine_clock
from router.config.document import Document
from router.deciding.choose import RouteRequest, choose
from router.deciding.decision_id import Numbers, Signer, SigningKey, request_unit
from router.deciding.place import place
from router.engine import Engine
from router.keys import hash_key
from router.recording.feedback import parse_items
from router.steering.control import Control
from router.transport.aiohttp_transport import AiohttpTransport
from router.transport.transport import ConnectFailed, Deadlines, Upstream, UpstreamStream
from router.transport.transport import Reply as UpstreamReply
from router.upstream.chat import read_chat
from router.upstream.dialects.spoken import exchange_of
from router.upstream.dispatch import Dispatcher
from router.upstream.exchange import Recipient
from router.upstream.features import with_features
from router.upstream.hints import parse_body
from router.upstream.replies import read_completion, write_completion
from storage.open import open_store
from storage.records import Batch, CallRow, DecisionRow, KeyRow

CALLS, ROUNDS, GROUP, AT_ONCE = 100, 100, 250, 32
BODY = chat_body()
MODEL = {"base_url": "http://127.0.0.1:9/v1", "price": {"input": 1, "output": 2}}
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"300")]
SECRET = "pm-benchmark"  # noqa: S105  # of a key that exists here only
Row = tuple[str, float]


def best_us(call: Callable[[], object], calls: int = CALLS) -> float:
    """Microseconds of one call."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(calls):
            call()
        rounds.append((time.thread_time() - began) / calls * 1e6)
    return min(rounds)


async def awaited_us(call: Callable[[], Awaitable[object]], calls: int = CALLS) -> float:
    """Microseconds of one call that is awaited."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(calls):
            await call()
        rounds.append((time.thread_time() - began) / calls * 1e6)
    return min(rounds)


class Instant:
    """A transport whose answers are there at once."""

    async def call(self, target: Upstream, body: bytes, deadlines: Deadlines) -> UpstreamReply:  # noqa: ARG002
        """The fixed answer."""
        return UpstreamReply(200, ANSWER)

    async def stream(self, target: Upstream, body: bytes, deadlines: Deadlines) -> UpstreamStream:  # noqa: ARG002
        """Only whole answers are measured."""
        raise ConnectFailed("this transport has whole answers only")

    async def close(self) -> None:
        """Nothing is open."""


class Dropped:
    """A recorder that drops what it gets."""

    lost = 0

    def decided(self, row: DecisionRow) -> None:
        """Drop a decision."""

    def finished(self, row: CallRow) -> None:
        """Drop a call."""


class Kept(Dropped):
    """A recorder that keeps rows for later."""

    def __init__(self, rows: list[DecisionRow], calls: list[CallRow]) -> None:
        self._rows, self._calls = rows, calls

    def decided(self, row: DecisionRow) -> None:
        """Keep a decision."""
        self._rows.append(row)

    def finished(self, row: CallRow) -> None:
        """Keep a call."""
        self._calls.append(row)


async def sent(message: Message) -> None:
    """A client that reads everything."""


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine over an SQLite file, its experiment running; the rows of its decisions are dropped."""
    document = Document.model_validate(
        {
            "models": {"one": MODEL, "two": MODEL},
            "default": "one",
            "tasks": {"bench": {}},
            "experiments": {"compare": {"task": "bench", "candidates": ["one", "two"]}},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder, "ledger.sqlite")))
        seed(store, document, machine_clock, "benchmark")
        Control(store, machine_clock).start("compare", "benchmark")
        found = Engine(store, Signer(SigningKey(1, b"k" * 32)), 0, machine_clock, follow=False)
        yield found
        found.close()
        store.close()


async def whole_request() -> Message:
    """A request whose body is there."""
    return {"type": "http.request", "body": BODY, "more_body": False}


async def unused(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """The application behind, which no hot route asks."""


@asynccontextmanager
async def no_life() -> AsyncIterator[None]:
    """Nothing to start or to end."""
    yield


def scope_of(path: str, *headers: tuple[bytes, bytes]) -> Scope:
    """What uvicorn says of a request."""
    return {"type": "http", "method": "POST", "path": path, "headers": [*HEADERS, *headers]}


async def reading(routing: Engine) -> AsyncIterator[Row]:
    """Who asks, and for what."""
    keyless = Auth(lambda: routing.snapshot.state, True)
    keyed_state = replace(routing.snapshot.state, keys=(KeyRow("k", hash_key(SECRET), ("traffic",), 0),))
    keyed = Auth(lambda: keyed_state, True)
    local, bearing = scope_of(CHAT), scope_of(CHAT, (b"authorization", b"Bearer " + SECRET.encode()))
    call, snapshot = read_chat(BODY, HEADERS, False), routing.snapshot
    yield "admit a local request, no keys", best_us(lambda: keyless.admit(local, "traffic"))
    yield "admit by bearer key", best_us(lambda: keyed.admit(bearing, "traffic"))
    yield "read the body", await awaited_us(lambda: read_body(local, whole_request))
    yield "parse its JSON", best_us(lambda: parse_body(BODY))
    yield (
        "parse, check fields, hints, write what is forwarded",
        best_us(lambda: read_chat(BODY, HEADERS, False)),
    )
    yield "look for needs of the body", best_us(lambda: with_features(call, snapshot))


async def deciding(routing: Engine) -> AsyncIterator[Row]:
    """Which model, and what is kept of it."""
    snapshot, request = routing.snapshot, read_chat(BODY, HEADERS, False).route
    numbers, signer = Numbers(1, machine_clock), Signer(SigningKey(1, b"k" * 32))
    placement, number = place(snapshot, request), numbers.next()
    decision, unit = choose(placement, number, signer), request_unit(number)
    yield "task, hints, experiment", best_us(lambda: place(snapshot, request))
    yield "decision number", best_us(numbers.next)
    yield "draw, mint and sign the id", best_us(lambda: choose(placement, number, signer))
    yield "mint and sign alone", best_us(lambda: signer.mint(1, 1, 1, unit, number))
    yield "row of the decision", best_us(decision.row)
    with dropped(routing):
        yield "route(), all of it, rows dropped", await awaited_us(lambda: routing.route_async(request))


async def answering(routing: Engine) -> AsyncIterator[Row]:
    """The call, and its answer."""
    call = read_chat(BODY, HEADERS, False)
    dispatcher = Dispatcher(routing, Instant(), {})
    model, exchange = routing.snapshot.models["one"], exchange_of("openai", "chat")
    counters, completion = Counters(), read_completion(ANSWER)
    assert completion.usage is not None
    usage, price = completion.usage, routing.snapshot.prices["one"]
    with dropped(routing):
        decision = await routing.route_async(call.route)
        yield (
            "target and body for the upstream",
            best_us(
                lambda: exchange.target(Recipient(model, "one"), call, exchange.body(call, "one", model))
            ),
        )
        yield "parse the answer, its usage", best_us(lambda: read_completion(ANSWER))
        yield "cost of the usage", best_us(lambda: usage.cost_usd(price))
        yield (
            "write the answer",
            best_us(lambda: write_completion(completion, decision.id, "one", usage, 1e-6)),
        )
        yield (
            "answer(), all of it: account, attempt, row",
            await awaited_us(lambda: dispatcher.answer(decision, call)),
        )
        yield "reply headers", best_us(lambda: decision_headers(decision))
        yield "count the answer", best_us(lambda: counters.answered("chat", 200, 0.004))
        reply = Reply(200, ANSWER, (*JSON, *decision_headers(decision)))
        yield "hand the reply to the server", await awaited_us(lambda: send_reply(sent, reply))


async def whole(routing: Engine) -> AsyncIterator[Row]:
    """Requests from ASGI to ASGI: all but the HTTP server, the HTTP client and the ledger."""
    app = HotApp(
        routing, Gateway(routing, Dispatcher(routing, Instant(), {})), Auth(lambda: routing.snapshot.state, True),
        unused, Counters(), no_life,
    )  # fmt: skip
    chat = scope_of(CHAT)
    with dropped(routing):
        yield (
            "chat, from ASGI to ASGI, instant upstream",
            await awaited_us(lambda: app(chat, whole_request, sent)),
        )
        decisions = Decisions(routing, Counters())
        yield "POST /v1/route, body to reply", await awaited_us(lambda: decisions.route(b'{"task": "bench"}'))
    item = (
        b'{"decision_id": "%s", "value": 1}' % (await routing.route_async(RouteRequest("bench"))).id.encode()
    )
    yield "POST /v1/feedback, parse the item", best_us(lambda: parse_items(item))


async def calling(port: int) -> AsyncIterator[Row]:
    """The HTTP client with nothing around it; kernel time of both directions included."""
    transport, deadlines = AiohttpTransport(), Deadlines(2.0, 30.0, 60.0)
    target = Upstream(f"http://127.0.0.1:{port}/v1/chat/completions")

    async def some() -> None:
        await asyncio.gather(*(transport.call(target, BODY, deadlines) for _ in range(AT_ONCE)))

    yield f"call through aiohttp, {AT_ONCE} at once", await awaited_us(some, 5) / AT_ONCE
    await transport.close()


async def writing(routing: Engine) -> AsyncIterator[Row]:
    """The writer thread's part: one commit of many requests, two rows each."""
    rows: list[DecisionRow] = []
    calls: list[CallRow] = []
    kept = Kept(rows, calls)
    dispatcher, call = Dispatcher(routing, Instant(), {}), read_chat(BODY, HEADERS, False)
    queue: list[DecisionRow] = []
    with dropped(routing, kept):
        for _ in range(GROUP * ROUNDS):
            await dispatcher.answer(await routing.route_async(call.route), call)
    taken = iter(range(0, GROUP * ROUNDS, GROUP))

    def commit() -> None:
        start = next(taken)
        batch = Batch(tuple(rows[start : start + GROUP]), tuple(calls[start : start + GROUP]))
        routing.store.record(batch, machine_clock())

    yield "append a row to its queue", best_us(lambda: queue.append(rows[0]))
    yield f"commit, {GROUP} requests at once", best_us(commit, 1) / GROUP


@contextmanager
def dropped(routing: Engine, instead: "Dropped | None" = None) -> Iterator[None]:
    """Nothing is queued meanwhile: the writer thread would share the processor."""
    real = routing.recorder
    setattr(routing, "recorder", instead or Dropped())  # noqa: B010  # mypy would refuse the assignment
    try:
        yield
    finally:
        routing.recorder = real


async def _rows(port: int) -> AsyncIterator[Row]:
    with engine() as routing:
        for part in (
            reading(routing),
            deciding(routing),
            calling(port),
            answering(routing),
            writing(routing),
        ):
            async for row in part:
                yield row
        async for row in whole(routing):
            yield row


def steps(port: int) -> list[Row]:
    """All steps in the order of a request; `port` is where an upstream listens."""

    async def gathered() -> list[Row]:
        return [row async for row in _rows(port)]

    return uvloop.run(gathered())
