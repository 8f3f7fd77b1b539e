"""The whole server: supervisor, workers, planner, ledger, over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from router.clock import machine_clock
from router.steering.control import Control
from storage.open import open_store
from tests.servers.whole import CONFIG, ROOT, START, Server, serving_whole

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that change nothing about it."""
    with serving_whole(tmp_path_factory.mktemp("server"), WORKERS="2") as started:
        yield started


def until(condition: Callable[[], object], within_s: float = 20.0, log: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in time; {log()[-2_000:]}"
        time.sleep(0.02)


def assigned(server: Server, user: str) -> dict[str, Any]:
    """A decision of the experiment: a worker follows the store within a quarter of a second, not at once."""
    found: dict[str, Any] = {"experiment": None}

    def inside() -> bool:
        found.update(server.ask("POST", "/v1/route", {"task": "support", "user": user})[1])
        return bool(found["experiment"])

    until(inside)
    return found


def test_the_loop_runs_over_http(server: Server) -> None:
    """Start an experiment, route, report the outcome, read the report of the planner."""
    assert server.ask("POST", "/v1/experiments/cheaper/start")[0] == 200

    def routed() -> bool:
        decision = server.ask("POST", "/v1/route", {"task": "support", "user": "u"})[1]
        return bool(decision["experiment"] == "cheaper")

    until(routed)
    for number in range(40):
        decision = assigned(server, f"u{number}")
        outcome = {"decision_id": decision["decision_id"], "value": number % 2, "cost_usd": 0.01}
        assert server.ask("POST", "/v1/feedback", outcome) == (
            202,
            {
                "results": [{**_result(decision["decision_id"]), "effective": float(number % 2)}],
                "state": "applied",
            },
        )
    until(lambda: (server.ask("GET", "/v1/experiments/cheaper")[1]["units"] or 0) >= 20, log=server.log)
    status, report = server.ask("GET", "/v1/experiments/cheaper/report")
    assert (status, report["experiment"]) == (200, "cheaper")
    assert server.ask("GET", "/v1/experiments")[1]["experiments"][0]["verdict"] is not None


def _result(decision_id: str) -> dict[str, object]:
    return {"decision_id": decision_id, "state": "applied"}


def test_other_sites_are_refused(server: Server) -> None:
    """A page that the user visits must not reach the local server, whatever name it gives it."""
    assert server.ask("GET", "/v1/routes", headers={"Host": "rebound.example"})[0] == 403
    assert server.ask("POST", "/v1/route", {}, {"Origin": "http://evil.example"})[0] == 403
    assert server.ask("POST", "/v1/route", {})[0] == 200


def test_both_workers_count_into_one_page(server: Server) -> None:
    """A scrape that reaches the other worker must not show other numbers."""
    for _ in range(20):
        server.ask("POST", "/v1/route", {})
    time.sleep(1.2)
    shown = [server.ask("GET", "/metrics")[1] for _ in range(6)]
    counts = {next(line for line in text.splitlines() if b'"route",status="2xx"' in line) for text in shown}
    assert len(counts) == 1
    assert int(counts.pop().split()[-1]) >= 20


def test_a_worker_stays_small(server: Server) -> None:
    """Traffic is served within 110 MB a worker; the planner is the one that holds the statistics."""
    server.ask("GET", "/v1/experiments")
    for pid in server.workers():
        status = Path(f"/proc/{pid}/status").read_text()
        resident_kb = int(status.split("VmRSS:")[1].split()[0])
        assert resident_kb <= 110 * 1024, f"{resident_kb} kB"


def test_a_worker_loads_nothing_that_only_others_need(tmp_path: Path) -> None:
    """Statistics, terminal and YAML libraries cost a worker its start-up time and memory."""
    with serving_whole(tmp_path) as server:
        server.stop()
    held_open, _ = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", MODULES, str(tmp_path / "ledger.sqlite")],
        cwd=ROOT, stdin=held_open, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answered, loaded = json.loads(done.stdout)
    assert answered == [200, 202, 200, 200, 200]
    further = ("router.upstream.dialects.gemini", "router.upstream.dialects.bedrock")
    assert not [name for name in loaded if name.startswith(further)]
    roots = {name.partition(".")[0] for name in loaded}
    assert {"api", "fastapi", "aiohttp", "dashboards"} <= roots
    assert not roots & {
        "botocore",
        "difflib",
        "numpy",
        "scipy",
        "statsmodels",
        "pandas",
        "sklearn",
        "rich",
        "typer",
        "ruamel",
        "structlog",
    }


MODULES = """
import json, os, signal, socket, sys, threading
from http.client import HTTPConnection
from api.processes import logs
from api.processes import worker
from api.serving.metrics import Counters
from api.processes.orders import Order
from api.settings import Settings

answered = []
listener = socket.create_server(("127.0.0.1", 0))

def ask(method, path, content=None):
    connection = HTTPConnection(*listener_address, timeout=20)
    connection.request(method, path, content and json.dumps(content))
    response = connection.getresponse()
    body = response.read()
    answered.append(response.status)
    return body

def visit():
    try:
        decision = json.loads(ask("POST", "/v1/route", {"task": "support", "user": "u"}))["decision_id"]
        ask("POST", "/v1/feedback", {"decision_id": decision, "value": 1})
        ask("GET", "/v1/experiments")
        ask("GET", "/")
        ask("GET", "/metrics")
        import dashboards.report_csv, dashboards.report_page, dashboards.report_text
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

listener_address = listener.getsockname()
threading.Thread(target=visit).start()
order = Order(settings=Settings(store=sys.argv[1]), name="worker 0", holder="test")
worker.serve(order, listener, Counters(), logs.Redaction())
print(json.dumps([answered, sorted(sys.modules)]))
"""


def test_a_request_in_pieces_is_bounded_in_time_and_size(tmp_path: Path) -> None:
    """Slow and endless clients cost a connection slot and no more; others go on being answered."""
    limits = {"HEAD_TIMEOUT_S": "0.5", "BODY_TIMEOUT_S": "0.5", "MAX_CONNECTIONS": "20"}
    head = b"POST /v1/route HTTP/1.1\r\nhost: localhost\r\n"
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    clients = {
        b"": b"",
        b"POST /v1/ro": b"HTTP/1.1 408 ",
        head + b"x-slow: ": b"HTTP/1.1 408 ",
        head + b"content-length: 10\r\n\r\n{": b"HTTP/1.1 408 ",
        head + b"content-length: 2000000\r\n\r\n": b"HTTP/1.1 413 ",
        head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 17: b"HTTP/1.1 413 ",
        head + b"x-large: " + b"x" * 70_000: b"HTTP/1.1 431 ",
        head + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}": b"HTTP/1.1 400 ",
    }
    with serving_whole(tmp_path, **limits) as server, ThreadPoolExecutor(len(clients)) as pool:
        answers = pool.map(lambda sent: _raw(server, sent), clients)
        for (sent, expected), answer in zip(clients.items(), answers, strict=True):
            reset = (
                len(sent) > 65_536 and answer == b""
            )  # closed with our bytes unread: the answer may be lost
            assert reset or answer[: len(expected) or 1] == expected, (sent[:80], answer)
        crowd = [socket.create_connection(_address(server)) for _ in range(20)]
        try:
            assert _raw(server, b"").startswith(b"HTTP/1.1 503 ")
            until(lambda: _answers(server))
        finally:
            for client in crowd:
                client.close()
        assert b"pointsman_connections_refused_total 0" not in server.ask("GET", "/metrics")[1]


def _address(server: Server) -> tuple[str, int]:
    host, _, port = server.address.partition(":")
    return host, int(port)


def _raw(server: Server, sent: bytes) -> bytes:
    """Everything that the server sends until it closes."""
    received = b""
    with socket.create_connection(_address(server), timeout=8) as client, suppress(ConnectionError):
        client.sendall(sent)
        while part := client.recv(65_536):
            received += part
    return received


def test_keys_take_effect_and_end_while_serving(tmp_path: Path) -> None:
    """The first key closes the open server; a revoked one is refused within two seconds, on all workers."""
    with serving_whole(tmp_path, WORKERS="2") as server:
        admin = server.ask("POST", "/v1/keys", {"id": "admin", "scopes": ["admin"]})[1]["key"]
        until(lambda: all(server.ask("GET", "/v1/routes")[0] == 401 for _ in range(8)), 10.0)
        headers = {"Authorization": f"Bearer {admin}"}
        viewer = server.ask("POST", "/v1/keys", {"id": "eve", "scopes": ["view"]}, headers)[1]["key"]
        until(
            lambda: all(server.ask("GET", "/v1/routes", None, _bearer(viewer))[0] == 200 for _ in range(8)),
            2.0,
        )
        assert server.ask("POST", "/v1/route", {}, _bearer(viewer))[0] == 403
        assert server.ask("DELETE", "/v1/keys/eve", None, headers)[0] == 204
        until(
            lambda: all(server.ask("GET", "/v1/routes", None, _bearer(viewer))[0] == 401 for _ in range(8)),
            2.0,
        )
        assert server.stop() == 0
        ledger = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        for secret in (admin, viewer, "sk-canary-of-the-provider-1234"):
            assert secret not in server.log()
            assert secret.encode() not in ledger


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_killed_worker_is_replaced_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """`kill -9` costs a moment, no outcome; the other processes go on."""
    with serving_whole(tmp_path) as server:
        _start_experiment(server)
        acknowledged = [_acknowledge(server, f"u{number}") for number in range(20)]
        (victim,) = server.workers()
        planner = set(server.children()) - {victim}
        os.kill(victim, signal.SIGKILL)
        until(lambda: server.workers() not in ([], [victim]) and _answers(server))
        assert planner < set(server.children())
        assert _acknowledge(server, "after")
        assert "ended with signal 9" in server.log()
        assert server.stop() == 0
    _check_ledger(tmp_path, acknowledged)


def test_sigterm_under_load_loses_no_acknowledged_outcome(tmp_path: Path) -> None:
    """In flight is answered or refused; what got its 202 is in the ledger; the end comes within ten seconds."""
    with serving_whole(tmp_path, WORKERS="2") as server:
        _start_experiment(server)
        acknowledged: list[str] = []
        stop = threading.Event()

        def load(name: int) -> None:
            number = 0
            while not stop.is_set():
                try:
                    acknowledged.append(_acknowledge(server, f"u{name}-{number}"))
                except (OSError, HTTPException):
                    return  # the server is gone
                number += 1

        threads = [threading.Thread(target=load, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(acknowledged) > 100)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10.0
        stop.set()
        for thread in threads:
            thread.join(10)
    _check_ledger(tmp_path, acknowledged)


def test_without_its_supervisor_nothing_serves_on(tmp_path: Path) -> None:
    """Orphans would hold the port and the planner's lease, and nobody would know them."""
    with serving_whole(tmp_path, WORKERS="2") as server:
        until(
            lambda: len(server.children()) == 4
        )  # two workers are ready before planner and batcher are there
        children = list(server.children())
        server.process.kill()
        server.process.wait()
        until(lambda: not any(_runs(pid) for pid in children))


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_store_with_a_key_may_be_served_to_others(tmp_path: Path) -> None:
    """With keys the bound address is the operator's choice; the file no longer changes the store."""
    with serving_whole(tmp_path) as server:
        server.stop()
    store = open_store(str(tmp_path / "ledger.sqlite"))
    secret = Control(store, machine_clock).add_key("ops", ("admin",), "test")
    store.close()
    changed = CONFIG.replace("default: big", "default: small")
    with serving_whole(tmp_path, changed, HOST="0.0.0.0") as server:
        assert "differs from the configuration in force" in server.said
        assert server.ask("GET", "/v1/routes")[0] == 401
        status, routes = server.ask("GET", "/v1/routes", None, {**_bearer(secret), "Host": "any.example"})
        assert (status, routes["routes"][0]["champion"]) == (200, "big")
        taken = {**os.environ, "POINTSMAN_PORT": server.address.split(":")[1], "POINTSMAN_HOST": "0.0.0.0"}
        taken["POINTSMAN_STORE"] = str(tmp_path / "ledger.sqlite")
        second = subprocess.run(
            [sys.executable, "-c", START], cwd=ROOT, env=taken, capture_output=True, timeout=20
        )
        assert b"choose another --port" in second.stderr


def _start_experiment(server: Server) -> None:
    """Start it and wait until every worker follows; ten answers in a row hardly come from one of two alone."""
    server.ask("POST", "/v1/experiments/cheaper/start")
    request = {"task": "support", "user": "u"}
    until(lambda: all(server.ask("POST", "/v1/route", request)[1]["experiment"] for _ in range(10)))


def _acknowledge(server: Server, user: str) -> str:
    """Route and report; returns the decision id once the outcome is acknowledged."""
    connection: HTTPConnection = server.connect()
    try:
        connection.request("POST", "/v1/route", json.dumps({"task": "support", "user": user}))
        decision_id = str(json.loads(connection.getresponse().read())["decision_id"])
        connection.request("POST", "/v1/feedback", json.dumps({"decision_id": decision_id, "value": 1}))
        response = connection.getresponse()
        if response.status != 202:
            raise OSError(response.status)
        response.read()
        return decision_id
    finally:
        connection.close()


def _answers(server: Server) -> bool:
    try:
        return bool(server.ask("GET", "/readyz")[0] == 200)
    except (OSError, HTTPException):
        return False


def _check_ledger(directory: Path, acknowledged: list[str]) -> None:
    """Every acknowledged outcome stands in the ledger once."""
    from router.deciding.signing import load_signer

    url = str(directory / "ledger.sqlite")
    signer = load_signer(url, None)
    store = open_store(url)
    stored = [row["number"] for row in store.export("feedback") if row["metric"] == "reward"]
    store.close()
    assert len(stored) == len(set(stored))
    numbers = {decision.number for text in acknowledged if (decision := signer.verify(text)) is not None}
    assert len(numbers) == len(acknowledged)
    assert numbers <= set(stored)
