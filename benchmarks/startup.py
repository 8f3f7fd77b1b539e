"""What users and workers start with: imports, a server until it is ready, a worker that is replaced.

python -m benchmarks.startup
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.machine import ROOT, descendants

ROUNDS = 7
CASES = {
    "python (nothing)": "pass",
    "import pointsman": "import pointsman",
    "a serving worker's imports": "import api.processes.worker",
    "the planner's imports": "import api.processes.planner, experiments.report.render",
    "pointsman --help": "import sys; sys.argv = ['pointsman', '--help']; import pointsman; pointsman.main()",
}


CONFIG = """
models:
  big: {base_url: "http://127.0.0.1:9/v1", price: {input: 3.0, output: 15.0}}
default: big
tasks:
  support: {}
"""
PATIENCE_S = 30.0


def started() -> tuple[float, float]:
    """Seconds until a server of one worker says that it is ready, and until it answers again after a kill."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pointsman.yaml").write_text(CONFIG)
        environment: Mapping[str, str] = {
            **os.environ, "POINTSMAN_PORT": "0", "POINTSMAN_STORE": str(Path(folder) / "ledger.sqlite")
        }  # fmt: skip
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "pointsman", "serve", "--config", str(Path(folder) / "pointsman.yaml")],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            said = next(line for line in server.stdout if "ready at" in line)
            ready_s = time.perf_counter() - began
            return ready_s, _replaced(server.pid, said.split("ready at ")[1].split()[0])
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _replaced(server: int, url: str) -> float:
    """Seconds from a kill of the worker to the next answer."""
    (worker,) = [pid for pid, name in descendants(server).items() if name.startswith("pm worker")]
    os.kill(worker, signal.SIGKILL)
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE_S:
        with suppress(URLError, OSError), urlopen(url + "/readyz", timeout=PATIENCE_S) as reply:  # noqa: S310  # our own address
            reply.read()
            return time.perf_counter() - began
    raise SystemExit(f"no answer within {PATIENCE_S:g} s after the kill")


def main() -> None:
    """Print the median of some runs and the peak memory of each case."""
    for label, code in CASES.items():
        times, memory = [], 0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            tail = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
            script = f"try:\n    exec({code!r})\nexcept SystemExit:\n    pass{tail}"
            done = subprocess.run(
                [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
            )
            times.append(time.perf_counter() - began)
            memory = int(done.stdout.split()[-1]) // 1024
        print(f"{label:<30} {sorted(times)[ROUNDS // 2] * 1e3:6.0f} ms  {memory:4d} MB peak")
    ready, replaced = zip(*(started() for _ in range(ROUNDS)), strict=True)
    for label, spans in (("pointsman serve, until ready", ready), ("a killed worker replaced", replaced)):
        print(f"{label:<30} {sorted(spans)[ROUNDS // 2] * 1e3:6.0f} ms")


if __name__ == "__main__":
    main()
