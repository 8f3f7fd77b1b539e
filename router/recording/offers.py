"""Offers: whether the day's money for copies pays for one more that a caller would make itself.

A caller's copy is paid before anybody here knows its cost. So every copy that was offered and not reported, by
whichever process of the ledger, is expected to cost as much as the usual one or as the price list says of this
request, whichever is more. Without the ledger's word nothing is offered.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from router.clock import Clock
from router.recording.pairs import Spending, spending_today
from storage.store import Store

TRUST_MS = 2_000
"""How long what the ledger said of the day's costs is believed."""
BEHIND_MS = 1_000
"""How long a decision of this process may take into the ledger."""

Question = Callable[[Store], Spending]


class Offers:
    """What one process knows of the money of each experiment in mode shadow; safe for several threads."""

    def __init__(self, ask: Callable[[Question], "Future[Spending]"], clock: Clock) -> None:
        """`ask` puts a question to the store without waiting for the answer."""
        self._ask = ask
        self._clock = clock
        self._known: dict[int, tuple[int, Spending]] = {}
        """When the ledger was asked, and what it said."""
        self._asked: dict[int, Future[Spending]] = {}
        self._own: dict[int, deque[int]] = {}
        """Times of offers that the ledger may not have told of."""

    def awaited(self, experiment_id: int) -> "Future[Spending] | None":
        """The ledger's word, where it must be waited for; None where what is known is fresh."""
        now_ms = self._clock()
        if self._fresh(experiment_id, now_ms) is not None:
            return None
        asked = self._asked.get(experiment_id)
        if asked is None or asked.done():
            question = partial(spending_today, experiment_id=experiment_id, now_ms=now_ms)
            asked = self._asked[experiment_id] = self._ask(question)
            asked.add_done_callback(partial(self._learn, experiment_id, now_ms))
        return asked

    def afforded(self, experiment_id: int, limit_usd: float, listed_usd: float) -> bool:
        """Whether one more copy fits into the day's money; if so it is taken to be offered."""
        now_ms = self._clock()
        spending = self._fresh(experiment_id, now_ms)
        if spending is None:
            return False
        own = self._own.setdefault(experiment_id, deque())
        each_usd = max(listed_usd, spending.usual_usd)
        if spending.usd + (spending.waiting + len(own) + 1) * each_usd > limit_usd:
            return False
        own.append(now_ms)
        return True

    def _fresh(self, experiment_id: int, now_ms: int) -> Spending | None:
        at_ms, spending = self._known.get(experiment_id, (0, None))
        return spending if abs(now_ms - at_ms) <= TRUST_MS else None

    def _learn(self, experiment_id: int, asked_at_ms: int, answer: "Future[Spending]") -> None:
        """Take over what the ledger said of the time before it was asked."""
        if answer.cancelled() or answer.exception() is not None:
            return
        own = self._own.setdefault(experiment_id, deque())
        while own and own[0] < asked_at_ms - BEHIND_MS:
            own.popleft()
        self._known[experiment_id] = (asked_at_ms, answer.result())
