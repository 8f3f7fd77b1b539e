"""The front of the server: raw ASGI that answers the hot routes itself and hands everything else on.

Every request except the two health probes has an identity before anything else happens to it. What is
allowed depends on the exact path alone.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Request

from api.serving.auth import Auth, Identity, lacking
from api.serving.batch_door import BatchDoor, is_batch_path
from api.serving.bodies import ClientGone, read_body, replay
from api.serving.decisions import Decisions
from api.serving.metrics import Counters
from api.serving.problems import problem, problem_of
from api.serving.replies import JSON, Reply, json_reply, send_reply
from router.engine import Engine
from router.errors import PointsmanError
from storage.records import Scope

IDENTITY = "pointsman.identity"
"""Where the identity stands in the ASGI scope for the routes behind."""
_BODY_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_log = logging.getLogger("pointsman.http")


class Gateway(Protocol):
    """The OpenAI-compatible routes; they answer through `send` themselves."""

    def chat(self, scope: Request, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /v1/chat/completions."""

    def embeddings(self, scope: Request, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /v1/embeddings."""

    def responses(self, scope: Request, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /v1/responses."""

    def models(self, scope: Request, receive: Receive, send: Send) -> Awaitable[None]:
        """GET /v1/models."""


@dataclass(frozen=True, slots=True)
class HotRoute:
    """One route of the front: its method, the scope it needs, and its name in the metrics."""

    method: str
    needed: Scope
    endpoint: str


HOT_ROUTES: Mapping[str, HotRoute] = {
    "/v1/chat/completions": HotRoute("POST", "traffic", "chat"),
    "/v1/embeddings": HotRoute("POST", "traffic", "embeddings"),
    "/v1/responses": HotRoute("POST", "traffic", "responses"),
    "/v1/models": HotRoute("GET", "traffic", "models"),
    "/v1/route": HotRoute("POST", "traffic", "route"),
    "/v1/feedback": HotRoute("POST", "feedback", "feedback"),
}
PUBLIC = ("/healthz", "/readyz")
Life = Callable[[], AbstractAsyncContextManager[None]]


class HotApp:
    """The ASGI application of a serving worker."""

    def __init__(
        self, engine: Engine, gateway: Gateway, auth: Auth, rest: ASGIApp, counters: Counters, life: Life,
        batches: BatchDoor | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._batches = batches
        self._auth = auth
        self._rest = rest
        self._counters = counters
        self._life = life
        self._answers: Mapping[str, ASGIApp] = {
            "chat": gateway.chat,
            "embeddings": gateway.embeddings,
            "responses": gateway.responses,
            "models": gateway.models,
        }
        decisions = Decisions(engine, counters)
        self._decisions: Mapping[str, Callable[[bytes], Awaitable[Reply]]] = {
            "route": decisions.route,
            "feedback": decisions.feedback,
        }

    def __call__(self, scope: Request, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request, or run from start-up to shutdown."""
        if scope["type"] == "http":
            return self._answer(scope, receive, send)
        if scope["type"] == "lifespan":
            return _live(self._life, receive, send)
        return send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Request, receive: Receive, send: Send) -> None:
        started_s = perf_counter()
        path = scope["path"]
        hot = HOT_ROUTES.get(path)
        if hot is None and path in PUBLIC:
            await send_reply(send, self._health(path))
            return
        endpoint = "other" if hot is None else hot.endpoint
        watched = _Watched(send)
        try:
            await self._dispatch(scope, receive, watched, hot)
        except PointsmanError as error:
            await watched.fail(problem_of(error))
        except ClientGone:
            return
        except Exception:
            _log.exception("request to %s failed", path)
            await watched.fail(problem("internal_error", "an error inside the server; its log says more"))
        if watched.status:
            self._counters.answered(endpoint, watched.status, perf_counter() - started_s)

    async def _dispatch(self, scope: Request, receive: Receive, send: Send, hot: HotRoute | None) -> None:
        """Admit the request, then let its route answer."""
        found = self._auth.identify(scope) if hot is None else self._auth.admit(scope, hot.needed)
        if isinstance(found, Reply):
            await send_reply(send, found)
        elif hot is None and self._batches is not None and is_batch_path(scope["path"]):
            if found.may("traffic"):
                await self._batches.answer(scope, receive, send, found.actor)
            else:
                await send_reply(send, lacking("traffic"))
        elif hot is None:
            await self._hand_on(scope, receive, send, found)
        elif scope["method"] != hot.method:
            refused = problem("method_not_allowed", f"this route takes {hot.method} only")
            allow = (b"allow", hot.method.encode())
            await send_reply(send, Reply(refused.status, refused.body, (*refused.headers, allow)))
        elif (answer := self._answers.get(hot.endpoint)) is not None:
            await answer(scope, receive, send)
        else:
            reply = await self._decisions[hot.endpoint](await read_body(scope, receive))
            await send_reply(send, reply)

    async def _hand_on(self, scope: Request, receive: Receive, send: Send, identity: Identity) -> None:
        """Give the request to the application behind, with its identity and a body of bounded size."""
        scope[IDENTITY] = identity
        if scope["method"] in _BODY_METHODS:
            receive = replay(await read_body(scope, receive), receive)
            kept = [header for header in scope["headers"] if header[0] != b"content-type"]
            scope["headers"] = [*kept, *JSON]  # bodies are JSON here, whatever a client calls them
        await self._rest(scope, receive, send)

    def _health(self, path: str) -> Reply:
        """`/healthz`: this process runs. `/readyz`: its snapshot is fresh enough for decisions to count."""
        if path == "/healthz" or self._engine.healthy():
            return json_reply({"status": "ok"})
        return problem("not_ready", "the ledger does not answer; decisions go on, marked as degraded", 1)


class _Watched:
    """A `send` that remembers the status."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        """The server's own awaitable: one of ours around each message would cost as much as what it does."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        return self._send(message)

    async def fail(self, reply: Reply) -> None:
        """Answer with an error, unless an answer is under way: then it is cut, never completed."""
        if self.status == 0:
            await send_reply(self, reply)


async def _live(life: Life, receive: Receive, send: Send) -> None:
    """The lifespan protocol around the resources of the application."""
    await receive()
    started = False
    try:
        async with life():
            await send({"type": "lifespan.startup.complete"})
            started = True
            await receive()
    except Exception as error:
        _log.exception("start-up or shutdown failed")
        stage = "shutdown" if started else "startup"
        await send({"type": f"lifespan.{stage}.failed", "message": f"{type(error).__name__}: {error}"})
        return
    await send({"type": "lifespan.shutdown.complete"})
