"""The relay: one upstream's stream on its way to the client.

Every chunk gets the decision's id. A stream looks complete to the client only if it is: `[DONE]` is sent
when the upstream sent it, or when every choice has its finish_reason; any other end becomes an error event,
on which the official clients raise.
"""

from typing import Any

import orjson

from router.errors import StreamBroken
from router.upstream.account import Account
from router.upstream.chat import MAX_CHOICES, Chat
from router.upstream.replies import dump_reply, read_chunk
from router.upstream.sse import EventParser
from router.upstream.transport import BrokenAnswer, TransportError, UpstreamStream
from router.upstream.usage import Usage, answer_characters, read_usage, usage_fields

DONE = b"data: [DONE]\n\n"
INCOMPLETE = "incomplete"


class Relay:
    """Read it until it is `over`, then `close` it, whatever happened."""

    def __init__(self, account: Account, chat: Chat, stream: UpstreamStream) -> None:
        self.account = account
        self.model = account.model
        self.over = False
        """The last bytes are out, or were never to come."""
        self._chat = chat
        self._id = account.decision.id
        self._stream = stream
        self._parser = EventParser()
        self._out: list[bytes] = []
        self._begun = False
        self._ended = False
        self._done = False
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._usage: Usage | None = None
        self._last: dict[str, Any] = {}  # reason: a chunk as the upstream wrote it

    async def start(self) -> None:
        """Read until the first chunk is there; raises TransportError if the stream ends before."""
        while not self._begun:
            await self._pull()
            if self._ended and not self._begun:
                raise BrokenAnswer("the stream ended before its first chunk")

    async def read(self) -> bytes:
        """The next bytes for the client; the last ones come with `over`."""
        while not self._out and not self._ended:
            await self._pull()
        if self._ended:
            self._end()
        out, self._out = b"".join(self._out), []
        return out

    async def close(self) -> None:
        """Free the connection; a stream that its client left is cut here, and metered up to here."""
        if not self.over:
            self.account.leave(self._usage)
        if self._done:
            await self._stream.finish()
        else:
            self._stream.close()

    async def _pull(self) -> None:
        """Take the next piece; once a chunk is there, a broken stream is one that ended."""
        try:
            self._take(await self._stream.read())
        except TransportError:
            if not self._begun:
                raise
            self._ended = True

    def _take(self, piece: bytes) -> None:
        """Rewrite the events of one piece; an empty one is the end of the stream."""
        for data in self._parser.feed(piece) if piece else self._parser.end():
            if data == b"[DONE]":
                self._ended = self._done = True
                return
            self._take_chunk(read_chunk(data))
        self._ended = not piece

    def _take_chunk(self, chunk: dict[str, Any]) -> None:  # reason: as the upstream wrote it
        choices, usage = chunk["choices"], read_usage(chunk.get("usage"))
        if usage is not None:
            self._usage, self._last = usage, dict(chunk)
        if not choices and chunk.get("usage") is not None:
            return
        for choice in choices:
            self._count(choice)
            self._begun = True
        if self._chat.wants_usage:
            chunk["usage"] = None
        else:
            chunk.pop("usage", None)
        chunk["id"], chunk["model"] = self._id, self.model
        self._out.append(b"data: " + dump_reply(chunk) + b"\n\n")
        self._last = self._last or chunk

    def _count(self, choice: dict[str, Any]) -> None:  # reason: as the upstream wrote it
        index = choice.get("index")
        index = index if type(index) is int and 0 <= index < MAX_CHOICES else 0
        self._seen.add(index)
        if choice.get("finish_reason") is not None:
            self._finished.add(index)
        self.account.wrote(answer_characters(choice.get("delta")))

    def _end(self) -> None:
        """Close the account and tell the client how it ended."""
        self.over = True
        usage = self.account.charge(self._usage)
        if not self._done and not self._all_finished():
            self.account.settle(INCOMPLETE)
            self._out.append(_broken(self.model))
            return
        self.account.settle(None)
        if self._chat.wants_usage:
            self._out.append(self._last_chunk(usage))
        self._out.append(DONE)

    def _all_finished(self) -> bool:
        return self._seen == self._finished and len(self._finished) >= self._chat.choices

    def _last_chunk(self, usage: Usage) -> bytes:
        """The chunk that ends a stream with usage and cost: the upstream's own, or made after another one."""
        fields = usage_fields(self._last.get("usage"), usage, self.account.cost_usd)
        chunk = {**self._last, "id": self._id, "model": self.model, "choices": [], "usage": fields}
        try:
            return b"data: " + dump_reply(chunk) + b"\n\n"
        except BrokenAnswer:
            return b""


def _broken(model: str) -> bytes:
    error = {
        "message": f"the stream of model {model!r} ended before its answer was complete; ask again",
        "type": "upstream_error",
        "param": None,
        "code": StreamBroken.code,
    }
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"
