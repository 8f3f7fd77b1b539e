"""The door to files and batches: what stands behind it is loaded and opened with the first request."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from api.serving.problems import problem
from api.serving.replies import Reply, send_reply
from router.clock import Clock
from storage.spool.spool import Spool

if TYPE_CHECKING:
    from api.serving.batches.routes import BatchRoutes

PREFIXES = ("/v1/files", "/v1/batches")
_MEGABYTE = 1_000_000


def is_batch_path(path: str) -> bool:
    """Whether a path belongs to files or batches."""
    return path.startswith(PREFIXES) and (
        path in PREFIXES or path.startswith(tuple(f"{each}/" for each in PREFIXES))
    )


class BatchDoor:
    """One worker's way to the spool."""

    def __init__(self, folder: Path | None, spool_mb: int, clock: Clock) -> None:
        self._folder = folder
        self._most_bytes = spool_mb * _MEGABYTE
        self._clock = clock
        self._routes: BatchRoutes | None = None
        self._opening = asyncio.Lock()

    async def answer(self, scope: Scope, receive: Receive, send: Send, owner: str) -> None:
        """Answer a request of an identity that may."""
        refused = self._refusal()
        if refused is not None:
            await send_reply(send, refused)
            return
        routes = self._routes or await self._opened()
        await routes.answer(scope, receive, send, owner)

    def close(self) -> None:
        """Close the spool, if it was opened."""
        if self._routes is not None:
            self._routes.close()
            self._routes = None

    async def _opened(self) -> "BatchRoutes":
        async with self._opening:
            if self._routes is None:
                self._routes = await asyncio.to_thread(self._open)
            return self._routes

    def _refusal(self) -> Reply | None:
        if self._folder is None:
            return problem(
                "not_supported",
                "batches need a folder for their files, and a ledger in Redis has none beside it; "
                "name one with POINTSMAN_BATCH_SPOOL on the node that is to serve them",
            )
        if not self._most_bytes:
            return problem("not_supported", "batches are turned off here (POINTSMAN_BATCH_SPOOL_MB is 0)")
        return None

    def _open(self) -> "BatchRoutes":
        from api.serving.batches.routes import BatchRoutes

        assert self._folder is not None
        return BatchRoutes(Spool(self._folder), self._clock, self._most_bytes)
