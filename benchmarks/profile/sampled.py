"""A real serving worker under load, sampled: by thread, place and function, and its native part if perf is there."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import Load, cores
from benchmarks.profile import native
from benchmarks.profile.flame import icicle
from benchmarks.profile.stacks import (
    Profile,
    by,
    caller_of_ours,
    everywhere,
    function_of,
    innermost,
    own_place,
)
from benchmarks.profile.tables import shared, table
from benchmarks.serving import CHAT, Figures, Served, chat_body, configuration, driven, served

SERVE = ("-m", "benchmarks.profile.server")
WAIT_S = 20.0
PLACES, FUNCTIONS = 20, 30


def loads(
    store: str, seconds: float, feedback: Callable[[str, int], list[bytes]]
) -> Iterator[tuple[str, Load]]:
    """What is profiled, one after the other."""
    yield "chat", Load(CHAT, [chat_body()], seconds, 32)
    yield "stream", Load(CHAT, [chat_body(stream=True)], seconds, 32)
    yield "route", Load("/v1/route", [b'{"task": "bench"}'], seconds, 32)
    yield "feedback", Load("/v1/feedback", feedback(store, int(20_000 * seconds)), seconds, 64)


@contextmanager
def sampled_server(upstream: int) -> Iterator[tuple[Served, Path]]:
    """A server whose worker can be sampled, and where it writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "samples.json")
        with served(configuration(upstream), cores()[0], SERVE, ("--samples", str(path))) as found:
            yield found, path


def profiled(found: Served, path: Path, load: Load) -> tuple[Profile, Figures]:
    """One load while the worker samples itself."""
    path.unlink(missing_ok=True)
    os.kill(found.target.pid, signal.SIGUSR1)
    figures = driven(found.target, load)
    os.kill(found.target.pid, signal.SIGUSR1)
    until = time.monotonic() + WAIT_S
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"the worker wrote no samples within {WAIT_S:g} seconds")
        time.sleep(0.05)
    content = json.loads(path.read_text())
    stacks = [([function_of(code) for code in stack], weight) for stack, weight in content["stacks"]]
    threads = {name: (user, system) for name, (user, system) in content["threads"].items()}
    return Profile(threads, stacks), figures


def report(label: str, found: Served, path: Path, load: Load, flame: Path | None) -> Iterator[str]:
    """The tables of one load."""
    profile, figures = profiled(found, path, load)
    unit_us = 1e6 / max(figures.requests, 1)
    yield (
        f"\n## {label}: {figures.requests:,} requests, {figures.cpu_us:.0f} us of processor time each, "
        f"{figures.bad} bad"
    )
    yield _threads(profile, unit_us)
    views = (
        ("Main thread by place of the code that runs", own_place, PLACES),
        ("Main thread by our innermost function, with what it calls in libraries", caller_of_ours, FUNCTIONS),
        ("Main thread by function that runs", innermost, FUNCTIONS),
        ("Our functions with all that they call", everywhere, FUNCTIONS),
    )
    for title, key, most in views:
        rows = shared(by(profile.stacks, key), profile.total_s, unit_us, most)
        yield table(title, ("", "us", "share"), rows[:most] if key is everywhere else rows)
    if flame is not None:
        file = flame / f"{label}.svg"
        title = f"{label}: {figures.cpu_us:.0f} us of processor time a request, main thread"
        file.write_text(icicle(profile.stacks, title, unit_us))
        yield f"\nIcicle graph: {file}"
    if native.available():
        yield _native(found, load)


def _threads(profile: Profile, unit_us: float) -> str:
    rows = [
        (name, f"{user * unit_us:.1f}", f"{system * unit_us:.1f}")
        for name, (user, system) in sorted(profile.threads.items(), key=lambda item: -sum(item[1]))
        if user + system > 0
    ]
    return table("By thread, us a request", ("", "user", "kernel"), rows)


def _native(found: Served, load: Load) -> str:
    """Another run of the same load, under perf."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "perf.data")
        with native.recorded(found.target.pid, path):
            figures = driven(found.target, load)
        shares = native.shares(path)
    if not shares:
        return "\nperf is installed and was not allowed to look."
    rows = [
        (kind, f"{share * figures.cpu_us:.1f}", f"{share:.1%}")
        for kind, share in sorted(shares.items(), key=lambda item: -item[1])
    ]
    return table("All threads by kind of code, from perf", ("", "us", "share"), rows)
