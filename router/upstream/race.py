"""The race: a slow attempt and the one that begins beside it; the first answer counts, and the other is cut.

The moment of the answer decides, in one step of the event loop: the loser is cancelled and charged before the
winner's answer is written, so what the client reads of the cost is what the ledger holds.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from router.upstream.attempt import Attempt
from router.upstream.attempts import AttemptFailed


class Answering(Protocol):
    """What an attempt gives."""

    def drop(self) -> None:
        """Nobody wants it: free what it holds."""


Got = TypeVar("Got", bound=Answering)
Running = Coroutine[Any, Any, Got]  # reason: what it yields and takes is the event loop's business


class Race(Generic[Got]):
    """Two attempts of one request at most."""

    __slots__ = ("_attempts", "_on_answer", "_tasks", "over")

    def __init__(self, first: Attempt, on_answer: Callable[[Attempt, bool], None]) -> None:
        """`on_answer` is told of the winner, and whether that is the second attempt."""
        self._attempts: list[Attempt] = []
        self._tasks: list[asyncio.Task[Got | None]] = []
        self._on_answer = on_answer
        self.over = False
        """It is decided, or was given up: nobody may begin any more."""
        self.enter(first)

    def enter(self, attempt: Attempt) -> None:
        """One more attempt takes part."""
        self._attempts.append(attempt)
        attempt.on_answer = self._decide

    async def run(
        self, first: Running[Got], after_s: float, second: Callable[[], Coroutine[Any, Any, Got | None]]
    ) -> Got:  # reason: as above
        """The first answer. `second` begins after the time; it gives None where there is to be none.

        If both fail, the first one's failure is raised.
        """
        tasks = self._tasks
        tasks.append(asyncio.create_task(first))
        try:
            await asyncio.wait(tasks, timeout=after_s)
            if not tasks[0].done():
                tasks.append(asyncio.create_task(second()))
            return await self._first_answer()
        except BaseException:
            self.over = True
            for task in tasks:
                task.cancel()
                task.add_done_callback(_forget)
            raise

    async def _first_answer(self) -> Got:
        """Wait for it; a failed attempt leaves the other one to go on."""
        waiting = set(self._tasks)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (got := _result(task)) is not None:
                    for other in self._tasks:
                        if other is not task:
                            other.add_done_callback(_forget)
                    return got
        self._tasks[0].result()  # raises
        raise AssertionError("an attempt ended without an answer and without a failure")

    def _decide(self, winner: Attempt) -> None:
        """The moment of the answer."""
        self.over = True
        own = asyncio.current_task()
        for task in self._tasks:
            if task is not own:
                task.cancel()
        for attempt in self._attempts:
            if attempt is not winner:
                attempt.beaten(slow=attempt is self._attempts[0])
        self._on_answer(winner, winner is not self._attempts[0])


def _result(task: "asyncio.Task[Got | None]") -> Got | None:
    """The answer of a task that is done; None if it failed as attempts do, or was cut by the winner."""
    if task.cancelled() or isinstance(task.exception(), AttemptFailed):
        return None
    return task.result()


def _forget(task: "asyncio.Task[Got | None]") -> None:
    """Free what a task gives that nobody waits for."""
    if not task.cancelled() and task.exception() is None and (got := task.result()) is not None:
        got.drop()
