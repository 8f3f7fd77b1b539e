"""kill -9 of every process while a batch is under way: no line is lost, none is sent twice, and the ledger agrees."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.servers.batch_upstream import BatchUpstream, batch_upstream

ROOT = Path(__file__).parents[2]
CONFIG = """\
models:
  big: {{base_url: "{url}", price: {{input: 10, output: 30, batch_discount: 0.5}}, batch: true}}
  small: {{base_url: "{url}", price: {{input: 1, output: 2}}}}
default: big
tasks:
  quick: {{default: small}}
"""
LINES = 20
PATIENCE_S = 90.0
pytestmark = pytest.mark.process


class Server:
    """`pointsman serve` in a process group of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.store = folder / "ledger.sqlite"
        self._config = folder / "pointsman.yaml"
        self._config.write_text(CONFIG.format(url=url))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._log = (folder / "log.txt").open("a")
        self._process: subprocess.Popen[str] | None = None

    @property
    def client(self) -> openai.OpenAI:
        """The official client."""
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self._port}/v1", api_key="none", max_retries=2)

    def start(self) -> None:
        """Start and wait until it is ready."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("POINTSMAN_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pointsman", "--store", str(self.store), "serve", "--config", str(self._config),
             "--port", str(self._port)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log, text=True, start_new_session=True,
            env={**variables, "POINTSMAN_BATCH_POLL_S": "0.2"},
        )  # fmt: skip
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "ready at" in line:
                return
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        """kill -9 of supervisor, workers, planner and batcher at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self._log.close()


@pytest.fixture
def upstream() -> Iterator[BatchUpstream]:
    """An upstream with a batch API."""
    with batch_upstream() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, upstream: BatchUpstream) -> Iterator[Server]:
    """A server that is dead at the end, whatever happens."""
    made = Server(tmp_path, upstream.url)
    made.start()
    yield made
    made.close()


def submit(server: Server, tmp_path: Path) -> str:
    """A batch of lines for the batch API and for single calls, in turns; its id."""
    path = tmp_path / "input.jsonl"
    path.write_text("".join(json.dumps(line(place)) + "\n" for place in range(LINES)))
    with path.open("rb") as file:
        uploaded = server.client.files.create(file=file, purpose="batch")
    made = server.client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return made.id


def line(place: int) -> dict[str, Any]:
    """One request."""
    model = "auto" if place % 2 else "task/quick"
    body = {"model": model, "messages": [{"role": "user", "content": f"question {place}"}]}
    return {"custom_id": f"line-{place}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def finished(server: Server, upstream: BatchUpstream, batch_id: str) -> Any:
    """The batch once it has ended; the upstream finishes whatever it has."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        upstream.finish()
        batch = server.client.batches.retrieve(batch_id)
        if batch.status not in ("validating", "in_progress", "finalizing", "cancelling"):
            return batch
        time.sleep(0.2)
    raise AssertionError(f"the batch did not end: {batch}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/files"),
        ("POST", "/batches"),
        ("GET", "/batches/batch_up2"),
        ("GET", "/files/file-up3/content"),
    ],
)
def test_a_kill_between_an_upstreams_work_and_its_answer_sends_nothing_twice(
    server: Server, upstream: BatchUpstream, tmp_path: Path, method: str, path: str
) -> None:
    """At that moment nobody here knows what was done: the intention is written, and the upstream is asked first."""
    killed, turn = threading.Event(), threading.Lock()

    def kill(*seen: str) -> None:
        if seen == (method, path):
            with turn:
                if not killed.is_set():
                    server.kill()
                    killed.set()

    upstream.after = kill
    batch_id = submit(server, tmp_path)
    deadline_s = time.monotonic() + 30
    while not killed.is_set():
        assert time.monotonic() < deadline_s, upstream.asked
        if path.startswith(("/batches/", "/files/")):
            upstream.finish()
        time.sleep(0.05)
    server.start()
    batch = finished(server, upstream, batch_id)
    assert_whole(server, upstream, batch)


def test_kills_at_any_moment_lose_no_line(server: Server, upstream: BatchUpstream, tmp_path: Path) -> None:
    """Lines that were under way by themselves may be asked again; each is answered and recorded once."""
    batch_id = submit(server, tmp_path)
    for pause_s in (1.2, 1.9):
        time.sleep(pause_s)
        server.kill()
        server.start()
    assert_whole(server, upstream, finished(server, upstream, batch_id))


def assert_whole(server: Server, upstream: BatchUpstream, batch: Any) -> None:
    """Every line has one answer, one decision and one call; every line of the batch API was sent once."""
    assert batch.status == "completed", batch
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (
        LINES,
        LINES,
        0,
    )
    output = [
        json.loads(each) for each in server.client.files.content(batch.output_file_id).text.splitlines()
    ]
    assert [each["custom_id"] for each in output] == [f"line-{place}" for place in range(LINES)]
    assert sorted(upstream.sent) == sorted(f"question {place}" for place in range(1, LINES, 2))
    server.kill()
    ledger = sqlite3.connect(server.store)
    decisions = {row[0] for row in ledger.execute("SELECT number FROM decisions")}
    calls = dict(ledger.execute("SELECT number, cost_usd FROM calls").fetchall())
    ledger.close()
    assert len(decisions) == LINES
    assert decisions == calls.keys()
    costs = sorted(each["response"]["body"]["usage"]["cost"] for each in output)
    assert costs == pytest.approx(sorted(calls.values()))
    assert costs == pytest.approx([100 * 1e-6 + 20 * 2e-6] * 10 + [(100 * 10 + 20 * 30) / 2 / 1e6] * 10)
