"""A classifier over HTTP: asked with `{"text": ...}`, it answers `{"task": ..., "confidence": 0..1}`."""

import orjson

from router.classifying.grams import HEAD, TAIL
from router.classifying.guess import Guess
from router.clock import Clock
from router.transport.asked import Asked

_LONGEST_TASK = 400


class AskedClassifier:
    """Guesses of one server; safe for several threads."""

    def __init__(self, url: str, deadline_ms: int, cache: int, clock: Clock) -> None:
        self._server: Asked[Guess] = Asked(url, deadline_ms, cache, clock, _read)

    def guess(self, text: str) -> Guess | None:
        """What it takes a text for; None if it does not say in time."""
        return self._server.ask(_question(text))

    async def guess_async(self, text: str) -> Guess | None:
        """The same for an event loop, which goes on meanwhile."""
        return await self._server.ask_async(_question(text))

    def close(self) -> None:
        """End the asking; what is still asked gets no answer."""
        self._server.close()


def excerpt(text: str) -> str:
    """What is sent of a text: its beginning and its end, as a trained classifier reads it."""
    text = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}"
    return text.encode("utf-8", "replace").decode()


def _question(text: str) -> bytes:
    return orjson.dumps({"text": excerpt(text)})


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
