"""Hedging: how many second attempts there may be, and after what time one is worth it.

A second attempt beside a slow first one cuts the longest waits at the cost of a few more attempts, if it starts
only when the first is slower than nearly all others, and rarely (Dean and Barroso, The Tail at Scale, 2013).
"""

from collections import deque
from collections.abc import Mapping

from router.config.availability import Usual

SAVED = 5.0
"""Most hedges that are saved up."""
NEWEST = 200
"""Times that are kept of a site, for each kind of answer."""
ENOUGH = 50
"""Times below which no quantile is told."""
FRESH = 10
"""New times after which the quantiles are worked out anew."""
QUANTILES: Mapping[Usual, float] = {"p90": 0.90, "p95": 0.95, "p99": 0.99}


class HedgePurse:
    """The hedges of one task in one worker: never more than one and `share` of its requests."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = 1.0

    def earn(self, share: float) -> None:
        """A request came."""
        self._left = min(SAVED, self._left + share)

    def spend(self) -> bool:
        """Whether one more may begin now."""
        if self._left < 1 - 1e-9:  # twenty times a twentieth is one
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """It did not begin after all."""
        self._left += 1


class RecentTimes:
    """The newest times of one site, and their quantiles.

    An attempt that was cut because the one beside it was faster counts with the time that it had taken by then.
    That is less than it would have taken, and more than the quantile after which the other one began, so the
    quantile stays near what it was. Leaving the slowest out would about double the hedges.
    """

    __slots__ = ("_news", "_sorted", "_times")

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=NEWEST)
        self._sorted: list[float] = []
        self._news = 0

    def add(self, took_s: float) -> None:
        """One more time."""
        self._times.append(took_s)
        self._news += 1

    def within_s(self, usual: Usual) -> float | None:
        """The time within which so many of the answers came; None while too few are known.

        >>> times = RecentTimes()
        >>> for took_s in range(1, 101):
        ...     times.add(float(took_s))
        >>> times.within_s("p90"), times.within_s("p99")
        (90.0, 99.0)
        """
        if len(self._times) < ENOUGH:
            return None
        if self._news >= FRESH or not self._sorted:
            self._sorted, self._news = sorted(self._times), 0
        rank = -(-len(self._sorted) * round(QUANTILES[usual] * 100) // 100)
        return self._sorted[rank - 1]
