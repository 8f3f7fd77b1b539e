"""What a look and its report cost: evidence from rows, the tick, and the document.

python -m benchmarks.report

The ticks of a planner, which looks every second:

`between`: nothing matured and no epoch may open; requests came in, so the evidence is new.
`opening`: the open epoch is large enough, so the next one's shares are drawn.
`maturing`: one more epoch is final than at the look before.
`both`: the same, and the next epoch's shares are drawn.
`tick at once`: nothing is remembered of any epoch: the first look after a start.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from experiments.definition.experiment import Experiment
from experiments.definition.reward import Reward
from experiments.evidence.epochs import GRACE_MS, Epoch
from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.units import CellRow
from experiments.inference import split
from experiments.report.render import Subject, render
from experiments.verdict import strict
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, tick

UNITS, RATE, COST_USD = 60, 0.7, 1e-4
ROUNDS, AGAIN = 5, 5
YOUNG = 2
"""Epochs whose cells may still change, the open one among them: the planner keeps the others as arrays."""
WINDOW_MS = 60_000
SIZES = ((2, 200), (5, 200), (5, 2_000), (20, 200), (20, 2_000))


def rows(arms: int, epochs: int) -> list[CellRow]:
    """Cells of equal candidates: 60 units each in every epoch, rewards binomial, costs of 10% variation."""
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
                CellRow(
                    epoch,
                    arm,
                    (UNITS, UNITS, UNITS, 0, UNITS, 0, 0),
                    moments,
                    {100: UNITS // 2, 110: UNITS // 2},
                )
            )
    return found


def history(arms: int, epochs: int) -> list[Epoch]:
    """Epochs of a second each, the last one open."""
    shares = (1 / arms,) * arms
    closed = [Epoch(1, e, e * 1_000, shares, closed_at_ms=(e + 1) * 1_000) for e in range(1, epochs)]
    return [*closed, Epoch(1, epochs, epochs * 1_000, shares)]


def subject(arms: int) -> tuple[Experiment, Standing]:
    """An experiment of equal candidates as the planner knows it."""
    definition = Experiment(
        name="x", task="t", candidates=tuple(f"m{arm}" for arm in range(arms)),
        reward=Reward(window=f"{WINDOW_MS // 1_000}s"),
    )  # fmt: skip
    return definition, Standing(1, 0, (), Progress(), (COST_USD,) * arms, "")


class Planner:
    """The evidence of one experiment as it is read look by look."""

    def __init__(self, arms: int, epochs: int) -> None:
        self._arms, self._epochs = arms, epochs
        self._opened = history(arms, epochs)
        self._full = rows(arms, epochs)
        self._few = [row if row.epoch < epochs else _begun(row) for row in self._full]

    def now_ms(self) -> int:
        """When all epochs but the young ones have just become final."""
        return (self._epochs - YOUNG + 1) * 1_000 + WINDOW_MS + GRACE_MS

    def evidence(self, full: bool) -> Evidence:
        """All epochs from their rows; the open one large enough to close, or just begun."""
        return gather(self._opened, self._full if full else self._few, self._arms)

    def head(self, young: int = YOUNG) -> Evidence:
        """The final epochs as evidence that stays."""
        return self.evidence(full=True).first(self._epochs - young).lasting()

    def after(self, head: Evidence, full: bool) -> Evidence:
        """The next look's evidence: young epochs are read again and joined with the final ones."""
        known = len(head.epochs)
        young = [row for row in (self._full if full else self._few) if row.epoch > known]
        return head.followed_by(gather(self._opened[known:], young, self._arms))


def _begun(row: CellRow) -> CellRow:
    """The same cell of an epoch that has just opened: one unit has come, without an outcome."""
    return CellRow(row.epoch, row.arm, (1, 0, 0, 0, 0, 0, 0), {}, {})


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
    planner, best = Planner(arms, epochs), Best()
    now_ms = planner.now_ms()
    for _ in range(ROUNDS):
        forget_all()
        with best.of("gather"):
            everything = planner.evidence(full=True)
        with best.of("tick at once"):
            seen = tick(definition, everything, standing, now_ms)
        assert seen.next_epoch is not None
        for step, full in (("maturing", False), ("both", True)):
            forget_all()
            head = planner.head(YOUNG + 1)
            tick(definition, planner.after(head, full).beginning_with(head), standing, now_ms - 1_000)
            head = planner.head()
            evidence = planner.after(head, full).beginning_with(head)
            with best.of(step):
                tick(definition, evidence, standing, now_ms)
        for _ in range(AGAIN):
            with best.of("gather young"):
                young = planner.after(head, full=False)
            with best.of("between"):
                quiet = tick(definition, young.beginning_with(head), standing, now_ms)
            assert quiet.next_epoch is None
            large = planner.after(head, full=True).beginning_with(head)
            with best.of("opening"):
                seen = tick(definition, large, standing, now_ms)
            assert seen.next_epoch is not None
        drawn = Subject(definition, "running", "", {}, 0, None)
        for step in ("report", "report again"):
            with best.of(step):
                render(drawn, everything, seen, now_ms).model_dump_json()
    parts = ", ".join(f"{step} {took:.1f} ms" for step, took in best.ms.items())
    together = sum(best.ms[step] for step in ("gather", "tick at once", "report"))
    return f"{arms:3d} candidates x {epochs:5,d} epochs: {parts}; gather, tick at once and report {together:.1f} ms"


def main() -> None:
    """Print a line for each size."""
    for arms, epochs in SIZES:
        print(measured(arms, epochs))


if __name__ == "__main__":
    main()
