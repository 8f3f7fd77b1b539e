"""Dispatch: call the decided model, else its fallbacks, until one answers or the time is over.

Each model is spoken to in its own dialect; one whose API cannot say what a request asks for is passed over.
Which site is called when is the pursuit's business (router.upstream.pursuit). A stream falls back until its
first chunk; what comes after belongs to the relay.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from experiments.evidence.record import record
from router.availability.fleet import Fleet
from router.availability.lines import MOST_WAITING, Lines
from router.availability.quotas import Quotas
from router.availability.waits import Waits
from router.deciding.choose import Decision
from router.engine import Engine
from router.transport.transport import (
    ConnectFailed,
    Deadlines,
    Reply,
    Transport,
    TransportError,
    Upstream,
    UpstreamStream,
)
from router.upstream.account import PRESENT, Account, OnEnd, Presence
from router.upstream.attempt import Attempt, Monotonic
from router.upstream.attempts import (
    AttemptFailed,
    content_refused,
    ineligible,
    not_configured,
    of_status,
    of_transport,
    refused_midway,
    timed_out,
)
from router.upstream.call import Call
from router.upstream.dialects.spoken import exchange_of
from router.upstream.exchange import Exchange, Recipient, Untranslatable
from router.upstream.handoff import Handoff, Spoken, is_taken
from router.upstream.patience import queue_of
from router.upstream.pursuit import Pursuit, Refused
from router.upstream.race import Got
from router.upstream.refusals import StreamRefused
from router.upstream.relay import Relay
from router.upstream.replies import Completion
from router.upstream.usage import Usage

MAX_ERROR_BYTES = 64 * 1024
CONNECTING = 0.9
"""Part of the wait for an answer in which a connection must stand."""
_NONE: Mapping[str, str] = {}
Secrets = Callable[[str], Mapping[str, str]]
"""What a site's upstream asks for beside or instead of a key, by the site's id."""


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


@record(frozen=True, slots=True)
class Answer:
    """A whole answer for the client."""

    body: bytes
    model: str
    cost_usd: float | None
    fallback_from: str | None

    def drop(self) -> None:
        """It holds nothing that would have to be freed."""


class Dispatcher:
    """Calls models through one transport. `keys` maps a site's id, usually a model's name, to its upstream's key."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        keys: Mapping[str, str],
        limits: Limits | None = None,
        monotonic: Monotonic = time.monotonic,
        fleet: Fleet | None = None,
        secrets: Secrets | None = None,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._keys = keys
        self._secrets = secrets or _no_secrets
        self._limits = limits = limits or Limits()
        self._usual = Waits(limits.connect_s, limits.first_chunk_s, limits.idle_s)
        self._monotonic = monotonic
        self.fleet = fleet or Fleet()
        """What is known of the models' sites."""
        self._quotas = Quotas(engine.store, engine.clock)
        self._lines = Lines(monotonic, most_waiting)
        self.on_end: OnEnd | None = None
        """Told of every call that has ended, in the event loop."""

    async def answer(self, decision: Decision, call: Call, presence: Presence = PRESENT) -> Answer:
        """A whole answer; raises UpstreamFailed. The call row is queued in either case.

        Once the client has left no other model is tried: nobody reads what it would cost.
        """
        with Account(self._engine, decision, call, self._monotonic, presence, self.on_end) as account:
            pursuit: Pursuit[Answer] = self._pursuit(account, call, streamed=False)

            async def whole(attempt: Attempt, waits: Waits) -> Answer:
                return await self._whole(account, attempt, call, waits)

            answer = await pursuit.run(whole)
            account.settle(None)
            return answer

    async def stream(self, decision: Decision, call: Call) -> Relay:
        """A stream whose first chunk is there; raises UpstreamFailed. The caller must close it."""
        with Account(self._engine, decision, call, self._monotonic, PRESENT, self.on_end) as account:
            pursuit: Pursuit[Relay] = self._pursuit(account, call, streamed=True)

            async def begin(attempt: Attempt, waits: Waits) -> Relay:
                return await self._begin(account, attempt, call, waits)

            return await pursuit.run(begin)

    @property
    def waiting(self) -> int:
        """Requests that wait for room at a limit, and use no upstream meanwhile."""
        return self._lines.waiting

    def wait_s(self, decision: Decision, call: Call) -> float:
        """How long a request may wait at a limit before its own time begins."""
        if call.route.needs is None:
            return 0.0
        self.fleet.follow(self._engine.snapshot)
        queue = queue_of(self.fleet.terms(decision.task), decision, call.route.needs)
        return 0.0 if queue is None else queue.wait_s

    def _pursuit(self, account: Account, call: Call, streamed: bool) -> Pursuit[Got]:
        self.fleet.follow(self._engine.snapshot)
        return Pursuit(
            account, self.fleet, self._quotas, self._usual, self._limits.attempt_share, streamed, call.route.needs,
            self._monotonic, self._lines,
        )  # fmt: skip

    async def _whole(self, account: Account, attempt: Attempt, call: Call, waits: Waits) -> Answer:
        """One attempt at a whole answer."""
        exchange, target, body = self._prepare(attempt, call)
        site, clock = attempt.site, self._engine.clock
        try:
            reply = await self._transport.call(target, body, _deadlines(waits, waits.attempt_s))
            if reply.status == 200 or is_taken(site.model, reply.status):
                completion = exchange.read(reply.body, clock())
                attempt.characters, attempt.finish = completion.characters, completion.finish
                usage = attempt.charge(completion.usage)
                if attempt.holds and attempt.refused:
                    attempt.replied()
                    raise Refused(
                        content_refused(site.name), _answer(account, attempt, exchange, completion, usage)
                    )
                attempt.answered()
                return _answer(account, attempt, exchange, completion, usage)
        except TransportError as error:
            raise _charged(attempt, error) from None
        attempt.free()
        said = exchange.error(reply)
        raise of_status(site.name, target, said.status, said.body, said.retry_after, clock())

    async def _begin(self, account: Account, attempt: Attempt, call: Call, waits: Waits) -> Relay:
        """One attempt at a stream, up to its first chunk; a stream that began may use all the time that is left.

        Where a refusal is not the answer yet, it begins with its first content.
        """
        exchange, target, body = self._prepare(attempt, call)
        if isinstance(exchange, Handoff):
            return await self._begin_handoff(account, attempt, call, waits, (exchange, target, body))
        stream: UpstreamStream | None = None
        deadlines = _deadlines(waits, account.remaining_s(), streamed=True)
        try:
            async with asyncio.timeout(min(waits.first_token_s, waits.attempt_s)):
                stream = await self._transport.stream(target, body, deadlines)
                if stream.status != 200:
                    raise await self._refusal(attempt, exchange, target, stream)
                relay = Relay(account, attempt, exchange.events(attempt, call, self._engine.clock()), stream)
                await relay.start()
                if attempt.holds and relay.refused:
                    attempt.replied()
                    await relay.read_out()
                    raise Refused(content_refused(attempt.model), relay)
                attempt.answered()
                return relay
        except BaseException as error:
            if stream is not None:
                stream.close()
            if isinstance(error, StreamRefused):
                attempt.lost()
                raise refused_midway(attempt.model, target, error) from None
            if isinstance(error, TransportError):
                raise _charged(attempt, error) from None
            if isinstance(error, TimeoutError):
                attempt.lost()
                raise timed_out(attempt.model) from None
            raise

    async def _begin_handoff(
        self, account: Account, attempt: Attempt, call: Call, waits: Waits, asked: tuple[Handoff, Upstream, bytes]
    ) -> Relay:  # fmt: skip
        """One attempt at a hand-off whose answer the client wants as a stream."""
        exchange, target, body = asked
        now_ms, site = self._engine.clock(), attempt.site
        try:
            reply = await self._transport.call(target, body, _deadlines(waits, waits.attempt_s))
        except TransportError as error:
            raise _charged(attempt, error) from None
        if reply.status != 200 and not is_taken(site.model, reply.status):
            attempt.free()
            raise of_status(site.name, target, reply.status, reply.body, reply.retry_after, now_ms)
        spoken = Spoken(exchange.read(reply.body, now_ms))
        relay = Relay(account, attempt, exchange.events(attempt, call, now_ms), spoken)
        await relay.start()
        attempt.answered()
        return relay

    async def _refusal(
        self, attempt: Attempt, exchange: Exchange, target: Upstream, stream: UpstreamStream
    ) -> AttemptFailed:
        """The failure that a stream's status says, with as much of its body as an error needs."""
        attempt.free()
        body = b""
        while len(body) < MAX_ERROR_BYTES and (piece := await stream.read()):
            body += piece
        said = exchange.error(Reply(stream.status, body, stream.retry_after))
        return of_status(
            attempt.model, target, said.status, said.body, said.retry_after, self._engine.clock()
        )

    def _prepare(self, attempt: Attempt, call: Call) -> tuple[Exchange, Upstream, bytes]:
        """How and where to call a site, and with what."""
        site = attempt.site
        name, model = site.name, site.model
        key = self._keys.get(site.id)
        if key is None and model.api_key_env is not None:
            attempt.free()
            raise not_configured(name, "the server has no key for it; tell the operator")
        secrets = self._secrets(site.id) if model.secrets_env else _NONE
        if len(secrets) < len(model.secrets_env):
            attempt.free()
            raise not_configured(name, "the server lacks a secret for it; tell the operator")
        self.fleet.follow(self._engine.snapshot)
        if not self.fleet.places(site):  # the key may be that of its new place
            attempt.free()
            raise not_configured(name, "its configuration has just changed; ask again")
        try:
            if model.kind == "human":
                exchange: Exchange = Handoff(attempt.decision, model, call)
            else:
                exchange = exchange_of(model.dialect, call.endpoint)
            asked = Recipient(model, model.model or name, key, secrets)
            body = exchange.body(call, asked.name, model)
            return exchange, exchange.target(asked, call, body), body
        except Untranslatable as error:
            attempt.free()
            raise ineligible(name, str(error)) from None


def _no_secrets(site: str) -> Mapping[str, str]:  # noqa: ARG001  # there are none for any
    return {}


def _deadlines(waits: Waits, total_s: float, streamed: bool = False) -> Deadlines:
    """Deadlines of an attempt that may take `total_s`.

    Connecting ends before the wait for an answer does: what was never sent is known as that, and costs nothing.
    """
    answer_s = min(waits.first_token_s, waits.attempt_s) if streamed else total_s
    return Deadlines(min(waits.connect_s, CONNECTING * answer_s), waits.idle_s, total_s)


def _charged(attempt: Attempt, error: TransportError) -> AttemptFailed:
    """Charge what a broken attempt may have cost."""
    if isinstance(error, ConnectFailed):
        attempt.free()
    attempt.lost()
    return of_transport(attempt.model, error)


def _answer(
    account: Account, attempt: Attempt, exchange: Exchange, completion: Completion, usage: Usage
) -> Answer:
    """The answer for the client; raises BrokenAnswer if it cannot be written."""
    model, decision = attempt.model, attempt.decision
    written = exchange.write(completion, decision.id, model, usage, account.cost_usd)
    return Answer(written, model, account.cost_usd, None if model == decision.model else decision.model)
