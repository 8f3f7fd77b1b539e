"""Processes that are started again, and ended."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from api.processes import logs
from api.processes.children import LONGEST_WAIT_S, STEADY_S, Child
from api.processes.orders import Order
from api.settings import Settings

ORDER = Order(
    settings=Settings.model_validate({"store": "x", "signing_key": "s" * 40}), name="worker 0", holder="h"
)


def ends_at_once(_order: Order) -> None:
    """Nothing to do."""


def runs(child: Child) -> bool:
    return child.pid is not None


def ended(child: Child) -> None:
    """Wait until the process is over, without looking after it."""
    assert child.wait_until(time.monotonic() + 10)


def test_a_process_that_keeps_dying_waits_longer_each_time() -> None:
    """A broken installation must not burn the machine, and must come back soon after it is mended."""
    child, now_s, waits = Child(ends_at_once, ORDER), 1_000.0, []
    child.look(now_s)
    for _ in range(7):
        ended(child)
        child.look(now_s)
        died_s = now_s
        while not runs(child):
            now_s += 0.05
            child.look(now_s)
        waits.append(now_s - died_s)
    assert child.failures == 7
    assert waits == sorted(waits)
    assert 0.05 <= waits[0] <= 0.2
    assert waits[-1] == pytest.approx(LONGEST_WAIT_S, abs=0.1)
    ended(child)


def test_a_process_that_ran_steadily_starts_again_at_once() -> None:
    """A single crash after hours of work is no reason to wait."""
    child = Child(ends_at_once, ORDER)
    child.look(0.0)
    first = child.pid
    ended(child)
    child.look(STEADY_S + 1)
    assert child.pid not in (None, first)
    assert child.failures == 0
    ended(child)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def says_where_it_is_and_stays(order: Order, said: Path) -> None:
    """Write down what a copy is and holds, then sleep through SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    descriptors = [number for number in range(256) if is_open(number)]
    comm = Path("/proc/self/comm").read_text().strip()
    found = [order.settings.signing_key_text, comm, os.getsid(0) == os.getpid(), descriptors]
    said.with_suffix(".part").write_text(json.dumps(found))
    said.with_suffix(".part").rename(said)
    time.sleep(60)


def test_a_process_that_outstays_its_time_is_killed(tmp_path: Path) -> None:
    """The end of the server comes within its promise, whatever a process is stuck in."""
    said, (ours, other) = tmp_path / "said.json", os.pipe()
    child = Child(partial(says_where_it_is_and_stays, said=said), ORDER, closing=(other,))
    child.look(0.0)
    while not said.exists():
        time.sleep(0.01)
    child.end()
    assert not child.wait_until(time.monotonic() + 0.2)
    secret, comm, leads, held = json.loads(said.read_text())
    assert (secret, comm, leads) == ("s" * 40, "pm worker 0", True)
    assert ours in held
    assert other not in held, "a copy that holds the supervisor's end would never learn that it is gone"
    os.close(ours)
    os.close(other)


def dies_of_a_secret(order: Order) -> None:
    """What is raised names a secret."""
    logs.set_up(order.name, logs.Redaction([order.settings.signing_key_text or ""]))
    raise ValueError(f"{order.settings.signing_key_text} is wrong")


def test_what_ends_a_process_is_logged_without_secrets(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback as Python prints it would carry them out."""
    child = Child(dies_of_a_secret, ORDER)
    child.look(0.0)
    ended(child)
    child.look(STEADY_S / 2)
    assert child.failures == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "uncaught" in line]
    logged = json.loads(line)
    assert logged["process"] == "worker 0"
    assert "ValueError: [hidden] is wrong" in logged["exception"]
    assert "s" * 40 not in line


def test_told_to_end_while_it_starts_a_process_ends(tmp_path: Path) -> None:
    """A signal that comes before the copy's own handlers stand must not be taken for the supervisor's."""
    heard = list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        for _ in range(20):
            child = Child(partial(says_where_it_is_and_stays, said=tmp_path / "x" / "y"), ORDER)
            child.look(0.0)
            child.end()
            assert child.wait_until(time.monotonic() + 10)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == []
