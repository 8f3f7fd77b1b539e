"""Health of one site, as one worker sees it: failures, pauses, requests in flight, speed.

A site that fails is left alone for a while that doubles with each further pause. When the pause is over one
request probes it, and the others follow once it has answered. Time comes in as monotonic seconds.
"""

from collections.abc import Callable

from router.availability.hedging import RecentTimes
from router.config.availability import Cooldown, Usual

Draw = Callable[[], float]
"""Uniform numbers from 0 to below 1."""
WINDOW_S = 60.0
LEAST_ATTEMPTS = 20
"""Attempts within a window below which no rate of failures is told."""
NEWEST = 0.2
"""What the newest answer counts in the average of speed."""
LONGEST_ASKED_S = 3_600.0
"""Longest pause that an upstream may ask for."""


class Health:
    """State of one site."""

    __slots__ = (
        "_attempts", "_failures", "_pauses", "_probed_by", "_recent", "_row", "_window_s", "in_flight",
        "resting_until_s", "speed_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.in_flight = 0
        self.resting_until_s = 0.0
        """End of the pause; 0 while there is none."""
        self.speed_s: dict[bool, float] = {}
        """Average time to a whole answer (False), and to the first piece of a stream (True)."""
        self._row = 0
        self._attempts = self._failures = 0
        self._window_s = 0.0
        self._pauses = 0
        self._probed_by: object | None = None
        self._recent: dict[bool, RecentTimes] | None = None
        """Times one by one, kept once somebody has asked for their quantiles; by kind as in `speed_s`."""

    def open(self, now_s: float) -> bool:
        """Whether the next request may come here."""
        if not self.resting_until_s:
            return True
        return now_s >= self.resting_until_s and self._probed_by is None

    def begin(self, visit: object) -> None:
        """An attempt starts; the first one after a pause is its probe."""
        self.in_flight += 1
        if self.resting_until_s and self._probed_by is None:
            self._probed_by = visit

    def end(self, visit: object) -> None:
        """It is over, whatever came of it."""
        self.in_flight -= 1
        if self._probed_by is visit:
            self._probed_by = None

    def answered(self, now_s: float, took_s: float, streamed: bool) -> None:
        """An answer, or the first piece of it: the pause, if there was one, is over."""
        self._count(now_s, 0)
        self._row = self._pauses = 0
        self.resting_until_s = 0.0
        speed_s = self.speed_s
        before_s = speed_s.get(streamed, took_s)
        speed_s[streamed] = before_s + NEWEST * (took_s - before_s)
        if self._recent is not None:
            self._recent[streamed].add(took_s)

    def outrun(self, took_s: float, streamed: bool) -> None:
        """An attempt was cut without an answer after this time: its own would have been longer."""
        before_s = self.speed_s.get(streamed, took_s)
        self.speed_s[streamed] = max(before_s, before_s + NEWEST * (took_s - before_s))
        if self._recent is not None:
            self._recent[streamed].add(took_s)

    def within_s(self, usual: Usual, streamed: bool) -> float | None:
        """The time within which so many answers came of late; None while too few are known."""
        if self._recent is None:
            self._recent = {False: RecentTimes(), True: RecentTimes()}
        return self._recent[streamed].within_s(usual)

    def failed(self, now_s: float, rule: Cooldown, draw: Draw, retry_after_s: float | None = None) -> bool:
        """A failure that is the site's own; True if a pause begins. An upstream may ask for one itself."""
        self._count(now_s, 1)
        self._row += 1
        asked_s = 0.0 if retry_after_s is None else min(retry_after_s, LONGEST_ASKED_S)
        rate = self._attempts >= LEAST_ATTEMPTS and 2 * self._failures >= self._attempts
        due = self._row >= rule.failures or rate or self.resting_until_s > 0
        if not due and not asked_s:
            return False
        began = not self.resting_until_s or now_s >= self.resting_until_s
        own_s = self._pause_s(rule, draw) if due and began else 0.0
        self.resting_until_s = max(self.resting_until_s, now_s + max(own_s, asked_s))
        return began

    def _pause_s(self, rule: Cooldown, draw: Draw) -> float:
        """The next pause: twice the last one, less up to a quarter, so that workers do not probe together."""
        pause_s = min(rule.longest_s, rule.first_s * 2.0 ** min(self._pauses, 30))
        self._pauses += 1
        self._attempts = self._failures = 0
        return pause_s * (1 - draw() / 4)

    def _count(self, now_s: float, failures: int) -> None:
        if now_s - self._window_s > WINDOW_S:
            self._window_s, self._attempts, self._failures = now_s, 0, 0
        self._attempts += 1
        self._failures += failures
