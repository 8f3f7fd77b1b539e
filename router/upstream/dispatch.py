"""Dispatch: call the decided model, else its fallbacks, until one answers or the time is over.

A pinned model has no fallbacks. While a fallback is left, an attempt may use two thirds of the remaining
time, so that one hanging upstream does not use it all. A stream falls back until its first chunk; what
comes after belongs to the relay.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from router.config.document import Model
from router.deciding.choose import Decision
from router.engine import Engine
from router.upstream.account import Account, Monotonic
from router.upstream.attempts import AttemptFailed, not_configured, of_status, of_transport, timed_out
from router.upstream.chat import Chat
from router.upstream.relay import Relay
from router.upstream.replies import read_completion, write_completion
from router.upstream.transport import (
    ConnectFailed,
    Deadlines,
    Transport,
    TransportError,
    Upstream,
    UpstreamStream,
)

MAX_ERROR_BYTES = 64 * 1024
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True)
class Limits:
    """Longest waits; a task's timeout_s goes before them."""

    connect_s: float = 2.0
    first_chunk_s: float = 60.0
    """Until a stream's first chunk."""
    idle_s: float = 30.0
    """Between two pieces of a stream."""
    attempt_share: float = 2 / 3
    """Part of the remaining time for an attempt that has a fallback behind it."""

    def deadlines(self, budget_s: float) -> Deadlines:
        """Deadlines of an attempt that may take `budget_s`."""
        return Deadlines(min(self.connect_s, budget_s), self.idle_s, budget_s)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer for the client."""

    body: bytes
    model: str
    cost_usd: float | None
    fallback_from: str | None


class Dispatcher:
    """Calls models through one transport. `keys` maps a model's name to its upstream's key."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        keys: Mapping[str, str],
        limits: Limits | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._keys = keys
        self._limits = limits or Limits()
        self._monotonic = monotonic

    async def answer(self, decision: Decision, chat: Chat) -> Answer:
        """A whole answer; raises UpstreamFailed. The call row is queued in either case."""

        async def whole(model: str, budget_s: float) -> Answer:
            return await self._whole(account, chat, model, budget_s)

        with Account(self._engine, decision, chat, self._monotonic) as account:
            answer = await self._chain(account, whole)
            account.settle(None)
            return answer

    async def stream(self, decision: Decision, chat: Chat) -> Relay:
        """A stream whose first chunk is there; raises UpstreamFailed. The caller must close it."""

        async def begin(model: str, budget_s: float) -> Relay:
            return await self._begin(account, chat, model, budget_s)

        with Account(self._engine, decision, chat, self._monotonic) as account:
            return await self._chain(account, begin)

    async def _chain(self, account: Account, attempt: Callable[[str, float], Awaitable[_Got]]) -> _Got:
        """Try the models in turn; the last failure is what the client sees."""
        decision = account.decision
        fallbacks = () if decision.reason == "override" else decision.fallbacks
        models = tuple(dict.fromkeys((decision.model, *fallbacks)))
        failure = timed_out(decision.model)
        for model in models:
            remaining_s = account.remaining_s()
            if remaining_s <= 0:
                break
            share = 1.0 if model == models[-1] else self._limits.attempt_share
            account.begin(model)
            try:
                return await attempt(model, remaining_s * share)
            except AttemptFailed as error:
                failure = error
                if not error.another:
                    break
        account.settle(failure.code)
        raise failure.error

    async def _whole(self, account: Account, chat: Chat, model: str, budget_s: float) -> Answer:
        """One attempt at a whole answer."""
        target, body = self._prepare(account, chat, model)
        try:
            reply = await self._transport.call(target, body, self._limits.deadlines(budget_s))
            if reply.status == 200:
                return _answer(account, reply.body)
        except TransportError as error:
            raise _charged(account, error) from None
        account.free()
        raise of_status(model, target, reply.status, reply.body, reply.retry_after, self._engine.clock())

    async def _begin(self, account: Account, chat: Chat, model: str, budget_s: float) -> Relay:
        """One attempt at a stream, up to its first chunk."""
        target, body = self._prepare(account, chat, model)
        stream: UpstreamStream | None = None
        deadlines = self._limits.deadlines(account.remaining_s())
        try:
            async with asyncio.timeout(min(self._limits.first_chunk_s, budget_s)):
                stream = await self._transport.stream(target, body, deadlines)
                if stream.status != 200:
                    raise await self._refusal(account, target, stream)
                relay = Relay(account, chat, stream)
                await relay.start()
                return relay
        except BaseException as error:
            if stream is not None:
                stream.close()
            if isinstance(error, TransportError):
                raise _charged(account, error) from None
            if isinstance(error, TimeoutError):
                account.lost()
                raise timed_out(model) from None
            raise

    async def _refusal(self, account: Account, target: Upstream, stream: UpstreamStream) -> AttemptFailed:
        """The failure that a stream's status says, with as much of its body as an error needs."""
        account.free()
        body = b""
        while len(body) < MAX_ERROR_BYTES and (piece := await stream.read()):
            body += piece
        now_ms = self._engine.clock()
        return of_status(account.model, target, stream.status, body, stream.retry_after, now_ms)

    def _prepare(self, account: Account, chat: Chat, name: str) -> tuple[Upstream, bytes]:
        """Where to call a model, and with what."""
        model = self._engine.snapshot.models.get(name)
        if model is None:
            account.free()
            raise not_configured(name, "it is no longer declared")
        return self._target(account, name, model), chat.body_for(model.model or name)

    def _target(self, account: Account, name: str, model: Model) -> Upstream:
        key = self._keys.get(name)
        if key is None and model.api_key_env is not None:
            account.free()
            raise not_configured(name, "the server has no key for it; tell the operator")
        return Upstream(model.base_url + "/chat/completions", key)


def _charged(account: Account, error: TransportError) -> AttemptFailed:
    """Charge what a broken attempt may have cost."""
    if isinstance(error, ConnectFailed):
        account.free()
    account.lost()
    return of_transport(account.model, error)


def _answer(account: Account, body: bytes) -> Answer:
    """The answer for the client, charged to the account; raises BrokenAnswer if it is none."""
    completion = read_completion(body)
    account.characters = completion.characters
    usage = account.charge(completion.usage)
    written = write_completion(completion, account.decision.id, account.model, usage, account.cost_usd)
    return Answer(written, account.model, account.cost_usd, account.fallback_from)
