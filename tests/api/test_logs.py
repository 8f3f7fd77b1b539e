"""Logs without secrets."""

import logging
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.processes.logs import HIDDEN, JsonLines, Redaction

SECRET = "Zk3/µ+canary=0123456789"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"https://upstream.example/v1?token={quote(SECRET, safe='')}",
        b64encode(SECRET.encode()).decode(),
        urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
        b64encode(b"ab" + SECRET.encode() + b"!").decode(),
        orjson.dumps({"key": SECRET}).decode(),
    ],
)
def test_a_known_secret_is_hidden_in_every_form(text: str) -> None:
    """Clients and libraries encode what they print."""
    hidden = Redaction([SECRET]).hide(text)
    assert HIDDEN in hidden
    assert "canary" not in hidden
    assert SECRET not in hidden


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdef123456",
        "Authorization: Bearer abc.def-ghi",
        "GET /v1?key=AIzaSyA1234567890abcdefghij",
        "api_key=hunter2hunter2 refused",
        "made pk-J9x0v1b2n3m4",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str) -> None:
    """Keys of clients and of unknown providers are in nobody's list."""
    assert HIDDEN in Redaction().hide(text)


@given(st.text(alphabet="abcdefghij /+=", min_size=8, max_size=30), st.text(max_size=5), st.text(max_size=5))
def test_no_text_around_a_secret_saves_it(secret: str, before: str, after: str) -> None:
    """The value is found wherever it stands."""
    assert secret not in Redaction([secret]).hide(before + secret + after).replace(HIDDEN, "\0")


def test_a_short_value_hides_nothing() -> None:
    """An empty or tiny setting would otherwise blank out every line."""
    assert Redaction(["", "a", "12345"]).hide("a 12345 b") == "a 12345 b"


def test_tracebacks_are_redacted_and_stay_one_line() -> None:
    """Libraries put requests into their errors; a log reader splits at line ends."""
    formatter = JsonLines(Redaction([SECRET]), "worker 0")
    try:
        raise ValueError(f"upstream said {SECRET}\nand more")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 1, "failed %s", (SECRET,), (ValueError, error, None)
        )
    line = formatter.format(record)
    assert "canary" not in line
    assert "\n" not in line
    assert orjson.loads(line)["event"] == f"failed {HIDDEN}"
    assert "ValueError" in orjson.loads(line)["exception"]


def test_uncaught_errors_of_any_thread_go_through_the_redaction() -> None:
    """A crash prints whatever it holds, and nobody formats it in time."""
    program = f"""
import threading, warnings
from api.processes import logs
logs.set_up("test", logs.Redaction([{SECRET!r}]))
def crash(): raise RuntimeError({SECRET!r})
thread = threading.Thread(target=crash); thread.start(); thread.join()
warnings.warn({SECRET!r})
crash()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    lines = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["critical", "warning", "critical"]
    assert "canary" not in done.stderr
    assert done.returncode == 1
