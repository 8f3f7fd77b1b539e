"""A classifier over HTTP: asked with a deadline, remembered for a while, left alone when it fails.

It is asked with `{"text": ...}` and answers `{"task": ..., "confidence": 0..1}`. One daemon thread with an event
loop of its own does the asking for every caller, so a caller waits for at most the deadline, whatever the other
side does. Only the configuration names its URL; redirects are not followed.
"""

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from hashlib import blake2b

import orjson

from router.classifying.grams import HEAD, TAIL
from router.classifying.guess import Guess
from router.clock import Clock
from router.transport.aiohttp_transport import AiohttpTransport
from router.transport.transport import Deadlines, TransportError, Upstream

MAX_ASKING = 256
"""Questions under way at once; more get no answer."""
FAILURES, REST_MS = 5, 5_000
"""Failures in a row after which it is left alone, and for how long."""
_MAX_REPLY_BYTES = 16_384
_LONGEST_TASK = 400
_OK = 200


class AskedClassifier:
    """Guesses of one server; safe for several threads."""

    def __init__(self, url: str, deadline_ms: int, cache: int, clock: Clock) -> None:
        self._target = Upstream(url)
        self._deadline_s = deadline_ms / 1000
        self._clock = clock
        self._remembered: OrderedDict[bytes, Guess] = OrderedDict()
        self._capacity = cache
        self._lock = threading.Lock()
        self._transport = AiohttpTransport(_MAX_REPLY_BYTES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking = 0
        self._failures = 0
        self._resting_until_ms = 0
        self._closed = False

    def guess(self, text: str) -> Guess | None:
        """What it takes a text for; None if it does not say in time."""
        asked = _part(text)
        known = self._recall(asked)
        if known is not None:
            return known
        future = self._ask(asked)
        if future is None:
            return None
        try:
            return future.result(self._deadline_s)
        except (TimeoutError, CancelledError):
            return None

    async def guess_async(self, text: str) -> Guess | None:
        """The same for an event loop, which goes on meanwhile."""
        asked = _part(text)
        known = self._recall(asked)
        if known is not None:
            return known
        future = self._ask(asked)
        if future is None:
            return None
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([waiting], timeout=self._deadline_s)
        return waiting.result() if done and not waiting.cancelled() else None

    def close(self) -> None:
        """End the thread; what is still asked gets no answer."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _recall(self, text: str) -> Guess | None:
        key = _key(text)
        with self._lock:
            known = self._remembered.get(key)
            if known is not None:
                self._remembered.move_to_end(key)
        return known

    def _ask(self, text: str) -> "Future[Guess | None] | None":
        """A question under way; None where it would be in vain now."""
        with self._lock:
            if self._closed or self._asking >= MAX_ASKING or self._clock() < self._resting_until_ms:
                return None
            self._asking += 1
            if self._loop is None:
                self._loop = self._start()
            return asyncio.run_coroutine_threadsafe(self._answer(text), self._loop)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(
            target=_run, args=(loop, self._transport), name="pointsman-classifier", daemon=True
        ).start()
        return loop

    async def _answer(self, text: str) -> Guess | None:
        """One question and its answer, within the deadline or not at all."""
        guess: Guess | None = None
        deadlines = Deadlines(self._deadline_s, self._deadline_s, self._deadline_s)
        with suppress(TransportError, TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                reply = await self._transport.call(self._target, orjson.dumps({"text": text}), deadlines)
            guess = _read(reply.body) if reply.status == _OK else None
        self._note(text, guess)
        return guess

    def _note(self, text: str, guess: Guess | None) -> None:
        """Remember an answer; after several failures in a row, rest."""
        with self._lock:
            self._asking -= 1
            if guess is None:
                self._failures += 1
                if self._failures >= FAILURES:
                    self._resting_until_ms = self._clock() + REST_MS
                return
            self._failures = 0
            if self._capacity:
                self._remembered[_key(text)] = guess
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


def _part(text: str) -> str:
    """What is sent of a text: its beginning and its end, as a trained classifier reads it."""
    text = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}"
    return text.encode("utf-8", "replace").decode()


def _key(text: str) -> bytes:
    """A digest stands for the text: prompts are not kept."""
    return blake2b(text.encode(), digest_size=16).digest()


def _read(body: bytes) -> Guess | None:
    """The guess of an answer; None for anything else."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    task, confidence = fields.get("task"), fields.get("confidence")
    if not isinstance(task, str) or not 0 < len(task) <= _LONGEST_TASK:
        return None
    if isinstance(confidence, bool) or not isinstance(confidence, float | int) or not 0 <= confidence <= 1:
        return None
    return Guess(task, float(confidence))
