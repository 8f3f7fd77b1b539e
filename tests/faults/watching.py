"""What must be the same after many faults as before: tasks, sockets and, within a bound, memory."""

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers.house import House

MOST_GROWTH = 50_000_000
PATIENCE_S = 10.0
OWN_FILES = 2
"""Both ends of the connection that a test itself keeps to the house."""


class Held(NamedTuple):
    """What a served house holds at a moment."""

    tasks: int
    taken: int
    """Connections to upstreams on which a request is."""
    files: int
    """Open files of the process without the kept connections to upstreams, whose both ends are here."""

    def more_than(self, before: "Held") -> bool:
        """Something was left behind since."""
        return self.tasks > before.tasks or self.taken > 0 or self.files > before.files + OWN_FILES


def rss_bytes(process: int | str = "self") -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def held(house: House) -> Held:
    """Counted in the house's own loop, so that its own sockets do not change meanwhile."""

    def count() -> Held:
        session = house.transport._session
        connector = None if session is None else session.connector
        kept = 0 if connector is None else sum(map(len, connector._conns.values()))
        taken = 0 if connector is None else len(connector._acquired)
        return Held(len(asyncio.all_tasks()), taken, len(os.listdir("/proc/self/fd")) - 2 * kept)

    return house.in_loop(count)


@contextmanager
def nothing_left_behind(house: House) -> Iterator[None]:
    """Run the block; after it the served house has the tasks, the sockets and about the memory of before."""
    gc.collect()
    before, memory = held(house), rss_bytes()
    yield
    deadline_s = time.monotonic() + PATIENCE_S
    while (now := held(house)).more_than(before) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not now.more_than(before), f"{before} has become {now}"
    gc.collect()
    assert rss_bytes() - memory < MOST_GROWTH
