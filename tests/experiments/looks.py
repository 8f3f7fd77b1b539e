"""Cells with exact counts, and looks at them through the real `gather` and `tick`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.units import COST, ERROR, PRIMARY, UNCOSTED, CellRow
from experiments.report.document import Report
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, Tick, tick

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
WINDOW_MS = 600_000


def experiment(*candidates: str, **fields: object) -> Experiment:
    """An experiment with a window of ten minutes and a margin of .05, unless said otherwise."""
    objective = {"reward_margin": 0.05, **fields.pop("objective", {})}  # type: ignore[dict-item]  # a mapping by use
    reward = {"window": "10m", **fields.pop("reward", {})}  # type: ignore[dict-item]  # a mapping too
    return Experiment.model_validate(
        {
            "name": "cheaper",
            "task": "support",
            "candidates": candidates or ("dear", "cheap"),
            "objective": objective,
            "reward": reward,
            **fields,
        }
    )


@dataclass(frozen=True)
class Arm:
    """Exact counts of one arm's units in one epoch, one request each."""

    units: int
    successes: float
    cost_usd: float = 0.01
    errors: int = 0
    served: int | None = None
    rated: int | None = None
    """Units with a reward; the successes are among them."""
    called: int | None = None
    costed: int | None = None
    """Units whose cost is known; where costs are needed, rewards of the others are kept apart in proportion."""
    variation: float = 0.5
    """Coefficient of variation of the costs."""
    squares: float | None = None
    """Sum of squared rewards; binary ones by default."""
    recovered: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    """Requests by latency bucket."""
    reported: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Further binary metrics: units that report one, and their total."""


def row(epoch: int, arm: int, of: Arm, needs_cost: bool = True) -> CellRow:
    """The cell of these counts; costs vary independently of rewards."""
    called = of.units if of.called is None else of.called
    rated = of.units if of.rated is None else of.rated
    costed = called if of.costed is None else of.costed
    served = called if of.served is None else of.served
    known = rated * (costed / called if called and needs_cost else 1.0)
    part = known / rated if rated else 0.0
    joint, free = of if costed else replace(of, cost_usd=0.0), replace(of, cost_usd=0.0)
    squares = (None, None) if of.squares is None else (of.squares * part, of.squares * (1 - part))
    moments = {
        PRIMARY: _triangle(known, of.successes * part, joint, squares[0]),
        UNCOSTED: _triangle(rated - known, of.successes * (1 - part), free, squares[1]),
        COST: _of_costs(costed, of),
        ERROR: _triangle(called, of.errors, of),
    }
    moments |= {
        name: _triangle(n, total, replace(of, cost_usd=0.0)) for name, (n, total) in of.reported.items()
    }
    counts = (of.units, called, served, of.errors, rated, of.recovered, 0)
    found = {name: sums for name, sums in moments.items() if sums[0]}
    return CellRow(epoch, arm, counts, found, of.latency)


def _triangle(n: float, total: float, of: Arm, squares: float | None = None) -> tuple[float, ...]:
    c, cc = of.cost_usd, of.cost_usd**2 * (1 + of.variation**2)
    rr = total if squares is None else squares
    return (n, n, total, n * c, 0.0, n, total, n * c, 0.0, rr, total * c, 0.0, n * cc, 0.0, 0.0)


def _of_costs(n: float, of: Arm) -> tuple[float, ...]:
    c, cc = n * of.cost_usd, n * of.cost_usd**2 * (1 + of.variation**2)
    return (n, n, c, c, 0.0, n, c, c, 0.0, cc, cc, 0.0, cc, 0.0, 0.0)


@dataclass
class Trial:
    """An experiment whose epochs last an hour and are closed by hand."""

    definition: Experiment
    epochs: list[Epoch] = field(default_factory=list)
    rows: list[CellRow] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    dropped: dict[int, str] = field(default_factory=dict)
    price_version: str = "v1"
    now_ms: int = START_MS
    model_series: int = 0
    model_version: str = ""
    watching: bool = False

    def epoch(
        self, *arms: Arm, shares: Sequence[float] | None = None, series: int = 0, hours: float = 1.0
    ) -> "Trial":
        """One more epoch with these counts, closed at its end, mature by the next look."""
        number, count = len(self.epochs) + 1, len(self.definition.candidates)
        split = tuple(shares) if shares is not None else (1 / count,) * count
        opened, self.now_ms = self.now_ms, self.now_ms + int(hours * HOUR_MS)
        versions = (series, self.price_version, self.now_ms, self.model_series, self.model_version)
        self.epochs.append(Epoch(1, number, opened, split, *versions))
        needs_cost = self.definition.objective.needs_cost
        self.rows += [row(number, index, arm, needs_cost) for index, arm in enumerate(arms)]
        return self

    def epochs_of(self, times: int, *arms: Arm, shares: Sequence[float] | None = None) -> "Trial":
        """Several epochs of the same counts."""
        for _ in range(times):
            self.epoch(*arms, shares=shares)
        return self

    def evidence(self) -> Evidence:
        """What is known, with an open epoch behind the closed ones."""
        count = len(self.definition.candidates)
        shares = self.epochs[-1].shares if self.epochs else (1 / count,) * count
        series = self.epochs[-1].cost_series if self.epochs else 0
        version = self.epochs[-1].price_version if self.epochs else self.price_version
        models = (self.epochs[-1].model_series, self.epochs[-1].model_version) if self.epochs else (0, "")
        newest = Epoch(1, len(self.epochs) + 1, self.now_ms, shares, series, version, None, *models)
        return gather([*self.epochs, newest], self.rows, count)

    def standing(self) -> Standing:
        """The standing with equal list prices."""
        costs = (0.01,) * len(self.definition.candidates)
        return Standing(
            7, START_MS, tuple(self.dropped), self.progress, costs, self.price_version, self.model_version,
            self.watching,
        )  # fmt: skip

    def look(self, later_ms: int = 2 * WINDOW_MS) -> Tick:
        """One look after everything has matured; what it remembers and drops is kept."""
        seen = tick(self.definition, self.evidence(), self.standing(), self.now_ms + later_ms)
        self.progress = seen.progress
        self.dropped |= dict(seen.dropped)
        return seen

    def report(self, seen: Tick, later_ms: int = 2 * WINDOW_MS) -> Report:
        """The report of a look."""
        subject = Subject(self.definition, "running", "", self.dropped, START_MS, None)
        return render(subject, self.evidence(), seen, self.now_ms + later_ms)
