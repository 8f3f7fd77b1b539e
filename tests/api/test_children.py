"""Processes that are started again, and ended."""

import json
import time
from pathlib import Path

import pytest

from api.processes.children import LONGEST_WAIT_S, STEADY_S, Child
from api.processes.orders import Order
from api.settings import Settings
from tests.servers.whole import ROOT

ORDER = Order(
    settings=Settings.model_validate({"store": "x", "signing_key": "s" * 40}), name="worker 0", holder="h"
)
ENDS_AT_ONCE = "this"
"""A module of the standard library that prints and ends."""


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are found from the working directory."""
    monkeypatch.chdir(ROOT)


def runs(child: Child) -> bool:
    return child.pid is not None


def ended(child: Child) -> None:
    """Wait until the process is over, without looking after it."""
    assert child.wait_until(time.monotonic() + 10)


def test_a_process_that_keeps_dying_waits_longer_each_time() -> None:
    """A broken installation must not burn the machine, and must come back soon after it is mended."""
    child, now_s, waits = Child(ENDS_AT_ONCE, (), (), ORDER), 1_000.0, []
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
    child = Child(ENDS_AT_ONCE, (), (), ORDER)
    child.look(0.0)
    first = child.pid
    ended(child)
    child.look(STEADY_S + 1)
    assert child.pid not in (None, first)
    assert child.failures == 0
    ended(child)


def test_a_process_that_outstays_its_time_is_killed(tmp_path: Path) -> None:
    """The end of the server comes within its promise, whatever a process is stuck in."""
    said = tmp_path / "order.json"
    child = Child("tests.servers.stubborn", (str(said),), (), ORDER)
    child.look(0.0)
    while not said.exists() or not said.read_text().endswith("\n"):
        time.sleep(0.01)
    child.end()
    assert not child.wait_until(time.monotonic() + 0.2)
    order = Order.model_validate(json.loads(said.read_text()))
    assert order.settings.signing_key_text == "s" * 40
    assert (order.name, order.holder, order.settings.store) == ("worker 0", "h", "x")
