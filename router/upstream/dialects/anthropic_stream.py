"""Streams of Anthropic's messages API as chunks of the chat API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router.transport.transport import BrokenAnswer
from router.upstream.dialects.anthropic_words import finish_of, read_message_usage
from router.upstream.dialects.chat_words import delta_text, event_part, usage_object
from router.upstream.refusals import check_error
from router.upstream.replies import read_object

Json = Any  # reason: as the upstream wrote it


class MessageDecoder:
    """Turns events into chunks; see `router.upstream.chat_events.Decoder`.

    Nothing goes out before the first block, so that an overload that the upstream reports after its head
    still leaves the request to another model.
    """

    def __init__(self, now_ms: int) -> None:
        self.done = False
        self._created = now_ms // 1_000
        self._role_sent = False
        self._usage: dict[str, Json] = {}
        self._calls: dict[int, int] = {}
        """Place among the tool calls of each block that is one."""
        self._empty: set[int] = set()
        """Blocks of tool calls that no argument has come for."""
        self._takes: Mapping[str, Callable[[dict[str, Json]], Sequence[dict[str, Json]]]] = {
            "message_start": self._start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._stop,
            "error": self._error,
        }

    def feed(self, data: bytes) -> Sequence[dict[str, Json]]:
        """The chunks of one event; kinds that are not known are left out, as the API asks of its clients."""
        event = read_object(data)
        take = self._takes.get(str(event.get("type")))
        return () if take is None else take(event)

    def _start(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        message = event.get("message")
        self._note(message.get("usage") if isinstance(message, dict) else None)
        return ()

    def _block_start(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        block, index = event_part(event, "content_block"), _index(event)
        kind = block.get("type")
        if kind == "tool_use":
            place = self._calls.setdefault(index, len(self._calls))
            self._empty.add(index)
            function = {"name": block.get("name"), "arguments": ""}
            call = {"index": place, "id": block.get("id"), "type": "function", "function": function}
            return self._chunk({"tool_calls": [call]})
        if kind == "text" and block.get("text"):
            return self._chunk({"content": block["text"]})
        return ()

    def _block_delta(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        delta, index = event_part(event, "delta"), _index(event)
        kind = delta.get("type")
        if kind == "text_delta":
            return self._chunk({"content": delta_text(delta, "text")})
        if kind == "thinking_delta":
            return self._chunk({"reasoning_content": delta_text(delta, "thinking")})
        if kind == "input_json_delta" and index in self._calls:
            piece = delta_text(delta, "partial_json")
            return self._arguments(index, piece) if piece else ()
        return ()

    def _block_stop(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        """A tool call without arguments has an empty object of them."""
        index = _index(event)
        return self._arguments(index, "{}") if index in self._empty else ()

    def _arguments(self, index: int, piece: str) -> Sequence[dict[str, Json]]:
        self._empty.discard(index)
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def _message_delta(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        self._note(event.get("usage"))
        reason = event_part(event, "delta").get("stop_reason")
        if reason is None:
            return ()
        usage = read_message_usage(self._usage)
        chunks = list(self._chunk({}, finish_of(reason)))
        if usage is not None:
            service = self._usage.get("service_tier")
            last = {**self._frame(), "choices": [], "usage": usage_object(usage), "service_tier": service}
            chunks.append(last)
        return chunks

    def _stop(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:  # noqa: ARG002  # it says no more
        self.done = True
        return ()

    def _error(self, event: dict[str, Json]) -> Sequence[dict[str, Json]]:
        error = event_part(event, "error")
        check_error(error)
        kind = error.get("type")
        raise BrokenAnswer(f"the stream reports {str(kind)[:40]!r}")

    def _note(self, usage: Json) -> None:
        """Keep the newest count of each kind: later ones include the earlier."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _chunk(self, delta: dict[str, Json], finish: str | None = None) -> Sequence[dict[str, Json]]:
        if not self._role_sent:
            delta = {"role": "assistant", "content": "", **delta}
            self._role_sent = True
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return ({**self._frame(), "choices": [choice]},)

    def _frame(self) -> dict[str, Json]:
        return {"id": "", "object": "chat.completion.chunk", "created": self._created, "model": ""}


def _index(event: dict[str, Json]) -> int:
    index = event.get("index")
    return index if type(index) is int else 0
