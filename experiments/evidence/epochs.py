"""Epochs: spans in which the shares are frozen, and when such a span closes and matures."""

from dataclasses import dataclass

GRACE_MS = 2_000
"""Longest time between closing an epoch and the last decision taken under it."""
CALL_WINDOW_MS = 150_000
"""Time after which the calls of a closed epoch have ended: the default timeout of two minutes, GRACE_MS, and
half a minute for rows that wait in a queue."""
NEVER = 2**62
"""Stands for the end of an epoch that is open."""
LONGEST_MS = 24 * 3_600_000
LONG_RUN = 2_000
LOOK_GROWTH = 0.1
"""Relative growth of the evidence that is worth a look under unchanged shares."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of an experiment's history of shares; immutable once closed.

    Epoch 0 holds the configured shares. Degraded decisions are recorded under it and no test reads it.
    """

    experiment_id: int
    number: int
    opened_at_ms: int
    shares: tuple[float, ...]
    cost_series: int = 0
    """Number of the price version in force; cost and ratio tests use one series."""
    price_version: str = ""
    closed_at_ms: int | None = None
    model_series: int = 0
    """Number of the model version in force; a holdback watches one, a verdict on two asks for review."""
    model_version: str = ""

    def mature(self, window_ms: int, now_ms: int) -> bool:
        """Whether every outcome that may count has arrived: closed, and the reward window is over."""
        return self.number > 0 and self.closed_at_ms is not None and now_ms >= self.final_at_ms(window_ms)

    def final_at_ms(self, window_ms: int) -> int:
        """Time after which no outcome changes this epoch's cells; a far future while it is open."""
        return NEVER if self.closed_at_ms is None else self.closed_at_ms + window_ms + GRACE_MS


def smallest_size(arms: int, number: int) -> int:
    """Units an epoch needs before it may close; doubles with every 2,000 epochs to bound the history."""
    return max(100, 20 * arms) << (number // LONG_RUN)


def may_close(epoch: Epoch, arms: int, units: int, before: int, shares_changed: bool, now_ms: int) -> bool:
    """Whether a tick may close this epoch, which holds `units` after `before` units of earlier epochs.

    With new shares: as soon as it is large enough. With the same shares (mode ab, or a split that rests on
    its floors) once it has grown by a tenth of everything before it, so that looks go on while the number
    of epochs grows with the logarithm of the traffic. After a day in any case.
    """
    if now_ms - epoch.opened_at_ms >= LONGEST_MS:
        return True
    enough = smallest_size(arms, epoch.number)
    return units >= (enough if shares_changed else max(enough, LOOK_GROWTH * before))
