"""Time by library, interpreter and kernel, from `perf` where it is installed and allowed."""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERTZ = 1_999
_LINE = re.compile(r"\s*([\d.]+)%\s+(\S.*?)\s*$")
_KINDS = {
    "[kernel": "kernel", "python": "interpreter", "libpython": "interpreter", "loop.": "uvloop", "uvloop": "uvloop",
    "orjson": "orjson", "parser": "httptools", "libsqlite3": "SQLite", "_sqlite3": "SQLite", "_hashlib": "hashing",
    "_blake2": "hashing", "libcrypto": "hashing", "_http_": "aiohttp", "multidict": "aiohttp", "_multidict": "aiohttp",
    "_quoting": "aiohttp", "libc": "libc", "[vdso": "libc",
}  # fmt: skip


def available() -> bool:
    """Whether there is a perf that can be tried."""
    return shutil.which("perf") is not None


def _perf() -> str:
    found = shutil.which("perf")
    assert found is not None
    return found


@contextmanager
def recorded(pid: int, path: Path) -> Iterator[None]:
    """Sample a process, all its threads, kernel included, while the block runs."""
    with subprocess.Popen(
        [_perf(), "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-p", str(pid), "-o", str(path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as perf:  # fmt: skip
        try:
            yield
        finally:
            perf.terminate()


def shares(path: Path) -> Mapping[str, float]:
    """Parts of the time by kind of code; empty where perf was not allowed to look."""
    report = subprocess.run(
        [_perf(), "report", "-i", str(path), "--stdio", "-q", "--sort", "dso"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    found: defaultdict[str, float] = defaultdict(float)
    for line in report.stdout.splitlines():
        if (match := _LINE.match(line)) is not None:
            found[kind_of(match[2])] += float(match[1]) / 100
    return found


def kind_of(name: str) -> str:
    """What a shared object is to us."""
    return next((kind for start, kind in _KINDS.items() if name.startswith(start)), "other")
