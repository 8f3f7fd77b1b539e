"""The library in process: numbers that stay its own, and forks."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from router import in_process
from router.clock import machine_clock
from router.in_process import Router
from storage.open import open_store
from tests.router.worlds import document

ROOT = Path(__file__).parents[2]
FORK = """
import os, sys
from router.errors import Conflict
from router.in_process import Router
from tests.router.worlds import document

router = Router.open(document(), sys.argv[1], tick="manual", start=True)
router.route("support/billing")
child = os.fork()
if child == 0:
    try:
        router.route("support/billing")
    except Conflict as error:
        os._exit(7 if "open one in the child" in str(error) else 1)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
router.route("support/billing")
router.close()
"""


def test_a_router_keeps_its_worker_number_for_as_long_as_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes with one number would write the same decision numbers, and rows would be lost."""
    monkeypatch.setattr(in_process, "WORKER_TTL_MS", 300)
    path = str(tmp_path / "ledger.sqlite")
    with Router.open(document(), path, tick="manual") as router:
        time.sleep(1.0)
        other = open_store(path)
        assert other.claim_worker("somebody else", machine_clock(), 300) != router._worker
        other.close()


def test_a_forked_copy_is_refused_with_the_remedy_and_its_parent_goes_on(tmp_path: Path) -> None:
    """The copy has no threads, and its decision numbers would be its parent's."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "ledger.sqlite")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
