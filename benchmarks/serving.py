"""A server under measurement: started as `pointsman serve` starts it, its worker pinned, load driven at it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import ROOT, Load, closed, cores, cpu_s, descendants, run_load, started

CHAT = "/v1/chat/completions"
SERVE = ("-m", "pointsman", "serve")


def chat_body(characters: int = 208, **fields: object) -> bytes:
    """A chat request whose message has about so many characters."""
    words = "A question of some length. "
    message = {"role": "user", "content": words * (characters // len(words) + 1)}
    request = {"model": "task/bench", "messages": [message], "user": "u", **fields}
    return json.dumps(request).encode()


def configuration(
    upstream: int, experiment: str = "task: bench, candidates: [one, two]", task: str = ""
) -> str:
    """Two models at the upstream, and a comparison between them unless it is empty."""
    url = f"http://127.0.0.1:{upstream}/v1"
    model = f"{{base_url: {url}, model: upstream, price: {{input: 1, output: 2}}}}"
    models = f"models:\n  one: {model}\n  two: {model}\ndefault: one\ntasks:\n  bench: {{{task}}}\n"
    return models + (f"experiments:\n  compare: {{{experiment}}}\n" if experiment else "")


class Target(NamedTuple):
    """A server under measurement."""

    port: int
    pid: int


class Figures(NamedTuple):
    """What one run of load showed."""

    requests: int
    bad: int
    overloaded: int
    """Answers of status 503 with a retry-after header; part of `bad`."""
    per_second: float
    """Good answers a second."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the worker for one answer."""


@contextmanager
def upstream_port(core: int, after_s: float = 0.0) -> Iterator[int]:
    """A fixed-answer upstream on a port of its own."""
    with started(["-m", "benchmarks.loopback", "upstream", f"--after-s={after_s}"], core) as upstream:
        assert upstream.stdout is not None
        yield int(upstream.stdout.readline())


@contextmanager
def bare(upstream: int, core: int) -> Iterator[Target]:
    """The bare pass-through in front of the upstream."""
    with started(["-m", "benchmarks.bare", f"http://127.0.0.1:{upstream}{CHAT}"], core) as plainly:
        assert plainly.stdout is not None
        yield Target(*map(int, plainly.stdout.readline().split()))


class Served(NamedTuple):
    """A running server."""

    target: Target
    store: str
    """Path of its ledger."""
    ready_s: float
    """From its start until it was ready."""


@contextmanager
def served(
    text: str, core: int, serve: Sequence[str] = SERVE, options: Sequence[str] = ()
) -> Iterator[Served]:
    """A server with this configuration, its experiment started and its worker pinned to a core with all threads."""
    with tempfile.TemporaryDirectory() as folder:
        file, store = Path(folder, "bench.yaml"), Path(folder, "ledger.sqlite")
        file.write_text(text)
        environment = {**os.environ, "POINTSMAN_STORE": str(store)}
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, *serve, "--config", str(file), "--port", "0", *options],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            ready = next(line for line in server.stdout if "ready at" in line)
            took = time.perf_counter() - began
            if "experiments:" in text:
                command = [sys.executable, "-m", "pointsman", "start", "compare"]
                subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=environment)
                time.sleep(1.0)
            port = int(ready.split("ready at ")[1].split(" ")[0].rsplit(":", 1)[1].strip("/"))
            yield Served(Target(port, _pinned_worker(server.pid, core)), str(store), took)
        finally:
            server.terminate()
            server.wait(20)
            closed(server.stdout)


def _pinned_worker(server: int, core: int) -> int:
    """The serving process of a supervisor."""
    worker = next(pid for pid, name in descendants(server).items() if name.startswith("pm worker"))
    for thread in Path(f"/proc/{worker}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    return worker


def driven(target: Target, load: Load) -> Figures:
    """Drive a server from the other core."""
    before = cpu_s([target.pid])
    found = run_load(target.port, load, cores()[1])
    used_us = (cpu_s([target.pid]) - before) * 1e6
    good = int(found["requests"] - found["bad"])
    return Figures(
        int(found["requests"]), int(found["bad"]), int(found["overloaded"]), good / load.seconds, found["p50_ms"],
        found["p99_ms"], used_us / max(found["requests"], 1),
    )  # fmt: skip
