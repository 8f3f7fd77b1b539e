"""The gateway: chat completions, embeddings, responses and models, as OpenAI clients know them.

Each handler parses, routes, dispatches and answers. The reply's `id` is the decision's id, which is what
feedback names later; headers say how the decision came about.

A stream whose client leaves is cut at once. A whole answer whose client leaves is finished, within bounds: its
provider bills it in any case, and only the finished answer says what it cost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson
from starlette.types import Receive, Scope, Send

from api.serving.bodies import ClientGone, read_body
from api.serving.departure import Departure, Unwatched
from api.serving.problems import problem_of
from api.serving.replies import JSON, Headers, Reply, send_reply
from router.deciding.choose import Decision
from router.deciding.snapshot import Snapshot
from router.deciding.tasks import AUTO_MODEL
from router.engine import Engine
from router.errors import InvalidRequest, Overloaded, PointsmanError, UpstreamRefused
from router.upstream.call import Call
from router.upstream.chat import read_chat
from router.upstream.dispatch import Dispatcher
from router.upstream.embeddings import read_embeddings
from router.upstream.features import with_features
from router.upstream.hints import TASK_PREFIX
from router.upstream.hints import Headers as SentHeaders
from router.upstream.relay import Relay
from router.upstream.responses import read_response

MAX_CHAT_BYTES = 20_000_000
Reader = Callable[[bytes, SentHeaders, bool, frozenset[str]], Call]
WATCH_AFTER_S = 1.0
"""How long a whole answer may take, a quarter of a second more or less, before anybody looks for its client."""
MAX_IN_FLIGHT = 500
FINISH_S = 10.0
"""How long a whole answer may go on after its client left."""
SLOW_CLIENT_S = 10.0
"""How long after the decision's time a client may still take to read a stream."""
EVENT_STREAM: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Gateway:
    """The OpenAI-compatible routes of one worker, behind authentication."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        finish_s: float = FINISH_S,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._engine = engine
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._finish_s = finish_s
        self._unwatched = Unwatched(WATCH_AFTER_S)
        self._dispatcher = dispatcher
        self._listed: Snapshot | None = None
        self._models = b""
        self._allowed: frozenset[str] = frozenset()

    def chat(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /v1/chat/completions."""
        return self._serve(read_chat, scope, receive, send)

    def embeddings(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /v1/embeddings."""
        return self._serve(read_embeddings, scope, receive, send)

    def responses(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /v1/responses."""
        return self._serve(read_response, scope, receive, send)

    async def _serve(self, read: Reader, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, route, answer. A request too many is refused before its body is read, so that refusing costs little."""
        if self._in_flight - self._dispatcher.waiting >= self._max_in_flight:
            self._dispatcher.fleet.count("shed")
            await send_reply(send, problem_of(_too_many(self._max_in_flight)))
            return
        self._in_flight += 1
        try:
            await self._serve_one(read, scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _serve_one(self, read: Reader, scope: Scope, receive: Receive, send: Send) -> None:
        decision: Decision | None = None
        try:
            body = await read_body(scope, receive, MAX_CHAT_BYTES)
            snapshot = self._follow()
            call = read(body, scope["headers"], snapshot.reads_text, self._allowed)
            call = with_features(call, snapshot)
            decision = await self._engine.route_async(call.route)
            if call.stream:
                await self._stream(decision, call, receive, send)
            else:
                await self._answer(decision, call, receive, send)
        except PointsmanError as error:
            await send_reply(send, chat_problem(error, decision))

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """GET /v1/models: what may stand in a request's `model`."""
        self._follow()
        await send_reply(send, Reply(200, self._models))

    def _follow(self) -> Snapshot:
        """The newest snapshot, with what is laid out of it for requests."""
        snapshot = self._engine.snapshot
        if snapshot is not self._listed:
            self._models = list_models(snapshot)
            self._allowed = frozenset().union(*(model.allow_fields for model in snapshot.models.values()))
            self._listed = snapshot
        return snapshot

    async def _answer(self, decision: Decision, call: Call, receive: Receive, send: Send) -> None:
        async with Departure(receive, self._unwatched, self._finish_s) as departure:
            answer = await self._dispatcher.answer(decision, call, departure)
        if departure.cancelled:
            raise ClientGone("the client left before its answer")
        headers = decision_headers(decision, answer.fallback_from)
        if answer.cost_usd is not None:
            headers.append((b"x-pointsman-cost", b"%.10g" % answer.cost_usd))
        await send_reply(send, Reply(200, answer.body, (*JSON, *headers)))

    async def _stream(self, decision: Decision, call: Call, receive: Receive, send: Send) -> None:
        """Relay a stream; when the client leaves, or does not read on, the upstream is cut."""
        relay: Relay | None = None
        last = b""
        try:
            waited_s = self._dispatcher.wait_s(decision, call)
            async with asyncio.timeout(waited_s + decision.timeout_s + SLOW_CLIENT_S):
                async with Departure(receive) as departure:
                    relay = await self._dispatcher.stream(decision, call)
                    last = await _relay(decision, relay, send)
                if not departure.gone:
                    await send({"type": "http.response.body", "body": last})
        except TimeoutError:
            raise ClientGone("the client does not read its stream") from None
        finally:
            if relay is not None:
                await relay.close()


async def _relay(decision: Decision, relay: Relay, send: Send) -> bytes:
    """Send the head and all of a stream but its last bytes, which are returned."""
    headers = [*EVENT_STREAM, *decision_headers(decision, relay.account.fallback_from)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        piece = await relay.read()
        if relay.over:
            return piece
        await send({"type": "http.response.body", "body": piece, "more_body": True})


def _too_many(limit: int) -> Overloaded:
    return Overloaded(f"this worker has {limit} requests to models under way already; try again in a second")


def decision_headers(decision: Decision, fallback_from: str | None = None) -> list[tuple[bytes, bytes]]:
    """How the decision came about; names are ASCII by their rules."""
    headers = [
        (b"x-pointsman-decision", decision.id.encode()),
        (b"x-pointsman-task", decision.task.encode()),
        (b"x-pointsman-reason", decision.reason.encode()),
    ]
    if decision.experiment is not None and decision.candidate is not None:
        headers.append((b"x-pointsman-experiment", decision.experiment.encode()))
        headers.append((b"x-pointsman-candidate", decision.candidate.encode()))
        headers.append((b"x-pointsman-propensity", b"%.10g" % decision.propensity))
    if fallback_from is not None:
        headers.append((b"x-pointsman-fallback-from", fallback_from.encode()))
    if decision.degraded:
        headers.append((b"x-pointsman-degraded", b"true"))
    return headers


def chat_problem(error: PointsmanError, decision: Decision | None) -> Reply:
    """The answer for an error, as OpenAI clients expect it: 400 for a bad request, an upstream's own words."""
    reply = problem_of(error)
    if isinstance(error, InvalidRequest):
        reply = replace(reply, status=400)
    elif isinstance(error, UpstreamRefused) and error.body:
        reply = replace(reply, body=error.body)
    if decision is None:
        return reply
    return replace(reply, headers=(*reply.headers, *decision_headers(decision)))


def list_models(snapshot: Snapshot) -> bytes:
    """The body of GET /v1/models: `auto`, every task, every policy, every model."""
    config = snapshot.state.config
    created = config.applied_at_ms // 1_000 if config is not None else 0
    names = [(AUTO_MODEL, "pointsman"), *((TASK_PREFIX + task, "pointsman") for task in snapshot.tasks)]
    names += ((name, "pointsman") for name in snapshot.policies)
    names += ((name, model.provider) for name, model in snapshot.models.items())
    listed = [{"id": name, "object": "model", "created": created, "owned_by": owner} for name, owner in names]
    return orjson.dumps({"object": "list", "data": listed})
