"""Departure: notice that a client left while its answer is under way, and stop working for it."""

import asyncio
from types import TracebackType

from starlette.types import Receive


class Departure:
    """Runs a block until the client leaves; then the block is cancelled, and `gone` is true after it.

    Like `asyncio.timeout`: only the cancellation that was asked for here ends here. With `patience_s` the
    block may go on so long after the client left: `gone` is true within it, `cancelled` after it if it had to
    be ended. With `after_s` nobody watches before: most quick answers need no task for it.
    """

    def __init__(self, receive: Receive, after_s: float = 0.0, patience_s: float = 0.0) -> None:
        self.gone = False
        self.cancelled = False
        self._receive = receive
        self._after_s = after_s
        self._patience_s = patience_s
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "Departure":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        if self._after_s > 0:
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._begin)
        else:
            self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.cancelled:
            return False
        if kind is None:
            await self._absorb()
        return self._task.uncancel() <= self._cancelling and kind in (None, asyncio.CancelledError)

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._patience_s > 0:
            await asyncio.sleep(self._patience_s)
        self.cancelled = True
        self._task.cancel()

    async def _absorb(self) -> None:
        """Take the cancellation that was asked for when the block had just ended."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return
