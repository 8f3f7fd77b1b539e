"""Gateway and feedback beside the bare pass-through, on one core; start and memory of a worker.

    python -m benchmarks.gateway

The server's worker is pinned to one core with its writer thread; upstream and load generator share the
other. Everything is on: keys off, routing by an experiment, decision and call rows in SQLite (WAL, FULL).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import ROOT, closed, cores, cpu_s, descendants, load, memory_mb, started
from router.clock import machine_clock
from router.deciding.decision_id import Numbers, request_unit
from router.deciding.signing import load_signer
from storage.open import open_store

SECONDS, CONNECTIONS, ROUNDS = 4.0, 32, 3
BODY = json.dumps(
    {
        "model": "task/bench",
        "messages": [{"role": "user", "content": "A question of some length. " * 8}],
        "user": "u",
    }
).encode()


def configuration(upstream: int) -> str:
    """Two models at the upstream and a running comparison between them."""
    url = f"http://127.0.0.1:{upstream}/v1"
    model = f"{{base_url: {url}, model: upstream, price: {{input: 1, output: 2}}}}"
    return (
        f"models:\n  one: {model}\n  two: {model}\ndefault: one\ntasks:\n  bench: {{}}\n"
        "experiments:\n  compare: {task: bench, candidates: [one, two]}\n"
    )


@contextmanager
def served(upstream: int, core: int) -> Iterator[tuple[int, int, str, float]]:
    """A running server: port, pid of its worker, its ledger, seconds until it was ready."""
    with tempfile.TemporaryDirectory() as folder:
        file, store = Path(folder, "bench.yaml"), Path(folder, "ledger.sqlite")
        file.write_text(configuration(upstream))
        command = [sys.executable, "-m", "pointsman", "--store", str(store)]
        began = time.perf_counter()
        server = subprocess.Popen(
            [*command, "serve", "--config", str(file), "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            ready = next(line for line in server.stdout if "ready at" in line)
            took = time.perf_counter() - began
            subprocess.run([*command, "start", "compare"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            time.sleep(1.0)
            worker = next(
                pid for pid, line in descendants(server.pid).items() if "api.processes.worker" in line
            )
            for thread in Path(f"/proc/{worker}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})
            yield (
                int(ready.split("ready at ")[1].split(" ")[0].rsplit(":", 1)[1].strip("/")),
                worker,
                str(store),
                took,
            )
        finally:
            server.terminate()
            server.wait(20)
            closed(server.stdout)


def feedback_bodies(store: str, count: int) -> list[bytes]:
    """Feedback for so many decisions, each once: ids minted with the ledger's own key, all of them early."""
    opened = open_store(store)
    state = opened.state()
    opened.close()
    experiment, epoch = state.experiments[0], state.epochs[0]
    signer, numbers = load_signer(store, None), Numbers(63, machine_clock)
    ids = []
    for index in range(count):
        number = numbers.next()
        ids.append(signer.mint(experiment.id, epoch.number, index % 2, request_unit(number), number))
    return [b'{"decision_id": "%s", "value": 1}' % one.encode() for one in ids]


class Target(NamedTuple):
    """A server under measurement."""

    port: int
    pid: int


def measured(label: str, target: Target, path: str, bodies: list[bytes], connections: int) -> float:
    """One run; prints its figures and returns requests per second."""
    before = cpu_s([target.pid])
    figures = load(target.port, path, bodies, SECONDS, connections, cores()[1])
    cpu_us = (cpu_s([target.pid]) - before) / max(figures["requests"], 1) * 1e6
    print(
        f"{label:<42} {figures['per_second']:8,.0f}/s  {cpu_us:6.0f} us CPU  p50 {figures['p50_ms']:6.2f} ms  "
        f"p99 {figures['p99_ms']:6.2f} ms  bad {figures['bad']:.0f}"
    )
    return figures["per_second"]


def main() -> None:
    """All rows, gateway and bare in turn within one run."""
    core, other = cores()
    chat = "/v1/chat/completions"
    with started(["-m", "benchmarks.loopback", "upstream"], other) as upstream:
        assert upstream.stdout is not None
        upstream_port = int(upstream.stdout.readline())
        url = f"http://127.0.0.1:{upstream_port}/v1/chat/completions"
        with started(["-m", "benchmarks.bare", url], core) as plainly, served(upstream_port, core) as found:
            assert plainly.stdout is not None
            bare = Target(*map(int, plainly.stdout.readline().split()))
            port, pid, store, took = found
            server = Target(port, pid)
            print(f"server ready after {took:.2f} s; worker {memory_mb(pid):.0f} MB before traffic")
            ratios = []
            for _ in range(ROUNDS):
                plain = measured("bare pass-through (uvicorn + aiohttp)", bare, chat, [BODY], CONNECTIONS)
                full = measured("gateway", server, chat, [BODY], CONNECTIONS)
                ratios.append(full / plain)
            print(f"gateway / bare: {sorted(ratios)[ROUNDS // 2]:.2f} (median of {ROUNDS})")
            measured("POST /v1/route", server, "/v1/route", [b'{"task": "bench"}'], CONNECTIONS)
            for connections in (1, 8, 64):
                bodies = feedback_bodies(store, 80_000)
                measured(
                    f"POST /v1/feedback, {connections} clients", server, "/v1/feedback", bodies, connections
                )
            print(f"worker {memory_mb(pid):.0f} MB after traffic")


if __name__ == "__main__":
    main()
