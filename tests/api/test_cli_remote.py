"""The same commands through a running server: same output, same exit codes, and a key that stays private."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pointsman.yaml"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """URL and admin key of a real server, and its ledger."""
    ledger = tmp_path_factory.mktemp("served") / "ledger.sqlite"
    key = _local(ledger, "keys", "add", "boss", "--scope", "admin").stdout.strip()
    command = [sys.executable, "-m", "pointsman", "--store", str(ledger), "serve"]
    command += ["--config", str(EXAMPLE), "--port", "0"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            ready = next((line for line in server.stdout if "ready at" in line), "")
            found = re.search(r"http://[0-9.]+:[0-9]+", ready)
            assert found is not None, "the server did not get ready"
            yield found[0], key, ledger
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=20)


def _local(ledger: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(ledger), *arguments])


def remote(url: str, key: str, *arguments: str, code: int = 0) -> Result:
    """The result of a command on a server."""
    result = CliRunner(env={"POINTSMAN_KEY": key}).invoke(app, ["--url", url, *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def _wait_for_report(url: str, key: str) -> None:
    """Wait for the planner's first look."""
    for _ in range(200):
        environment = {"POINTSMAN_KEY": key}
        found = CliRunner(env=environment).invoke(
            app, ["--url", url, "report", "billing-cheaper", "--format", "json"]
        )
        if found.exit_code == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the planner wrote no report within 20 s")


@pytest.mark.process
def test_the_whole_loop_works_through_a_server(served: tuple[str, str, Path]) -> None:
    """Define is a file beside the ledger; all that follows must also work from another machine."""
    url, key, ledger = served
    assert remote(url, key, "start", "billing-cheaper").stdout == (
        "billing-cheaper is running: sonnet 50%, haiku 50%\n"
    )
    _wait_for_report(url, key)
    refused = remote(url, key, "promote", "billing-cheaper", "--why", "x", code=3)
    assert "the verdict is not_ready" in refused.stderr
    for listing in ("experiments", "routes", "keys list"):
        here, there = _local(ledger, *listing.split()), remote(url, key, *listing.split())
        assert there.stdout == here.stdout
        here = _local(ledger, *listing.split(), "--format", "json")
        assert json.loads(remote(url, key, *listing.split(), "--format", "json").stdout) == json.loads(
            here.stdout
        )
    forced = remote(url, key, "promote", "billing-cheaper", "haiku", "--force", "--why", "incident 7")
    assert "support/billing: sonnet -> haiku (forced)" in forced.stdout
    back = remote(url, key, "rollback", "support/billing", "--why", "worse")
    assert back.stdout == "support/billing is served by sonnet now (before: haiku)\n"
    assert "is served by haiku" in remote(url, key, "set-route", "support", "haiku").stdout
    entry = json.loads(remote(url, key, "audit", "--format", "json").stdout)[0]
    assert (entry["actor"], entry["action"]) == ("key:boss", "set_route")
    assert remote(url, key, "export", "decisions").stdout == ""
    report = remote(url, key, "report", "billing-cheaper", "--format", "json").stdout
    assert json.loads(report)["experiment"] == "billing-cheaper"


@pytest.mark.process
def test_an_explanation_reads_the_same_through_a_server(served: tuple[str, str, Path]) -> None:
    """The server reads hints as the command does, and the same models are able."""
    url, key, ledger = served
    asked = ("route", "--explain", "where is my invoice?", "--residency", "eu", "--needs", "tools")
    assert remote(url, key, *asked).stdout == _local(ledger, *asked).stdout


@pytest.mark.process
def test_the_plan_of_an_experiment_reads_the_same_through_a_server(served: tuple[str, str, Path]) -> None:
    """The planner's plan and the one that is made beside the ledger are one."""
    url, key, ledger = served
    _wait_for_report(url, key)
    asked = ("power", "billing-cheaper", "--units-per-day", "5000")
    assert remote(url, key, *asked).stdout == _local(ledger, *asked).stdout
    there = json.loads(remote(url, key, *asked, "--format", "json").stdout)
    assert there == json.loads(_local(ledger, *asked, "--format", "json").stdout)
    refused = remote(url, key, "power", "billing-cheaper", "--units-per-day", "0", code=1)
    assert "must be above 0" in refused.stderr


@pytest.mark.process
def test_keys_are_made_and_ended_through_a_server(served: tuple[str, str, Path]) -> None:
    """A weaker key may look and may not act."""
    url, key, _ = served
    weak = remote(url, key, "keys", "add", "weak", "--scope", "view").stdout.strip()
    assert weak.startswith("pk-")
    remote(url, key, "keys", "revoke", "weak")
    rows = {row["id"]: row for row in json.loads(remote(url, key, "keys", "list", "--format", "json").stdout)}
    assert rows["weak"]["revoked_at_ms"] is not None


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("start", "nope"), "there is no experiment 'nope'"),
        (("rollback", "nope", "--why", "x"), "never had an experiment"),
        (("set-route", "support", "nope"), "is not declared"),
        (("export", "units", "--experiment", "nope"), "there is no experiment 'nope'"),
    ],
)
def test_a_servers_refusal_reads_like_a_local_one(
    served: tuple[str, str, Path], arguments: tuple[str, ...], says: str
) -> None:
    """One line on stderr and exit code 1, wherever the refusal came from."""
    url, key, _ = served
    result = remote(url, key, *arguments, code=1)
    assert result.stdout == ""
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.process
def test_a_wrong_key_is_refused_and_not_repeated(served: tuple[str, str, Path]) -> None:
    """The message goes into terminals and tickets; the key must not."""
    url, _, _ = served
    result = remote(url, "pk-hunter2hunter2", "routes", code=1)
    assert "valid key" in result.stderr
    assert "hunter2" not in result.output


def test_commands_that_need_the_ledger_say_so(tmp_path: Path) -> None:
    """They must not quietly work on some local ledger instead of the server."""
    for arguments in (("apply", str(EXAMPLE)), ("plan", str(EXAMPLE)), ("tick",), ("doctor",), ("serve",)):
        result = remote("http://127.0.0.1:9", "", *arguments, code=1)
        assert "error: " in result.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:9", "does not answer"),
        ("ftp://127.0.0.1", "must begin with http"),
        ("http://me:hunter2@127.0.0.1", "holds no user"),
        ("nonsense", "must begin with http"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_clear_line(url: str, says: str) -> None:
    """A typo in --url is the most frequent problem."""
    result = remote(url, "", "routes", code=1)
    assert says in result.stderr
    assert "hunter2" not in result.output


class _Redirecting(BaseHTTPRequestHandler):
    """Sends every request elsewhere, and notes what it was told."""

    seen: list[str]

    def do_GET(self) -> None:
        """Redirect to itself, or answer something that is no answer."""
        self.seen.append(self.path)
        if self.path.startswith("/v1/routes"):
            self.send_response(302)
            self.send_header("location", "/elsewhere")
        else:
            self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[str]]]:
    """A server that is not Pointsman, and the paths that it was asked for."""
    seen: list[str] = []
    handler = type("Handler", (_Redirecting,), {"seen": seen})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_redirects_are_not_followed(stranger: tuple[str, list[str]]) -> None:
    """The key is for the named server; a redirect would hand it to another."""
    url, seen = stranger
    result = remote(url, "pk-hunter2hunter2", "routes", code=1)
    assert "status 302" in result.stderr
    assert seen == ["/v1/routes"]


def test_an_answer_that_is_none_of_ours_is_named_as_such(stranger: tuple[str, list[str]]) -> None:
    """A wrong port with another program behind it must not end in a traceback."""
    result = remote(stranger[0], "", "experiments", code=1)
    assert "is this a Pointsman server?" in result.stderr
