"""Processes under measurement: started, pinned to a core, read from /proc, and ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """Two cores of this process: one for the server, one for everything else (the same where there is one)."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def started(arguments: Sequence[str], core: int) -> Iterator[subprocess.Popen[str]]:
    """A Python process pinned to a core; it ends when its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    try:
        yield process
    finally:
        closed(process.stdin)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def closed(stream: IO[str] | None) -> None:
    """Close a pipe that the other end may have closed already."""
    if stream is not None:
        try:
            stream.close()
        except BrokenPipeError:
            return


class Load(NamedTuple):
    """What the load generator shall do."""

    path: str
    bodies: Sequence[bytes]
    seconds: float
    connections: int
    headers: str = ""
    """Further header lines, each ended by CRLF."""
    patient: bool = False
    """Whether its clients heed retry-after."""


def run_load(port: int, load: Load, core: int) -> dict[str, float]:
    """Run the load generator in a process of its own and return its figures."""
    arguments = [str(port), load.path, str(load.seconds), str(load.connections), f"--headers={load.headers}"]
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.loopback", "load", *arguments, *["--patient"] * load.patient],
        cwd=ROOT, input=b"\n".join(load.bodies), capture_output=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    figures: dict[str, float] = json.loads(finished.stdout)
    return figures


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds that processes have used."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pid: int) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} shows no memory")


def descendants(pid: int) -> dict[int, str]:
    """Child processes of a process, with their names."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): Path(f"/proc/{child}/comm").read_text().strip() for child in children}
