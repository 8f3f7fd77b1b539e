"""The relay: one upstream's stream on its way to the client, metered to its end whatever that is."""

from router.transport.transport import BrokenAnswer, TransportError, UpstreamStream
from router.upstream.account import Account
from router.upstream.attempt import Attempt
from router.upstream.events import Events

INCOMPLETE = "incomplete"


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

    async def start(self) -> None:
        """Read until the answer begins; raises TransportError if the stream ends before."""
        while not self._events.begun:
            await self._pull()
            if self._ended and not self._events.begun:
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
        except TransportError:
            if not self._events.begun:
                raise
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
        usage = self._attempt.charge(events.usage)
        self._attempt.finish = events.finish
        if not events.complete():
            account.settle(INCOMPLETE)
            self._out.append(events.broken())
            return
        account.settle(None)
        self._out.append(events.last(usage, account.cost_usd))
