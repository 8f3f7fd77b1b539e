"""How fast the library is driven in process: routes and feedback a second, and memory of each pair.

python -m benchmarks.in_process [--pairs 50000] [--million]
"""

import argparse
import gc
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.definition.assignment import arm_at, cumulative, position
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import UnitRow, contribution
from router.config.document import Document
from router.in_process import Router
from router.recording.feedback import FeedbackItem

MODEL = {"base_url": "http://127.0.0.1:9/v1", "price": {"input": 1, "output": 2}}
ROUNDS, GROUP, USERS = 3, 100, 5_000
PAIRS_IN_A_MILLISECOND = 10
START_MS = 1_790_000_000_000


class HandClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def opened(arms: int, unit: str) -> Iterator[tuple[Router, HandClock]]:
    """A router in memory with one running experiment on a binary reward."""
    names = [f"model-{arm}" for arm in range(arms)]
    body = {"task": "task", "candidates": names, "unit": unit, "objective": {"kind": "reward"}}
    document = Document.model_validate(
        {
            "models": dict.fromkeys(names, MODEL),
            "default": names[0],
            "tasks": {"task": {}},
            "experiments": {"compare": body},
        }
    )
    clock = HandClock()
    with Router.open(document, "memory:", clock=clock, tick="manual", start=True) as router:
        yield router, clock


def pairs_per_second(arms: int, unit: str, pairs: int, group: int) -> float:
    """Route and feedback pairs in a second of processor time; feedback goes in groups of so many."""
    rates = []
    for _ in range(ROUNDS):
        with opened(arms, unit) as (router, clock):
            gc.collect()
            began = time.process_time()
            drive(router, clock, pairs, group, unit)
            rates.append(pairs / (time.process_time() - began))
    return max(rates)


def drive(router: Router, clock: HandClock, pairs: int, group: int, unit: str) -> None:
    """The loop that is measured."""
    items: list[FeedbackItem] = []
    for index in range(pairs):
        if index % PAIRS_IN_A_MILLISECOND == 0:
            clock.now_ms += 1
        decision = router.route("task", user=f"user-{index % USERS}" if unit == "user" else None)
        value = float(index & 1)
        if group == 1:
            router.feedback(decision.id, value)
            continue
        items.append(FeedbackItem(decision_id=decision.id, value=value))
        if len(items) == group:
            router.feedback_many(items)
            items.clear()


def bare_us() -> float:
    """Microseconds of what no design can leave out: hash and bisect, and what one unit adds to its cell."""
    definition = Experiment(name="compare", task="task", candidates=("a", "b"))
    boundaries = cumulative((0.5, 0.5))
    row = UnitRow(
        1, bytes(16), Epoch(1, 1, 0, (0.5, 0.5)).number, 0, 0, 1, 1, rated=1, feedback=1, reward=1.0
    )
    began, calls = time.process_time(), 50_000
    for index in range(calls):
        arm_at(boundaries, position("salt", str(index)))
        contribution(row, definition)
    return (time.process_time() - began) / calls * 1e6


def million() -> None:
    """A million pairs in a process of its own: seconds, pairs a second and bytes of each."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = 1_000_000
    with opened(2, "request") as (router, clock):
        began = time.perf_counter()
        drive(router, clock, pairs, GROUP, "request")
        took = time.perf_counter() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"a million pairs: {took:.0f} s, {pairs / took:,.0f} pairs/s, {grown / pairs:.0f} bytes a pair")


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(prog="in_process", description=__doc__)
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--million", action="store_true", help="only the run of a million pairs")
    asked = parser.parse_args()
    if asked.million:
        million()
        return
    bare = bare_us()
    print(f"bare choice and contribution: {bare:.1f} us")
    for arms, unit in ((2, "request"), (10, "request"), (2, "user")):
        for group in (1, GROUP):
            rate = pairs_per_second(arms, unit, asked.pairs, group)
            how = "one by one" if group == 1 else f"in groups of {group}"
            print(f"K = {arms}, unit {unit}, {how}: {rate:,.0f} pairs/s, {1e6 / rate / bare:.1f} x bare")
    subprocess.run([sys.executable, "-m", "benchmarks.in_process", "--million"], check=True)


if __name__ == "__main__":
    main()
