"""Streams of Bedrock's Converse API: AWS's binary events, and what they are as chunks of the chat API."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from router.transport.transport import BrokenAnswer
from router.upstream.dialects.bedrock_words import finish_of, read_token_usage
from router.upstream.dialects.chat_words import Json, chunk_fields, delta_text, event_part, usage_object
from router.upstream.replies import read_object
from router.upstream.sse import MAX_EVENT_BYTES

_MALFORMED = (ParserError, struct.error, KeyError, ValueError)
"""What botocore raises on bytes that are no event: wrong checksums, lengths, types of headers, text."""


class BinaryParser:
    """Turns pieces of a stream into events, each the JSON object `{kind: payload}`; a `Parser`."""

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = EventStreamBuffer()
        self._held = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a piece; yield each event it completes."""
        self._buffer.add_data(piece)
        self._held += len(piece)
        while (message := self._next()) is not None:
            self._held -= message.prelude.total_length
            yield _object(message)
        if self._held > self._max_bytes:
            raise BrokenAnswer(f"an event of the stream is larger than {self._max_bytes} bytes")

    def end(self) -> Iterator[bytes]:
        """Half an event is none."""
        return iter(())

    def _next(self) -> EventStreamMessage | None:
        try:
            return self._buffer.next()
        except StopIteration:
            return None
        except _MALFORMED:
            raise BrokenAnswer("an event of the stream is malformed") from None


def _object(message: EventStreamMessage) -> bytes:
    headers = message.headers
    if headers.get(":message-type") != "event":
        kind = headers.get(":exception-type") or headers.get(":error-code")
        raise BrokenAnswer(f"the stream reports {str(kind)[:40]!r}")
    name = orjson.dumps(str(headers.get(":event-type")))
    return b"{" + name + b":" + (message.payload or b"{}") + b"}"


class ConverseDecoder:
    """Turns events into chunks; see `router.upstream.chat_events.Decoder`."""

    def __init__(self, now_ms: int) -> None:
        self.done = False
        self._created = now_ms // 1_000
        self._role_sent = False
        self._calls: dict[int, int] = {}
        """Place among the tool calls of each block that is one."""
        self._empty: set[int] = set()
        """Blocks of tool calls that no argument has come for."""
        self._takes: Mapping[str, Callable[[dict[str, Json]], Sequence[dict[str, Json]]]] = {
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._stop,
            "metadata": self._metadata,
        }

    def feed(self, data: bytes) -> Sequence[dict[str, Json]]:
        """The chunks of one event; kinds that are not known are left out."""
        for kind, event in read_object(data).items():
            if not isinstance(event, dict):
                raise BrokenAnswer("an event of the stream is no object")
            take = self._takes.get(kind)
            return () if take is None else take(event)
        return ()

    def _block_start(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        start, index = event_part(event, "start"), _index(event)
        use = start.get("toolUse")
        if not isinstance(use, dict):
            if "image" in start:
                raise BrokenAnswer("the answer holds an image, which chat has no place for")
            return ()
        place = self._calls.setdefault(index, len(self._calls))
        self._empty.add(index)
        function = {"name": use.get("name"), "arguments": ""}
        call = {"index": place, "id": use.get("toolUseId"), "type": "function", "function": function}
        return self._chunk({"tool_calls": [call]})

    def _block_delta(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        delta, index = event_part(event, "delta"), _index(event)
        if "text" in delta:
            return self._chunk({"content": delta_text(delta, "text")})
        thought = delta.get("reasoningContent")
        if isinstance(thought, dict):
            return (
                self._chunk({"reasoning_content": delta_text(thought, "text")}) if "text" in thought else ()
            )
        use = delta.get("toolUse")
        if isinstance(use, dict) and index in self._calls:
            piece = delta_text(use, "input")
            return self._arguments(index, piece) if piece else ()
        return ()

    def _block_stop(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        """A tool call without arguments has an empty object of them."""
        index = _index(event)
        return self._arguments(index, "{}") if index in self._empty else ()

    def _arguments(self, index: int, piece: str) -> Sequence[dict[str, Json]]:
        self._empty.discard(index)
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def _stop(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        return self._chunk({}, finish_of(event.get("stopReason")))

    def _metadata(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        """The usage, which comes last."""
        self.done = True
        usage = read_token_usage(event.get("usage"), event.get("serviceTier"))
        if usage is None:
            return ()
        last = {"usage": usage_object(usage), "service_tier": usage.service or None}
        return (chunk_fields([], self._created) | last,)

    def _chunk(self, delta: dict[str, Json], finish: str | None = None) -> Sequence[dict[str, Json]]:
        if not self._role_sent:
            delta = {"role": "assistant", "content": "", **delta}
            self._role_sent = True
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return (chunk_fields([choice], self._created),)


def _index(event: dict[str, Json]) -> int:
    index = event.get("contentBlockIndex")
    return index if type(index) is int else 0
