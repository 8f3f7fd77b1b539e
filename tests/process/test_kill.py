"""kill -9 at random moments: no acknowledged outcome is lost, none counts twice."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from router.deciding.decision_id import Signer
from router.deciding.signing import load_signer
from storage.open import open_store
from tests.process.ledger_client import LedgerClient

ROOT = Path(__file__).parents[2]
CONFIG = """\
models:
  big: {base_url: "http://127.0.0.1:9/v1", price: {input: 10, output: 20}}
  small: {base_url: "http://127.0.0.1:9/v1", price: {input: 1, output: 2}}
default: big
tasks:
  support: {}
experiments:
  cheaper: {task: support, candidates: [big, small], reward: {window: 24h}}
"""
LOAD = 25
"""Least acknowledged outcomes between two kills, by which there was something to lose; usual are some hundreds."""


class Server:
    """`pointsman serve` in a process group of its own, so that all of it can be killed at one moment."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "ledger.sqlite"
        self._config = folder / "pointsman.yaml"
        self._config.write_text(CONFIG)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait until it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pointsman", "--store", str(self.store), "serve", "--config", str(self._config),
             "--port", str(self.port)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "ready at" in line:
                return
        raise AssertionError("".join(lines))

    def kill(self) -> None:
        """kill -9 of supervisor, workers and planner at once."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def command(self, *arguments: str) -> None:
        """Run a command on the store."""
        command = [sys.executable, "-m", "pointsman", "--store", str(self.store), *arguments]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is dead at the end, whatever happens."""
    made = Server(tmp_path)
    yield made
    made.kill()


@pytest.mark.process
def test_kills_under_load_lose_nothing_and_count_nothing_twice(
    server: Server, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """G1 and G2: the client's fsynced list is compared with the ledger row by row."""
    server.start()
    server.command("start", "cheaper")
    asyncio.run(running(f"http://127.0.0.1:{server.port}"))
    client = LedgerClient(f"http://127.0.0.1:{server.port}", tmp_path / "acknowledged.txt", seed=11)
    moments = random.Random(7)
    for _ in range(pytestconfig.getoption("--kills")):
        asyncio.run(under_load(client, server, moments.uniform(0.6, 1.8)))
        server.start()
    asyncio.run(client.run(1.0))
    server.kill()
    kills = pytestconfig.getoption("--kills")
    assert client.acknowledged >= LOAD * kills, f"{client.acknowledged} between {kills} kills are no load"
    assert client.states.get("duplicate", 0) > 5 * kills
    assert client.states.get("superseded", 0) > 5 * kills
    compare(server.store, client, tmp_path / "acknowledged.txt")


async def running(url: str) -> None:
    """Wait until the servers follow the experiment's start."""
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            async with session.post(f"{url}/v1/route", json={"task": "support"}) as answer:
                if (await answer.json())["experiment"] == "cheaper":
                    return
            await asyncio.sleep(0.05)
    raise AssertionError("the experiment did not start")


async def under_load(client: LedgerClient, server: Server, seconds: float) -> None:
    """Load, and a kill in the middle of it."""
    load = asyncio.create_task(client.run(seconds + 0.3))
    await asyncio.sleep(seconds)
    server.kill()
    await load


def compare(store_path: Path, client: LedgerClient, acknowledged: Path) -> None:
    """The client's list against the ledger's rows, and the cells against both."""
    signer: Signer = load_signer(str(store_path), None)
    store = open_store(str(store_path))
    last: dict[int, float] = {}
    sent: dict[int, set[float]] = {}
    for line in acknowledged.read_text().splitlines():
        decision_id, value = line.split(" ")
        found = signer.verify(decision_id)
        assert found is not None
        last[found.number] = float(value)
    for decision_id, values in client.doubtful.items():
        found = signer.verify(decision_id)
        assert found is not None
        sent[found.number] = values
    effective = effective_values(store_path)
    lost = [number for number in last if number not in effective]
    assert not lost, f"{len(lost)} of {len(last)} acknowledged outcomes are lost"
    wrong = [number for number, value in last.items() if effective[number] not in {value, *sent[number]}]
    assert not wrong
    assert set(effective) <= set(sent), "the ledger holds outcomes that nobody sent"
    (row,) = store.state().experiments
    cells, again = store.cells(row.id), store.recount(row.id)
    assert sum(cell.moments["reward"][0] for cell in cells if "reward" in cell.moments) == len(effective)
    assert sum(cell.moments["reward"][2] for cell in cells if "reward" in cell.moments) == sum(
        effective.values()
    )
    counted = Counter({(cell.epoch, cell.arm): cell.counts[4] for cell in cells})
    assert counted == Counter({(cell.epoch, cell.arm): cell.counts[4] for cell in again})
    for cell, other in zip(cells, again, strict=True):
        for metric, moments in other.moments.items():
            assert cell.moments[metric] == pytest.approx(moments, rel=1e-9, abs=1e-9)
    store.close()


def effective_values(store_path: Path) -> dict[int, float]:
    """The reward that counts, by decision number, read without Pointsman."""
    import sqlite3

    connection = sqlite3.connect(store_path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = connection.execute("SELECT number, value FROM effects WHERE metric = 'reward'").fetchall()
    connection.close()
    assert len(rows) == len({number for number, _ in rows})
    return dict(rows)
