"""The transport: how bytes reach an upstream and come back, whatever client library carries them.

    TransportError
    ├── ConnectFailed    nothing of an answer arrived; the upstream did no work that it would bill
    ├── TimedOut         a deadline passed while the upstream may have been working
    └── BrokenAnswer     an answer began and is no use: cut, malformed, too large, compressed

Messages are for clients: they name no host, URL, header or key.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from experiments.evidence.record import record

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Largest whole answer that is kept in memory."""


class TransportError(Exception):
    """Root of what a transport raises."""


class ConnectFailed(TransportError):
    """The upstream could not be reached, or hung up without a word."""


class TimedOut(TransportError):
    """A deadline passed."""


class BrokenAnswer(TransportError):
    """The answer began and cannot be used."""


@record(frozen=True, slots=True)
class Upstream:
    """Where a model is called, and with which key."""

    url: str
    key: str | None = field(default=None, repr=False)
    """Named here so that it can be kept out of messages; it is sent with `headers`."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What else must not stand in messages, where requests are signed with more than a key."""


@record(frozen=True, slots=True)
class Deadlines:
    """Longest waits of one attempt."""

    connect_s: float
    """Until a connection stands: name look-up, TCP and TLS."""
    idle_s: float
    """Between two pieces of a stream."""
    total_s: float
    """From the start to the last byte."""


@record(frozen=True, slots=True)
class Reply:
    """A whole answer, of any status."""

    status: int
    body: bytes
    retry_after: str | None = None


class UpstreamStream(Protocol):
    """An answer whose head is there and whose body is read piece by piece."""

    status: int
    retry_after: str | None

    async def read(self) -> bytes:
        """The next piece, as it arrived; b"" at a clean end."""

    async def finish(self) -> None:
        """The rest is not wanted: keep the connection for others if the end is near, else close it."""

    def close(self) -> None:
        """Cut the connection at once, so that the upstream stops working; harmless after the end."""


class Transport(Protocol):
    """A client for upstreams: no redirects, no proxies from the environment.

    Its only retry replaces a kept connection that died while it was idle; another model is not its business.
    """

    async def call(self, target: Upstream, body: bytes, deadlines: Deadlines) -> Reply:
        """Post a body and read the whole answer."""

    async def stream(self, target: Upstream, body: bytes, deadlines: Deadlines) -> UpstreamStream:
        """Post a body and return when the head of the answer is there.

        Deadlines for idleness and the whole hold from here on; cancelling is the way to give up earlier.
        """

    async def close(self) -> None:
        """Close all connections."""
