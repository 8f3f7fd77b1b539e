"""Time as a parameter: milliseconds since 1970, from the machine or from a test."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def machine_clock() -> int:
    """The machine's time in whole milliseconds."""
    return time.time_ns() // 1_000_000
