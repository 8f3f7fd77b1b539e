"""Retries: how long to wait before one, and how many there may be at all."""

from router.availability.health import Draw

SHARE = 0.2
"""Retries that each request earns; a bad hour of an upstream makes a fifth more requests, not a multiple."""
SAVED = 10.0
"""Most retries that are saved up."""
FIRST_S, LONGEST_S = 0.25, 4.0
PATIENCE_S = 10.0
"""Longest wait that an upstream may ask for before a retry where no other model is left."""
SHORT_PATIENCE_S = 1.0
"""The same where another model is left."""


class RetryPurse:
    """The retries of one worker: a share of its requests."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = SAVED

    def earn(self) -> None:
        """A request came."""
        self._left = min(SAVED, self._left + SHARE)

    def spend(self) -> bool:
        """Whether one more retry may be made now."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def wait_s(tries: int, asked_s: float | None, patience_s: float, draw: Draw) -> float | None:
    """Seconds before a retry, drawn from the whole span, so that clients that failed together do not return together.

    An upstream that asks for a time gets it, or no retry: None.

    >>> wait_s(2, None, 10, lambda: 0.5), wait_s(0, 3, 10, lambda: 0.0), wait_s(0, 60, 10, lambda: 0.0)
    (0.5, 3.0, None)
    """
    drawn_s = draw() * min(LONGEST_S, FIRST_S * 2.0**tries)
    if asked_s is None:
        return drawn_s
    return None if asked_s > patience_s else asked_s + drawn_s
