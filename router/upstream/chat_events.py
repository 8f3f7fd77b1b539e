"""Events of a chat stream, as OpenAI clients read them, whatever dialect the upstream speaks.

Every chunk gets the decision's id. A stream looks complete to the client only if it is: `[DONE]` is sent
when the upstream said so, or when every choice has its finish_reason; any other end becomes an error event,
on which the official clients raise.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from router.errors import StreamBroken
from router.transport.transport import BrokenAnswer
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.chat import MAX_CHOICES
from router.upstream.events import MOST_HELD_BYTES, Parser, broken_text
from router.upstream.refusals import DECLINED, says_something
from router.upstream.replies import dump_reply, read_chunk
from router.upstream.sse import EventParser
from router.upstream.usage import Usage, answer_characters, read_usage, usage_fields

DONE = b"data: [DONE]\n\n"
Chunk = dict[str, Any]  # reason: passed on as the upstream wrote it


class Decoder(Protocol):
    """Turns the events of one dialect into chunks of the chat API."""

    done: bool
    """The upstream said that its answer is at its end."""

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The chunks of one event; raises BrokenAnswer for one that cannot be of such a stream."""


class OpenAIDecoder:
    """Chunks are events already."""

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The event's chunk; `[DONE]` is none."""
        if data == b"[DONE]":
            self.done = True
            return ()
        return (read_chunk(data),)


class ChatEvents:
    """The events of one chat stream; see `router.upstream.events.Events`."""

    def __init__(self, attempt: Attempt, call: Call, decoder: Decoder, parser: Parser | None = None) -> None:
        """Server-sent events, unless the dialect brings a parser of its own."""
        self.parser: Parser = parser or EventParser()
        self.begun = False
        self.done = False
        self.usage: Usage | None = None
        self.finish = ""
        self.spoke = False
        self._holds = attempt.holds
        self._held_bytes = 0
        self._attempt = attempt
        self._call = call
        self._decoder = decoder
        self._id = attempt.decision.id
        self._model = attempt.model
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._last: Chunk = {}

    def take(self, data: bytes) -> list[bytes]:
        """The event's chunks, renamed."""
        decoder, out = self._decoder, []
        for chunk in decoder.feed(data):
            written = self._take_chunk(chunk)
            if written:
                out.append(written)
        self.done = decoder.done
        if not self.begun and self._seen:
            self._held_bytes += sum(map(len, out))
            self.begun = (
                not self._holds or self.spoke or self.complete() or self._held_bytes > MOST_HELD_BYTES
            )
        return out

    def complete(self) -> bool:
        """The upstream said so, or every choice has its finish_reason."""
        return self.done or (self._seen == self._finished and len(self._finished) >= self._call.choices)

    def last(self, usage: Usage, cost_usd: float | None) -> bytes:
        """The usage chunk, if the client asked for it, and `[DONE]`."""
        return self._last_chunk(usage, cost_usd) + DONE if self._call.wants_usage else DONE

    def broken(self) -> bytes:
        """An error event."""
        error = {
            "message": broken_text(self._model),
            "type": "upstream_error",
            "param": None,
            "code": StreamBroken.code,
        }
        return b"data: " + orjson.dumps({"error": error}) + b"\n\n"

    def _take_chunk(self, chunk: Chunk) -> bytes:
        choices, reported = chunk["choices"], chunk.get("usage")
        if reported is not None:
            usage = read_usage(reported, chunk.get("service_tier"))
            if usage is not None:
                self.usage, self._last = usage, dict(chunk)
            if not choices:
                return b""
        for choice in choices:
            self._count(choice)
        if self._call.wants_usage:
            chunk["usage"] = None
        else:
            chunk.pop("usage", None)
        chunk["id"], chunk["model"] = self._id, self._model
        self._last = self._last or chunk
        return b"data: " + dump_reply(chunk) + b"\n\n"

    def _count(self, choice: Chunk) -> None:
        index = choice.get("index")
        index = index if type(index) is int and 0 <= index < MAX_CHOICES else 0
        self._seen.add(index)
        delta = choice.get("delta")
        if self._holds and not self.spoke:
            self.spoke = says_something(delta)
        if isinstance(delta, dict) and delta.get("refusal"):
            self.finish = self.finish or DECLINED
        finish = choice.get("finish_reason")
        if finish is not None:
            self._finished.add(index)
            self.finish = self.finish or str(finish)
        self._attempt.wrote(answer_characters(delta))

    def _last_chunk(self, usage: Usage, cost_usd: float | None) -> bytes:
        """The chunk that ends a stream with usage and cost: the upstream's own, or made after another one."""
        fields = usage_fields(self._last.get("usage"), usage, cost_usd)
        chunk = {**self._last, "id": self._id, "model": self._model, "choices": [], "usage": fields}
        try:
            return b"data: " + dump_reply(chunk) + b"\n\n"
        except BrokenAnswer:
            return b""
