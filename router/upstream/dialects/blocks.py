"""Streams that come in numbered blocks of content, as chunks of the chat API."""

from collections.abc import Sequence

from router.upstream.dialects.chat_words import Json, chunk_fields

Chunks = Sequence[dict[str, Json]]


class Blocks:
    """The chunks of one answer: the role in the first of them, and each tool call at its place."""

    def __init__(self, now_ms: int) -> None:
        self.created = now_ms // 1_000
        self._role_sent = False
        self._calls: dict[int, int] = {}
        """Place among the tool calls of each block that is one."""
        self._empty: set[int] = set()
        """Blocks of tool calls that no argument has come for."""

    def chunk(self, delta: dict[str, Json], finish: str | None = None) -> Chunks:
        """What is new, or the end."""
        if not self._role_sent:
            delta = {"role": "assistant", "content": "", **delta}
            self._role_sent = True
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return (chunk_fields([choice], self.created),)

    def call(self, index: int, call_id: Json, name: Json) -> Chunks:
        """A block that begins a tool call."""
        place = self._calls.setdefault(index, len(self._calls))
        self._empty.add(index)
        function = {"name": name, "arguments": ""}
        return self.chunk(
            {"tool_calls": [{"index": place, "id": call_id, "type": "function", "function": function}]}
        )

    def is_call(self, index: int) -> bool:
        """Whether a block is a tool call: arguments of any other are none."""
        return index in self._calls

    def arguments(self, index: int, piece: str) -> Chunks:
        """A piece of a tool call's arguments; nothing is said of an empty one."""
        if not piece:
            return ()
        self._empty.discard(index)
        return self.chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def stop(self, index: int) -> Chunks:
        """The end of a block: a tool call without arguments has an empty object of them."""
        return self.arguments(index, "{}") if index in self._empty else ()


def block_index(event: dict[str, Json], name: str) -> int:
    """The number of the block that an event is of."""
    index = event.get(name)
    return index if type(index) is int else 0
