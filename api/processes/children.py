"""A process of the server: started, watched, and started again with growing waits when it dies.

It is a copy of the supervisor (fork), which has loaded what a worker needs and does nothing beside: so a process is
there in milliseconds, and pages that nobody writes to are shared. Copying is safe as the supervisor has one thread.
"""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkProcess
from pathlib import Path

from api.processes.orders import Order

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
STEADY_S = 30.0
"""A process that ran this long starts again without waiting."""
COMM = Path("/proc/self/comm")
"""Where Linux keeps the name that `ps` and `top` show of a process."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FORK = multiprocessing.get_context("fork")
_log = logging.getLogger("pointsman.serve")

Work = Callable[[Order], None]


class Child:
    """One place in the server and the process that fills it."""

    def __init__(self, work: Work, order: Order, closing: Sequence[int] = ()) -> None:
        self.name = order.name
        self.failures = 0
        """Ends in a row that came soon after the start."""
        self._work = work
        self._order = order
        self._closing = tuple(closing)
        """The supervisor's descriptors that this process must not hold."""
        self._process: ForkProcess | None = None
        self._started_s = 0.0
        self._next_s = 0.0

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return None if self._process is None else self._process.pid

    def look(self, now_s: float) -> None:
        """Start the process if there is none and its wait is over."""
        if self._process is not None and (code := self._process.exitcode) is not None:
            self._bury(code, now_s)
        if self._process is None and now_s >= self._next_s:
            self._start(now_s)

    def end(self) -> None:
        """Ask the process to finish what it does and end."""
        if self._process is not None:
            self._process.terminate()

    def wait_until(self, deadline_s: float) -> bool:
        """Wait for the end; a process that outstays the deadline is killed. True if it ended by itself."""
        if self._process is None:
            return True
        self._process.join(max(0.0, deadline_s - time.monotonic()))
        if self._process.exitcode is None:
            _log.error("%s did not end in time and is killed", self.name)
            self._process.kill()
            self._process.join()
            return False
        return True

    def _start(self, now_s: float) -> None:
        self._process = _FORK.Process(
            target=_become, args=(self._work, self._order, self._closing), name=self.name, daemon=True
        )
        with _held_back():
            self._process.start()
        self._started_s = now_s

    def _bury(self, code: int, now_s: float) -> None:
        """Note an end nobody asked for, and when to start again."""
        steady = now_s - self._started_s >= STEADY_S
        self.failures = 0 if steady else self.failures + 1
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, self.failures - 1))
        self._next_s = now_s if steady else now_s + wait_s
        cause = f"signal {-code}" if code < 0 else f"status {code}"
        _log.error("%s ended with %s; it is started again", self.name, cause)
        self._process = None


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals to end wait: one that comes while a copy is made is neither lost nor taken for the supervisor's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become(work: Work, order: Order, closing: Sequence[int]) -> None:
    """What the copy does first: leave what is the supervisor's, then work."""
    for descriptor in closing:
        os.close(descriptor)
    os.setsid()  # Ctrl-C in a terminal reaches the supervisor alone
    with suppress(OSError):  # other systems show the supervisor's name
        COMM.write_text(f"pm {order.name}")
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        work(order)
    except Exception:  # what would print it otherwise knows no secrets to hide
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
