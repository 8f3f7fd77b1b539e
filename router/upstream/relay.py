"""The relay: one upstream's stream on its way to the client, metered to its end whatever that is."""

import asyncio

from router.transport.transport import BrokenAnswer, TransportError, UpstreamStream
from router.upstream.account import Account
from router.upstream.attempt import Attempt
from router.upstream.events import Events
from router.upstream.refusals import FILTERED_END, REFUSALS, StreamRefused
from router.upstream.usage import Usage

INCOMPLETE = "incomplete"
READ_OUT_S = 1.0
"""How long a refused stream may take to its end, where its usage is said."""


class Relay:
    """Read it until it is `over`, then `close` it, whatever happened."""

    def __init__(self, account: Account, attempt: Attempt, events: Events, stream: UpstreamStream) -> None:
        self.account = account
        self.over = False
        """The last bytes are out, or were never to come."""
        self._attempt = attempt
        self._events = events
        self._stream = stream
        self._parser = events.parser
        self._out: list[bytes] = []
        self._ended = False
        self._usage: Usage | None = None

    @property
    def refused(self) -> bool:
        """The model refused before it said anything."""
        return not self._events.spoke and self._events.finish in REFUSALS

    async def start(self) -> None:
        """Read until the answer begins; raises TransportError if the stream ends before."""
        while not self._events.begun:
            await self._pull()
            if self._ended and not self._events.begun:
                raise BrokenAnswer("the stream ended before its first chunk")

    async def read_out(self) -> None:
        """Read the rest of a refused stream and charge it; `read` gives what is there, if it has to do."""
        try:
            async with asyncio.timeout(READ_OUT_S):
                while not self._ended:
                    await self._pull()
        except TimeoutError:
            self._ended = True
        self._usage = self._attempt.charge(self._events.usage)
        self._attempt.finish = self._events.finish

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
            self._attempt.lost(self._events.usage)
            self.account.leave()
        if self._events.done:
            await self._stream.finish()
        else:
            self._stream.close()

    def drop(self) -> None:
        """Nobody reads it: cut it."""
        self._stream.close()

    async def _pull(self) -> None:
        """Take the next piece; once the answer has begun, a broken stream is one that ended."""
        try:
            self._take(await self._stream.read())
        except TransportError as error:
            if not self._events.begun:
                raise
            if isinstance(error, StreamRefused):
                self._events.finish = FILTERED_END
            self._ended = True

    def _take(self, piece: bytes) -> None:
        """Rewrite the events of one piece; an empty one is the end of the stream."""
        events = self._events
        for data in self._parser.feed(piece) if piece else self._parser.end():
            self._out += events.take(data)
            if events.done:
                self._ended = True
                return
        self._ended = not piece

    def _end(self) -> None:
        """Close the account and tell the client how it ended."""
        self.over = True
        events, account = self._events, self.account
        usage = self._usage or self._attempt.charge(events.usage)
        self._attempt.finish = events.finish
        if not events.complete():
            account.settle(INCOMPLETE)
            self._out.append(events.broken())
            return
        account.settle(None)
        self._out.append(events.last(usage, account.cost_usd))
