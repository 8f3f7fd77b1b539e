"""Departure: notice that a client left while its answer is under way, and stop working for it."""

import asyncio
from types import TracebackType

from starlette.types import Receive

SWEEP_S = 0.25
"""Time between two looks at who has waited long enough to be watched."""


class Unwatched:
    """Departures of one event loop that nobody looks for yet: most answers are there before anybody has to.

    One timer serves all of them, and none runs while nobody waits: a timer for each request would cost as much as
    the choice of its model.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._waiting: dict[Departure, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, departure: "Departure") -> None:
        """Begin to watch it once it is `after_s` old, unless it is discarded before."""
        loop = asyncio.get_running_loop()
        self._waiting[departure] = loop.time() + self._after_s
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_S, self._sweep)

    def discard(self, departure: "Departure") -> None:
        """Its answer is there."""
        self._waiting.pop(departure, None)

    def _sweep(self) -> None:
        """The oldest stand first."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        while self._waiting:
            departure, due_s = next(iter(self._waiting.items()))
            if due_s > now_s:
                break
            del self._waiting[departure]
            departure.watch()
        self._timer = loop.call_later(SWEEP_S, self._sweep) if self._waiting else None


class Departure:
    """Runs a block until the client leaves; then the block is cancelled, and `gone` is true after it.

    Like `asyncio.timeout`: only the cancellation that was asked for here ends here. With `patience_s` the
    block may go on so long after the client left: `gone` is true within it, `cancelled` after it if it had to
    be ended. With `unwatched` nobody watches before its time: most quick answers need no task for it.
    """

    def __init__(self, receive: Receive, unwatched: Unwatched | None = None, patience_s: float = 0.0) -> None:
        self.gone = False
        self.cancelled = False
        self._receive = receive
        self._unwatched = unwatched
        self._patience_s = patience_s
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Departure":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        if self._unwatched is not None:
            self._unwatched.add(self)
        else:
            self.watch()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._unwatched is not None:
            self._unwatched.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.cancelled:
            return False
        if kind is None:
            await self._absorb()
        return self._task.uncancel() <= self._cancelling and kind in (None, asyncio.CancelledError)

    def watch(self) -> None:
        """Look out for the client from now on."""
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
