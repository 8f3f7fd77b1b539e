"""Streams of Bedrock's Converse API: AWS's binary events, and what they are as chunks of the chat API."""

import struct
from collections.abc import Callable, Iterator, Mapping

import orjson
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from router.transport.transport import BrokenAnswer
from router.upstream.dialects.bedrock_words import finish_of, read_token_usage
from router.upstream.dialects.blocks import Blocks, Chunks, block_index
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
        self._blocks = Blocks(now_ms)
        self._takes: Mapping[str, Callable[[dict[str, Json]], Chunks]] = {
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._stop,
            "metadata": self._metadata,
        }

    def feed(self, data: bytes) -> Chunks:
        """The chunks of one event; kinds that are not known are left out."""
        for kind, event in read_object(data).items():
            if not isinstance(event, dict):
                raise BrokenAnswer("an event of the stream is no object")
            take = self._takes.get(kind)
            return () if take is None else take(event)
        return ()

    def _block_start(self, event: dict[str, Json]) -> Chunks:
        start, index = event_part(event, "start"), block_index(event, "contentBlockIndex")
        use = start.get("toolUse")
        if not isinstance(use, dict):
            if "image" in start:
                raise BrokenAnswer("the answer holds an image, which chat has no place for")
            return ()
        return self._blocks.call(index, use.get("toolUseId"), use.get("name"))

    def _block_delta(self, event: dict[str, Json]) -> Chunks:
        delta, index = event_part(event, "delta"), block_index(event, "contentBlockIndex")
        if "text" in delta:
            return self._blocks.chunk({"content": delta_text(delta, "text")})
        thought = delta.get("reasoningContent")
        if isinstance(thought, dict):
            text = delta_text(thought, "text") if "text" in thought else None
            return () if text is None else self._blocks.chunk({"reasoning_content": text})
        use = delta.get("toolUse")
        if isinstance(use, dict) and self._blocks.is_call(index):
            return self._blocks.arguments(index, delta_text(use, "input"))
        return ()

    def _block_stop(self, event: dict[str, Json]) -> Chunks:
        return self._blocks.stop(block_index(event, "contentBlockIndex"))

    def _stop(self, event: dict[str, Json]) -> Chunks:
        return self._blocks.chunk({}, finish_of(event.get("stopReason")))

    def _metadata(self, event: dict[str, Json]) -> Chunks:
        """The usage, which comes last."""
        self.done = True
        usage = read_token_usage(event.get("usage"), event.get("serviceTier"))
        if usage is None:
            return ()
        last = {"usage": usage_object(usage), "service_tier": usage.service or None}
        return (chunk_fields([], self._blocks.created) | last,)
