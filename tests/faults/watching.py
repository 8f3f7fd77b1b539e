"""What must be the same after many faults as before: tasks, sockets and, within a bound, memory."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.asking import wait_until
from tests.servers.house import House

MOST_GROWTH = 50_000_000


def rss_bytes(process: int | str = "self") -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def sockets() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def nothing_left_behind(house: House) -> Iterator[None]:
    """Run the block; after it the served house has the tasks, the sockets and about the memory of before."""
    gc.collect()
    tasks, files, memory = house.tasks(), sockets(), rss_bytes()
    yield
    wait_until(lambda: house.tasks() <= tasks and sockets() <= files + 4)  # kept connections to two upstreams
    gc.collect()
    assert rss_bytes() - memory < MOST_GROWTH
