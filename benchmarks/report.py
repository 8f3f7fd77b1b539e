"""What a look and its report cost: evidence from rows, the tick, and the document.

python -m benchmarks.report

`tick new`: nothing is known of the epochs, as after a start of the planner. `tick closing`: one more epoch than at
the look before. `tick again`: a look between two closings, which is what happens every second.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import CellRow
from experiments.inference import split
from experiments.report.render import Subject, render
from experiments.verdict import strict
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, tick

UNITS, RATE, COST_USD = 40, 0.7, 1e-4
ROUNDS, AGAIN = 5, 5
YOUNG = 2
"""Epochs whose cells may still change: the planner keeps the others as arrays."""
SIZES = ((2, 200), (5, 200), (5, 2_000), (20, 200), (20, 2_000))


def rows(arms: int, epochs: int) -> list[CellRow]:
    """Cells of equal candidates: 40 units each in every epoch, rewards binomial, costs of 10% variation."""
    random = np.random.default_rng(1)
    n, c, cc = float(UNITS), COST_USD * UNITS, 1.01 * COST_USD**2 * UNITS
    found = []
    for epoch in range(1, epochs + 1):
        for arm in range(arms):
            s = float(random.binomial(UNITS, RATE))
            moments = {
                "reward": (n, n, s, c, 0.0, n, s, c, 0.0, s, COST_USD * s, 0.0, cc, 0.0, 0.0),
                "cost_usd": (n, n, c, c, 0.0, n, c, c, 0.0, cc, cc, 0.0, cc, 0.0, 0.0),
                "error": (n, n, 0.0, c, 0.0, n, 0.0, c, 0.0, 0.0, 0.0, 0.0, cc, 0.0, 0.0),
            }
            found.append(
                CellRow(epoch, arm, (UNITS, UNITS, UNITS, 0, UNITS, 0, 0), moments, {100: 20, 110: 20})
            )
    return found


def history(arms: int, epochs: int) -> list[Epoch]:
    """Epochs of a second each, the last one open."""
    shares = (1 / arms,) * arms
    closed = [Epoch(1, e, e * 1_000, shares, closed_at_ms=(e + 1) * 1_000) for e in range(1, epochs)]
    return [*closed, Epoch(1, epochs, epochs * 1_000, shares)]


def subject(arms: int) -> tuple[Experiment, Standing]:
    """An experiment of equal candidates as the planner knows it."""
    definition = Experiment(name="x", task="t", candidates=tuple(f"m{arm}" for arm in range(arms)))
    return definition, Standing(1, 0, (), Progress(), (COST_USD,) * arms, "")


def forget_all() -> None:
    """Nothing is remembered of epochs that were looked at before."""
    strict.forget()
    split.forget()


class Best:
    """The least milliseconds of each step."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Time one step."""
        began = time.perf_counter()
        yield
        self.ms[step] = min(self.ms.get(step, float("inf")), (time.perf_counter() - began) * 1e3)


def measured(arms: int, epochs: int) -> str:
    """A line of the table: the best of some rounds."""
    definition, standing = subject(arms)
    stored, opened, now_ms = rows(arms, epochs), history(arms, epochs), epochs * 1_000 + 100_000_000
    young = [row for row in stored if row.epoch > epochs - YOUNG]
    before = gather(history(arms, epochs - 1), [row for row in stored if row.epoch < epochs], arms)
    best = Best()
    for _ in range(ROUNDS):
        forget_all()
        with best.of("gather"):
            everything = gather(opened, stored, arms)
        final = everything.first(epochs - YOUNG)
        with best.of("gather young"):
            final.followed_by(gather(opened[-YOUNG:], young, arms))
        with best.of("tick new"):
            tick(definition, everything, standing, now_ms)
        forget_all()
        tick(definition, before, standing, now_ms)
        with best.of("tick closing"):
            seen = tick(definition, everything, standing, now_ms)
        for _ in range(AGAIN):
            with best.of("tick again"):
                seen = tick(definition, everything, standing, now_ms)
        drawn = Subject(definition, "running", "", {}, 0, None)
        for step in ("report", "report again"):
            with best.of(step):
                render(drawn, everything, seen, now_ms).model_dump_json()
    parts = ", ".join(f"{step} {took:.1f} ms" for step, took in best.ms.items())
    together = sum(best.ms[step] for step in ("gather", "tick closing", "report"))
    return f"{arms:3d} candidates x {epochs:5,d} epochs: {parts}; gather, tick and report {together:.1f} ms"


def main() -> None:
    """Print a line for each size."""
    for arms, epochs in SIZES:
        print(measured(arms, epochs))


if __name__ == "__main__":
    main()
