"""A policy over HTTP: it is asked about a request, and answers with one of its models.

    {"policy": "smart", "task": "math", "text": "...", "metadata": {...}, "needs": {...}, "models": ["haiku", "sonnet"]}
    {"model": "haiku", "success": {"haiku": 0.93, "sonnet": 0.97}}

`success` may be left out, wholly or for some models. Anything else is no answer.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import fields

import orjson

from router.classifying.asked import excerpt
from router.clock import Clock
from router.config.policy import Ask
from router.deciding.needs import Needs
from router.deciding.policy import Answer, Question
from router.transport.asked import Asked

_NOTHING = Needs()
_NOT_TOLD = ("ceiling_of",)


class AskedPolicy:
    """Answers of one server; a `Policy` that waits, safe for several threads."""

    def __init__(self, name: str, chooses: tuple[str, ...], ask: Ask, clock: Clock) -> None:
        self._name = name
        self._chooses = chooses
        self._told = ask.metadata
        self.server: Asked[Answer] = Asked(ask.url, ask.deadline_ms, ask.cache, clock, self._read)

    def answer(self, question: Question) -> Answer | None:
        """What it answers; None if it does not in time, or if that is no answer."""
        return self.server.ask(self.body(question))

    async def answer_async(self, question: Question) -> Answer | None:
        """The same for an event loop, which goes on meanwhile."""
        return await self.server.ask_async(self.body(question))

    def begin(self, question: Question) -> "Future[Answer | None] | Answer | None":
        """The question under way, for `server.wait`."""
        return self.server.begin(self.body(question))

    def body(self, question: Question) -> bytes:
        """The question as it is sent."""
        return orjson.dumps(
            {
                "policy": self._name,
                "task": question.task,
                "text": excerpt(question.text),
                "metadata": {
                    key: _plain(question.metadata[key]) for key in self._told if key in question.metadata
                },
                "needs": told_needs(question.needs),
                "models": self._chooses,
            }
        )

    def _read(self, body: bytes) -> Answer | None:
        """The answer of a reply; None for anything else."""
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(said, dict) or said.get("model") not in self._chooses:
            return None
        success = _success(said.get("success"), self._chooses)
        return None if success is None else Answer(said["model"], success)


def told_needs(needs: Needs | None) -> dict[str, object]:
    """What a request asks for, without what it does not."""
    return {
        field.name: value
        for field in fields(_NOTHING)
        if field.name not in _NOT_TOLD and (value := getattr(needs or _NOTHING, field.name)) != field.default
    }


def _plain(text: str) -> str:
    """A text that can be written as JSON."""
    return text.encode("utf-8", "replace").decode()


def _success(said: object, chooses: tuple[str, ...]) -> Mapping[str, float] | None:
    """Probabilities by model; None where they are none."""
    if said is None:
        return {}
    if not isinstance(said, dict) or not said.keys() <= set(chooses):
        return None
    if any(type(p) not in (float, int) or not 0 <= p <= 1 for p in said.values()):
        return None
    return {model: float(p) for model, p in said.items()}
