"""The sampler: stacks of a worker's main thread, each weighed by the processor time since the one before.

A timer of processor time interrupts the process; the handler runs in the main thread at the next safe point of
the interpreter, so the time of a call into C is found at its caller. The weight is the main thread's own time:
what other threads used in between is not charged to it.
"""

import json
import os
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_S = 0.001
"""Asked for; the kernel's own tick is mostly longer."""
TICKS = os.sysconf("SC_CLK_TCK")


class Sampler:
    """Starts at one SIGUSR1, and writes what it saw at the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._weights: defaultdict[tuple[CodeType, ...], float] = defaultdict(float)
        self._last_s = 0.0
        self._before: dict[str, list[float]] | None = None

    def install(self) -> None:
        """Wait for the signal."""
        signal.signal(signal.SIGUSR1, self._toggle)
        signal.signal(signal.SIGPROF, self._sample)

    def _toggle(self, _number: int, _frame: FrameType | None) -> None:
        if self._before is None:
            self._before, self._last_s = thread_times(), time.thread_time()
            signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
            return
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._write(self._before)
        self._before = None

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        now_s = time.thread_time()
        self._weights[tuple(reversed(stack))] += now_s - self._last_s
        self._last_s = time.thread_time()

    def _write(self, before: dict[str, list[float]]) -> None:
        threads = {
            name: [now - then for now, then in zip(spent, before.get(name, (0.0, 0.0)), strict=True)]
            for name, spent in thread_times().items()
        }
        stacks = [[[named(code) for code in stack], weight] for stack, weight in self._weights.items()]
        self._path.with_suffix(".part").write_text(json.dumps({"threads": threads, "stacks": stacks}))
        self._path.with_suffix(".part").rename(self._path)
        self._weights.clear()


def named(code: CodeType) -> str:
    """A function as `file:name`."""
    return f"{code.co_filename}:{code.co_qualname}"


def thread_times() -> dict[str, list[float]]:
    """Seconds in user and kernel mode of each thread of this process, by name."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    times: dict[str, list[float]] = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        spent = times.setdefault(names.get(int(task.name), "other threads"), [0.0, 0.0])
        for mode in (0, 1):
            spent[mode] += int(fields[11 + mode]) / TICKS
    return times
