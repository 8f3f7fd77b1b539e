"""A server that is asked over HTTP: with a deadline, remembered for a while, left alone when it fails.

One daemon thread with an event loop of its own does the asking for every caller, so a caller waits for at most the
deadline, whatever the other side does. Only the configuration names its URL; redirects are not followed.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from hashlib import blake2b
from typing import Generic, TypeVar

from router.clock import Clock
from router.transport.aiohttp_transport import AiohttpTransport
from router.transport.transport import Deadlines, TransportError, Upstream

MAX_ASKING = 256
"""Questions under way at once; more get no answer."""
FAILURES, REST_MS = 5, 5_000
"""Failures in a row after which it is left alone, and for how long."""
_MAX_REPLY_BYTES = 16_384
_OK = 200
Got = TypeVar("Got")


class Asked(Generic[Got]):
    """Answers of one server; safe for several threads."""

    def __init__(
        self, url: str, deadline_ms: int, cache: int, clock: Clock, read: Callable[[bytes], Got | None]
    ) -> None:
        """`read` makes an answer of a reply's body, or None of what is none."""
        self._target = Upstream(url)
        self.deadline_s = deadline_ms / 1000
        self.unusable = 0
        """Replies that were no answer."""
        self._clock = clock
        self._read = read
        self._remembered: OrderedDict[bytes, Got] = OrderedDict()
        self._capacity = cache
        self._lock = threading.Lock()
        self._transport = AiohttpTransport(_MAX_REPLY_BYTES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking = 0
        self._failures = 0
        self._resting_until_ms = 0
        self._closed = False

    def ask(self, question: bytes) -> Got | None:
        """What it answers; None if it does not in time."""
        return self.wait(self.begin(question), self.deadline_s)

    def begin(self, question: bytes) -> "Future[Got | None] | Got | None":
        """A question under way, an answer that is known already, or None where it would be in vain now."""
        known = self._recall(question)
        return self._ask(question) if known is None else known

    @staticmethod
    def wait(asked: "Future[Got | None] | Got | None", timeout_s: float) -> Got | None:
        """The answer to a question that was begun, if it comes within this time."""
        if not isinstance(asked, Future):
            return asked
        try:
            return asked.result(timeout_s)
        except (TimeoutError, CancelledError):
            return None

    async def ask_async(self, question: bytes) -> Got | None:
        """The same for an event loop, which goes on meanwhile."""
        asked = self.begin(question)
        if not isinstance(asked, Future):
            return asked
        waiting = asyncio.wrap_future(asked)
        done, _ = await asyncio.wait([waiting], timeout=self.deadline_s)
        return waiting.result() if done and not waiting.cancelled() else None

    def close(self) -> None:
        """End the thread; what is still asked gets no answer."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _recall(self, question: bytes) -> Got | None:
        key = _key(question)
        with self._lock:
            known = self._remembered.get(key)
            if known is not None:
                self._remembered.move_to_end(key)
        return known

    def _ask(self, question: bytes) -> "Future[Got | None] | None":
        """A question under way; None where it would be in vain now."""
        with self._lock:
            if self._closed or self._asking >= MAX_ASKING or self._clock() < self._resting_until_ms:
                return None
            self._asking += 1
            if self._loop is None:
                self._loop = self._start()
            return asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(
            target=_run, args=(loop, self._transport), name="pointsman-asking", daemon=True
        ).start()
        return loop

    async def _answer(self, question: bytes) -> Got | None:
        """One question and its answer, within the deadline or not at all."""
        answer: Got | None = None
        replied = False
        deadlines = Deadlines(self.deadline_s, self.deadline_s, self.deadline_s)
        with suppress(TransportError, TimeoutError):
            async with asyncio.timeout(self.deadline_s):
                reply = await self._transport.call(self._target, question, deadlines)
            replied = reply.status == _OK
            answer = self._read(reply.body) if replied else None
        self._note(question, answer, replied)
        return answer

    def _note(self, question: bytes, answer: Got | None, replied: bool) -> None:
        """Remember an answer; after several failures in a row, rest."""
        with self._lock:
            self._asking -= 1
            if answer is None:
                self.unusable += replied
                self._failures += 1
                if self._failures >= FAILURES:
                    self._resting_until_ms = self._clock() + REST_MS
                return
            self._failures = 0
            if self._capacity:
                self._remembered[_key(question)] = answer
                if len(self._remembered) > self._capacity:
                    self._remembered.popitem(last=False)


def _run(loop: asyncio.AbstractEventLoop, transport: AiohttpTransport) -> None:
    """The thread's life: answer until told to stop, then leave nothing open."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(transport.close())
    finally:
        loop.close()


def _key(question: bytes) -> bytes:
    """A digest stands for the question: prompts are not kept."""
    return blake2b(question, digest_size=16).digest()
