"""Lines: where batch requests wait for room at a limit of their model, first come, first served.

Each worker has one line for each model. Only its head looks for room; the others sleep. The head also sends
away whoever has left or waited long enough, so a line of a thousand costs what a line of one does. What waits
is bounded by number, for each line and for the worker, and by the bytes of the requests.
"""

import asyncio
from collections import deque
from collections.abc import Callable

LOOK_S = 0.2
"""Time between two looks of the head."""
MOST_WAITING = 500
"""Requests of one worker that wait, all lines together: their connections are open all the while."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of their bodies."""
Monotonic = Callable[[], float]


class Place:
    """One request's place in a line."""

    __slots__ = ("_come", "_gone", "_line", "_until_s", "size")

    def __init__(self, line: "Line", size: int, until_s: float, gone: Callable[[], bool]) -> None:
        self._line = line
        self.size = size
        self._until_s = until_s
        self._gone = gone
        self._come: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def turn(self) -> bool:
        """Wait to be the head; False when the wait is over before. The caller leaves the line in either case."""
        if not self._line.is_head(self):
            await self._come
        return not self.over

    async def look_again(self) -> bool:
        """As the head: wait for the next look; False when the wait is over."""
        left_s = self._until_s - self._line.monotonic()
        await asyncio.sleep(max(0.0, min(LOOK_S, left_s)))
        self._line.sweep()
        return not self.over

    @property
    def over(self) -> bool:
        """Its time is over, or its client has left."""
        return self._gone() or self._line.monotonic() >= self._until_s

    def call(self) -> None:
        """It is the head now, or has nothing to wait for any more."""
        if not self._come.done():
            self._come.set_result(None)

    def leave(self) -> None:
        """Make room for the next; harmless when repeated."""
        self._line.remove(self)


class Line:
    """Requests that wait for one model, the first at its head."""

    def __init__(self, lines: "Lines") -> None:
        self._lines = lines
        self._places: deque[Place] = deque()

    def __len__(self) -> int:
        return len(self._places)

    def join(self, size: int, longest: int, until_s: float, gone: Callable[[], bool]) -> Place | None:
        """A place at the end; None where the line, or the worker, is full."""
        if len(self._places) >= longest or not self._lines.take(size):
            return None
        place = Place(self, size, until_s, gone)
        self._places.append(place)
        return place

    def monotonic(self) -> float:
        """The worker's clock."""
        return self._lines.monotonic()

    def is_head(self, place: Place) -> bool:
        """Whether it is this one's turn."""
        return bool(self._places) and self._places[0] is place

    def sweep(self) -> None:
        """Call whoever waits for nothing any more; each leaves by itself."""
        for place in self._places:
            if place.over:
                place.call()

    def remove(self, place: Place) -> None:
        """Take a request out, and call the next."""
        try:
            self._places.remove(place)
        except ValueError:
            return
        self._lines.give_back(place.size)
        if self._places:
            self._places[0].call()


class Lines:
    """All lines of one worker; used from one event loop."""

    def __init__(
        self, monotonic: Monotonic, most_waiting: int = MOST_WAITING, most_bytes: int = MOST_BYTES
    ) -> None:
        self.monotonic = monotonic
        self.waiting = 0
        """Requests in all lines."""
        self._bytes = 0
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._lines: dict[str, Line] = {}

    def of(self, model: str) -> Line:
        """The line of a model."""
        return self._lines.setdefault(model, Line(self))

    def take(self, size: int) -> bool:
        """Whether a request of this size may wait as well."""
        if self.waiting >= self._most_waiting or self._bytes + size > self._most_bytes:
            return False
        self.waiting += 1
        self._bytes += size
        return True

    def give_back(self, size: int) -> None:
        """A request waits no longer."""
        self.waiting -= 1
        self._bytes -= size
