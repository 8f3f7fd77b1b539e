"""What the supervisor tells its processes, and how they notice that it is gone.

They are copies of it, so an order needs no form that could be sent: secrets leave no memory. Of one pipe the
supervisor alone keeps the end for writing; when it is gone, however it ended, the pipe closes, and its processes end
too instead of serving on as orphans.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from api.settings import Settings


@dataclass(frozen=True)
class Order:
    """Settings and place of one process."""

    settings: Settings
    name: str
    """What logs call it."""
    holder: str
    """Name under which it claims its worker number or the planner's lease; the same after a restart."""
    slot: int = 0
    """Which of the workers it is."""
    loopback: bool = True
    """Whether only this machine can reach the socket."""
    lifeline: int | None = None
    """Descriptor that can be read once the supervisor is gone; None where there is no supervisor."""


def when_orphaned(order: Order, act: Callable[[], None]) -> None:
    """Call `act` from a thread of its own once the supervisor is gone."""
    lifeline = order.lifeline
    if lifeline is None:
        return

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        act()

    threading.Thread(target=watch, name="pointsman-supervisor-watch", daemon=True).start()
