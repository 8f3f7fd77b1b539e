"""Departure: notice that a client left while its answer is under way, and stop working for it."""

import asyncio
from types import TracebackType

from starlette.types import Receive


class Departure:
    """Runs a block until the client leaves; then the block is cancelled, and `gone` is true after it.

    Like `asyncio.timeout`: only the cancellation that was asked for here ends here.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive

    async def __aenter__(self) -> "Departure":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watcher.cancel()
        if not self.gone:
            return False
        if kind is None:
            await self._absorb()
        return self._task.uncancel() <= self._cancelling and kind in (None, asyncio.CancelledError)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()

    async def _absorb(self) -> None:
        """Take the cancellation that was asked for when the block had just ended."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return
