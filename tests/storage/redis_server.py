"""A real redis-server for tests: on loopback, without persistence unless asked for, always stopped."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest
import redis

from storage.redis.store import RedisStore

PROGRAMS = ("redis-server", "valkey-server")
MISSING = (
    "redis-server is not installed: apt-get install redis-server (Debian, Ubuntu), brew install redis (macOS)"
)
_START_S = 10.0
_prefixes = count()


def program() -> str:
    """The server's program; a missing one fails the test with what to install."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    pytest.fail(MISSING, pytrace=False)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server process with an ephemeral port and a folder of its own."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="pm-redis-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Database 0 over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """Database 0 over the server's socket."""
        return f"unix://{self.folder}/redis.sock"

    def start(self) -> None:
        """Start, and wait until it answers."""
        plain = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(self.folder)]
        place = ["--port", str(self.port), "--unixsocket", str(self.folder / "redis.sock")]
        self.process = subprocess.Popen(
            [program(), *plain, *place, *self.options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + _START_S
        while not self._answers():
            assert self.process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline_s, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
                probe.sendall(b"PING\r\n")
                said = probe.recv(8)
                return said.startswith((b"+", b"-")) and not said.startswith(b"-LOADING")
        except OSError:
            return False

    def client(self) -> redis.Redis:
        """A client beside the store's own."""
        return redis.Redis(port=self.port, decode_responses=True, protocol=2)

    def new_store(self) -> RedisStore:
        """An empty store under a prefix of its own."""
        return RedisStore(f"{self.url}?prefix=t{next(_prefixes)}")

    def kill(self) -> None:
        """`kill -9`, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks; connections stay open and silent."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder)


_shared: list[Server] = []


def shared_server() -> Server:
    """The server that all tests of a session share, started when the first needs it."""
    if not _shared:
        _shared.append(Server())
    return _shared[0]


def stop_shared_server() -> None:
    """End it with the session."""
    while _shared:
        _shared.pop().stop()
