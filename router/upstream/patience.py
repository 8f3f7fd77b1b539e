"""Patience: a batch request waits for room at a limit of its decided model, where an interactive one moves on.

The wait is at an end when a site of the model has room, when the task's `queue.wait_s` is over, or when the
client leaves. It counts neither in the request's own time nor in its latency: nobody sits before a batch
request, and the wait says how the operator set the limits, not how fast the candidate is. What it leads to - an
error, an answer by a fallback - is charged to the decision as always.
"""

from router.availability.fleet import Fleet
from router.availability.lines import Line, Lines, Place
from router.availability.terms import Terms
from router.config.task import Queue
from router.deciding.choose import Decision
from router.deciding.needs import Needs
from router.upstream.account import Account
from router.upstream.attempts import AttemptFailed, over_quota, queue_full
from router.upstream.trail import LEFT


def queue_of(terms: Terms, decision: Decision, needs: Needs | None) -> Queue | None:
    """How a request may wait; None for all but batch requests of tasks that state it. Copies never wait."""
    if terms.queue is None or needs is None or needs.latency != "batch" or decision.reason == "shadow":
        return None
    return terms.queue


class Patience:
    """What one request may still wait."""

    def __init__(self, account: Account, fleet: Fleet, lines: Lines, queue: Queue) -> None:
        self._account = account
        self._fleet = fleet
        self._model = account.decision.model
        self._line: Line = lines.of(self._model)
        self._monotonic = lines.monotonic
        self._longest = queue.longest
        self._left_s = queue.wait_s
        self._place: Place | None = None
        self._began_s = 0.0

    @property
    def waiting(self) -> bool:
        """It has a place in the line."""
        return self._place is not None

    async def behind_others(self) -> None:
        """At first: whoever came before has a right to go first. Raises as `waited` does."""
        if len(self._line):
            await self.waited(None)

    async def waited(self, failure: AttemptFailed | None) -> bool:
        """Wait until a look for room is worth it: True, else raises what the wait ended with."""
        if self._place is None:
            went_on = self._left_s > 0 and await self._join().turn()
        else:
            went_on = await self._place.look_again()
        if went_on:
            return True
        self._end()
        if self._account.left:
            self._account.passed(self._model, LEFT)
            self._account.settle(None)
            raise (failure or over_quota(self._model, 1)).error
        self._fleet.count("queue_expired")
        self._account.passed(self._model, "queue_expired")
        raise failure or over_quota(self._model, 1)

    def let_in(self) -> None:
        """There is room: the next one's turn."""
        if self._place is not None:
            self._account.passed(self._model, "let_in")
            self._end()

    def leave(self) -> None:
        """Give the place up, whatever happened."""
        if self._place is not None:
            self._end()

    def _join(self) -> Place:
        account, now_s = self._account, self._monotonic()
        size = len(account.call.forwarded)
        place = self._line.join(size, self._longest, now_s + self._left_s, lambda: account.left)
        if place is None:
            self._fleet.count("queue_full")
            account.passed(self._model, "queue_full")
            account.settle("queue_full")
            raise queue_full(self._model).error
        self._fleet.count("queued")
        account.passed(self._model, "queued")
        self._place, self._began_s = place, now_s
        account.hold()
        return place

    def _end(self) -> None:
        assert self._place is not None
        self._place.leave()
        self._place = None
        self._account.go_on()
        self._left_s -= self._monotonic() - self._began_s
