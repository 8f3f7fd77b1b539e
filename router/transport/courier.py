"""The courier: files to and from upstreams, and questions that are no calls of a model."""

from pathlib import Path
from typing import Protocol

from router.transport.transport import Deadlines, Reply, Upstream


class Courier(Protocol):
    """A client for an upstream's files and batches: no redirects, bounded in time and size.

    Everything raises TransportError. Nothing is tried twice: whether that is safe only the caller knows.
    """

    async def get(self, target: Upstream, deadlines: Deadlines) -> Reply:
        """Read a whole answer."""

    async def post(self, target: Upstream, body: bytes | Path, deadlines: Deadlines) -> Reply:
        """Post JSON, from memory or from a file."""

    async def upload(
        self, target: Upstream, path: Path, name: str, purpose: str, deadlines: Deadlines
    ) -> Reply:
        """Post a file as a form, under a name."""

    async def download(self, target: Upstream, path: Path, most_bytes: int, deadlines: Deadlines) -> int:
        """Write an answer of status 200 to a file; returns the status."""

    async def peek(self, target: Upstream, deadlines: Deadlines) -> bytes:
        """The first line of an answer of status 200; b"" for any other."""

    async def close(self) -> None:
        """Close all connections."""
