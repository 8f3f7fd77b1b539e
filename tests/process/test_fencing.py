"""Two planner processes on one ledger: the one that was stopped past its lease is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from router.applying.plan import seed
from router.clock import machine_clock
from router.steering.control import Control
from router.steering.planner import LEASE
from storage.open import open_store
from storage.records import AuditEntry, OpenEpoch
from tests.router.worlds import document

ROOT = Path(__file__).parents[2]
TTL_MS = 700
PLANNER = """
import sys
from dataclasses import replace
from router.clock import machine_clock
from router.steering.planner import LEASE
from storage.errors import LeaseLost
from storage.open import open_store
from storage.records import AuditEntry, OpenEpoch

store = open_store(sys.argv[1])
lease = store.acquire_lease(LEASE, "first", machine_clock(), int(sys.argv[2]))
(row,) = store.state().experiments
newest = store.epochs(row.id)[-1]
epoch = replace(newest, number=newest.number + 1, opened_at_ms=machine_clock(), shares=(0.9, 0.1))
print("planned", flush=True)
sys.stdin.readline()
try:
    store.commit([OpenEpoch(epoch)], AuditEntry(machine_clock(), "first", "x", "y"), lease, machine_clock())
except LeaseLost:
    print("refused", flush=True)
else:
    print("published", flush=True)
"""


@pytest.mark.process
def test_an_epoch_planned_before_a_long_stop_is_refused(tmp_path: Path) -> None:
    """Without a fence, shares computed from old evidence would replace newer ones."""
    path = str(tmp_path / "ledger.sqlite")
    store = open_store(path)
    seed(store, document(), machine_clock, "test")
    Control(store, machine_clock).start("cheaper", "test")
    first = subprocess.Popen(
        [sys.executable, "-c", PLANNER, path, str(TTL_MS)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert first.stdout is not None
    assert first.stdin is not None
    try:
        assert first.stdout.readline() == "planned\n"
        os.kill(first.pid, signal.SIGSTOP)
        assert store.acquire_lease(LEASE, "second", machine_clock(), TTL_MS) is None, (
            "the lease is still held"
        )
        time.sleep(TTL_MS / 1000 + 0.1)
        lease = store.acquire_lease(LEASE, "second", machine_clock(), 60_000)
        assert lease is not None
        (row,) = store.state().experiments
        newest = store.epochs(row.id)[-1]
        os.kill(first.pid, signal.SIGCONT)
        answer, _ = first.communicate("go\n", timeout=20)
        assert answer == "refused\n"
        assert store.epochs(row.id)[-1] == newest
        mine = newest.__class__(row.id, newest.number + 1, machine_clock(), (0.4, 0.6))
        store.commit(
            [OpenEpoch(mine)], AuditEntry(machine_clock(), "second", "x", "y"), lease, machine_clock()
        )
        assert store.epochs(row.id)[-1].shares == (0.4, 0.6)
    finally:
        first.kill()
        first.wait()
        store.close()
