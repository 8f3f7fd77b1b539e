"""Streams of Anthropic's messages API as chunks of the chat API."""

from collections.abc import Callable, Mapping

from router.transport.transport import BrokenAnswer
from router.upstream.dialects.anthropic_words import finish_of, read_message_usage
from router.upstream.dialects.blocks import Blocks, Chunks, block_index
from router.upstream.dialects.chat_words import Json, chunk_fields, delta_text, event_part, usage_object
from router.upstream.refusals import check_error
from router.upstream.replies import read_object


class MessageDecoder:
    """Turns events into chunks; see `router.upstream.chat_events.Decoder`.

    Nothing goes out before the first block, so that an overload that the upstream reports after its head
    still leaves the request to another model.
    """

    def __init__(self, now_ms: int) -> None:
        self.done = False
        self._blocks = Blocks(now_ms)
        self._usage: dict[str, Json] = {}
        self._takes: Mapping[str, Callable[[dict[str, Json]], Chunks]] = {
            "message_start": self._start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._stop,
            "error": self._error,
        }

    def feed(self, data: bytes) -> Chunks:
        """The chunks of one event; kinds that are not known are left out, as the API asks of its clients."""
        event = read_object(data)
        take = self._takes.get(str(event.get("type")))
        return () if take is None else take(event)

    def _start(self, event: dict[str, Json]) -> Chunks:
        message = event.get("message")
        self._note(message.get("usage") if isinstance(message, dict) else None)
        return ()

    def _block_start(self, event: dict[str, Json]) -> Chunks:
        block, index = event_part(event, "content_block"), block_index(event, "index")
        kind = block.get("type")
        if kind == "tool_use":
            return self._blocks.call(index, block.get("id"), block.get("name"))
        if kind == "text" and block.get("text"):
            return self._blocks.chunk({"content": block["text"]})
        return ()

    def _block_delta(self, event: dict[str, Json]) -> Chunks:
        delta, index = event_part(event, "delta"), block_index(event, "index")
        kind = delta.get("type")
        if kind == "text_delta":
            return self._blocks.chunk({"content": delta_text(delta, "text")})
        if kind == "thinking_delta":
            return self._blocks.chunk({"reasoning_content": delta_text(delta, "thinking")})
        if kind == "input_json_delta" and self._blocks.is_call(index):
            return self._blocks.arguments(index, delta_text(delta, "partial_json"))
        return ()

    def _block_stop(self, event: dict[str, Json]) -> Chunks:
        return self._blocks.stop(block_index(event, "index"))

    def _message_delta(self, event: dict[str, Json]) -> Chunks:
        self._note(event.get("usage"))
        reason = event_part(event, "delta").get("stop_reason")
        if reason is None:
            return ()
        usage = read_message_usage(self._usage)
        chunks = list(self._blocks.chunk({}, finish_of(reason)))
        if usage is not None:
            last = {"usage": usage_object(usage), "service_tier": self._usage.get("service_tier")}
            chunks.append(chunk_fields([], self._blocks.created) | last)
        return chunks

    def _stop(self, event: dict[str, Json]) -> Chunks:  # noqa: ARG002  # it says no more
        self.done = True
        return ()

    def _error(self, event: dict[str, Json]) -> Chunks:
        error = event_part(event, "error")
        check_error(error)
        kind = error.get("type")
        raise BrokenAnswer(f"the stream reports {str(kind)[:40]!r}")

    def _note(self, usage: Json) -> None:
        """Keep the newest count of each kind: later ones include the earlier."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}
