"""What a look and its report cost: evidence from rows, the tick, and the document.

python -m benchmarks.report
"""

import time

import numpy as np

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import CellRow
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.strict import forget
from experiments.verdict.tick import Standing, tick

UNITS, RATE, COST_USD = 40, 0.7, 1e-4
ROUNDS = 5
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


def measured(arms: int, epochs: int) -> str:
    """A line of the table: the best of some rounds."""
    definition = Experiment(name="x", task="t", candidates=tuple(f"m{arm}" for arm in range(arms)))
    standing = Standing(1, 0, (), Progress(), (COST_USD,) * arms, "")
    stored, opened, now_ms = rows(arms, epochs), history(arms, epochs), epochs * 1_000 + 100_000_000
    best = [float("inf")] * 4
    for _ in range(ROUNDS):
        forget()
        marks = [time.perf_counter()]
        everything = gather(opened, stored, arms)
        marks.append(time.perf_counter())
        seen = tick(definition, everything, standing, now_ms)
        marks.append(time.perf_counter())
        for _ in range(2):
            render(
                Subject(definition, "running", "", {}, 0, None), everything, seen, now_ms
            ).model_dump_json()
            marks.append(time.perf_counter())
        best = [min(old, (b - a) * 1e3) for old, a, b in zip(best, marks[:-1], marks[1:], strict=True)]
    gathering, ticking, rendering, again = best
    return (
        f"{arms:3d} candidates x {epochs:5,d} epochs: gather {gathering:6.1f} ms, tick {ticking:5.1f} ms, "
        f"report {rendering:5.1f} ms, together {gathering + ticking + rendering:6.1f} ms; "
        f"again at the same epochs {again:5.1f} ms"
    )


def main() -> None:
    """Print a line for each size."""
    for arms, epochs in SIZES:
        print(measured(arms, epochs))


if __name__ == "__main__":
    main()
