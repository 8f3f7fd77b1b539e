"""Events of one answer's stream: what each endpoint makes of them on their way to the client."""

from collections.abc import Iterator
from typing import Protocol

from router.upstream.usage import Usage

MOST_HELD_BYTES = 64 * 1024
"""Of a stream that says nothing: then what came goes out all the same."""


class Parser(Protocol):
    """Turns the pieces of a stream into its events, each no larger than a bound."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a piece; yield the data of each event it completes. Raises BrokenAnswer on what is no event."""

    def end(self) -> Iterator[bytes]:
        """The stream ended cleanly: yield what is left."""


class Events(Protocol):
    """Rewrites the events of one stream and knows when its answer is whole."""

    begun: bool
    """A first piece of the answer is there: from now on another model cannot take over unseen."""
    usage: Usage | None
    finish: str
    """Why the model ended, as far as it said."""
    parser: Parser
    """How the stream is divided into events."""
    spoke: bool
    """It said something; known only where the head is held back until it does."""

    @property
    def done(self) -> bool:
        """The upstream said that its answer is at its end."""

    def take(self, data: bytes) -> list[bytes]:
        """What the client gets for one event; raises BrokenAnswer for one that cannot be of such a stream."""

    def complete(self) -> bool:
        """Whether all that was asked for is there."""

    def last(self, usage: Usage, cost_usd: float | None) -> bytes:
        """What ends a whole answer."""

    def broken(self) -> bytes:
        """What ends half an answer, so that no client takes it for a whole one."""


def broken_text(model: str) -> str:
    """The words of an error that ends a stream."""
    return f"the stream of model {model!r} ended before its answer was complete; ask again"
