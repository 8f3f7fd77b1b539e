"""A whole server for tests: the supervisor as a process of its own, with workers and planner."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
PROGRAM = (
    "import sys; from pathlib import Path; "
    "from api.processes.serve import serve; from api.settings import Settings, environment; "
)
START = (
    PROGRAM
    + "sys.exit(serve(Settings.read(environment()), Path(sys.argv[1]) if len(sys.argv) > 1 else None))"
)
CONFIG = """
models:
  big: {base_url: "http://127.0.0.1:9/v1", price: {input: 3.0, output: 15.0}, api_key_env: BIG_KEY}
  small: {base_url: "http://127.0.0.1:9/v1", price: {input: 0.3, output: 1.5}}
default: big
tasks:
  support: {}
experiments:
  cheaper: {task: support, candidates: [big, small], unit: user, mode: ab}
"""
START_S = 20.0


class Server:
    """A running supervisor and the ways to talk to it."""

    def __init__(self, directory: Path, settings: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        self.directory = directory
        self.errors = (directory / "stderr.txt").open("w+")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POINTSMAN_")}
        environment |= {"POINTSMAN_PORT": "0", "POINTSMAN_STORE": str(directory / "ledger.sqlite")}
        environment |= {f"POINTSMAN_{name}": value for name, value in settings.items() if name.isupper()}
        environment |= {"BIG_KEY": "sk-canary-of-the-provider-1234"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip
        self.said = ""
        self.address = ""

    def wait_ready(self) -> None:
        """Wait for the line that names the URL."""
        deadline = time.monotonic() + START_S
        assert self.process.stdout is not None
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                line = self.process.stdout.readline()
                self.said += line
                if found := re.search(r"ready at (http://\S+)", line):
                    self.address = urlsplit(found[1]).netloc
                    return
            if self.process.poll() is not None:
                break
        raise AssertionError(f"no server: {self.said}{self.log()}")

    def connect(self, timeout_s: float = 10.0) -> HTTPConnection:
        """A connection of its own."""
        return HTTPConnection(self.address, timeout=timeout_s)

    def ask(
        self, method: str, path: str, content: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """(status, body) of one request; the body parsed where it is JSON."""
        connection = self.connect()
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, dict(headers or {}))
            return _read(connection.getresponse())
        finally:
            connection.close()

    def children(self) -> dict[int, str]:
        """Names of the processes that the supervisor started."""
        found = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if f"\nPPid:\t{self.process.pid}\n" in status.read_text():
                    found[int(status.parent.name)] = (status.parent / "comm").read_text().strip()
            except OSError:
                continue  # it ended meanwhile
        return found

    def workers(self) -> list[int]:
        """Pids of the serving processes."""
        return [pid for pid, name in self.children().items() if name.startswith("pm worker")]

    def log(self) -> str:
        """Everything written to stderr."""
        return (self.directory / "stderr.txt").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = 12.0) -> int:
        """End the server; returns its exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(within_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            for pid in self.children():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()


@contextmanager
def serving_whole(directory: Path, config: str | None = CONFIG, **settings: str) -> Iterator[Server]:
    """A ready server whose ledger lies in the directory; settings by their names in capitals."""
    arguments: tuple[str, ...] = ()
    if config is not None:
        (directory / "pointsman.yaml").write_text(config)
        arguments = (str(directory / "pointsman.yaml"),)
    server = Server(directory, settings, arguments)
    try:
        server.wait_ready()
        yield server
    finally:
        server.kill()


def _read(response: HTTPResponse) -> tuple[int, Any]:
    body = response.read()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(body) if is_json and body else body
