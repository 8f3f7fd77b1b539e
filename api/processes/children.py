"""A process of the server: started, watched, and started again with growing waits when it dies."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from api.processes.orders import Order
from api.settings import environment

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
STEADY_S = 30.0
"""A process that ran this long starts again without waiting."""
PROGRAM = Path(__file__).parents[2]
"""Where the packages stand: in a checkout, or where they were installed."""
_log = logging.getLogger("pointsman.serve")


def _with_program(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that finds the program, from whatever folder the parent was started."""
    paths = [str(PROGRAM), *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)}


class Child:
    """One place in the server and the process that fills it."""

    def __init__(
        self, module: str, arguments: Sequence[str], descriptors: Sequence[int], order: Order
    ) -> None:
        self.name = order.name
        self.failures = 0
        """Ends in a row that came soon after the start."""
        self._command = (sys.executable, "-m", module, *arguments)
        self._descriptors = tuple(descriptors)
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._next_s = 0.0

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return None if self._process is None else self._process.pid

    def look(self, now_s: float) -> None:
        """Start the process if there is none and its wait is over."""
        if self._process is not None and (code := self._process.poll()) is not None:
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
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("%s did not end in time and is killed", self.name)
            self._process.kill()
            self._process.wait()
            return False
        finally:
            self._close_input()
        return True

    def _start(self, now_s: float) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own module by the interpreter that runs this
            self._command,
            env=_with_program(environment()),
            stdin=subprocess.PIPE,
            bufsize=0,
            pass_fds=self._descriptors,
            start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone
        )
        self._started_s = now_s
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died already; the next look sees it
            self._process.stdin.write(self._order.line())

    def _bury(self, code: int, now_s: float) -> None:
        """Note an end nobody asked for, and when to start again."""
        steady = now_s - self._started_s >= STEADY_S
        self.failures = 0 if steady else self.failures + 1
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, self.failures - 1))
        self._next_s = now_s if steady else now_s + wait_s
        cause = f"signal {-code}" if code < 0 else f"status {code}"
        _log.error("%s ended with %s; it is started again", self.name, cause)
        self._close_input()
        self._process = None

    def _close_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
