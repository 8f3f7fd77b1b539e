"""World: one simulated experiment, driven through the very tick that production runs."""

from dataclasses import dataclass, field, replace
from math import log, log1p, sqrt

import numpy as np

from evaluation.calibration.rivals import Pooled, first_calls
from evaluation.calibration.scenarios import LATE, Scenario
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import COST, ERROR, PRIMARY, CellRow
from experiments.verdict.comparison import Comparison
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, Tick, tick
from experiments.verdict.verdict import Kind

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Run:
    """What happened in one replication; units are those of mature epochs at that look."""

    promoted_at: int | None
    dropped_at: int | None
    """First drop of a candidate."""
    missed: bool
    """Some look's two-sided interval left out the true effect."""
    units: int
    """Mature units at the decision, or at the end of an undecided run."""
    alarmed: bool
    """The sample ratio, or another check of health, raised an alarm."""
    rivals: tuple[int | None, ...]
    """Mature units at which each rival first called a candidate better than the boundary."""


@dataclass
class World:
    """Epochs of an hour: assignment by the frozen shares, binomial rewards, lognormal costs."""

    scenario: Scenario
    random: np.random.Generator
    epochs: list[Epoch] = field(default_factory=list)
    final: list[CellRow] = field(default_factory=list)
    early: list[CellRow] = field(default_factory=list)
    """The same cells without the successes that come late."""
    progress: Progress = field(default_factory=Progress)
    dropped: tuple[int, ...] = ()
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        shares = self.scenario.definition.starting_shares
        self.epochs.append(Epoch(1, 1, START_MS, shares, price_version="v1"))

    def look(self) -> Tick:
        """Serve the open epoch, look at its end, and open the next one as the tick says."""
        current = self.epochs[-1]
        self._serve(current)
        self.now_ms += HOUR_MS
        standing = Standing(1, START_MS, self.dropped, self.progress, self.scenario.costs_usd, "v1")
        evidence = gather(self.epochs, self.rows(), self.scenario.arms)
        seen = tick(self.scenario.definition, evidence, standing, self.now_ms)
        self.progress = seen.progress
        self.dropped = tuple(sorted({*self.dropped, *seen.dropped}))
        shares = seen.next_epoch.shares if seen.next_epoch is not None else current.shares
        self.epochs[-1] = replace(current, closed_at_ms=self.now_ms)
        self.epochs.append(Epoch(1, current.number + 1, self.now_ms, shares, 0, "v1"))
        return seen

    def rows(self) -> list[CellRow]:
        """Cells as far as outcomes have arrived."""
        newest = self.final[-1].epoch
        return [
            whole if whole.epoch <= newest - LATE else so_far
            for whole, so_far in zip(self.final, self.early, strict=True)
        ]

    def _serve(self, epoch: Epoch) -> None:
        sizes = self.random.multinomial(self.scenario.units, epoch.shares).tolist()
        level = self.scenario.levels[epoch.number - 1]
        for arm, n in enumerate(sizes):
            if not n:
                continue
            whole, so_far = self._cells(epoch.number, arm, n, level + self.scenario.gaps[arm])
            self.final.append(whole)
            self.early.append(so_far)

    def _cells(self, number: int, arm: int, n: int, rate: float) -> tuple[CellRow, CellRow]:
        """The cell once every outcome is in, and what it shows before late successes arrive."""
        scenario, random = self.scenario, self.random
        rated = int(random.binomial(n, scenario.feedback[arm])) if scenario.feedback else n
        wins = int(random.binomial(rated, rate))
        errors = int(random.binomial(rated - wins, min(scenario.error_rate / max(1 - rate, 1e-9), 1.0)))
        sigma = sqrt(log1p(scenario.variation**2))
        costs = random.lognormal(log(scenario.costs_usd[arm]) - sigma**2 / 2, sigma, n)
        whole = _cell(number, arm, costs, wins, rated - wins, errors)
        if arm != scenario.late_arm:
            return whole, whole
        return whole, _cell(number, arm, np.roll(costs, -wins), 0, rated - wins, errors)


def _cell(number: int, arm: int, costs: np.ndarray, wins: int, losses: int, errors: int) -> CellRow:
    """A cell whose first `wins` units succeeded and whose next `losses` failed; the rest is silent."""
    n, rated = costs.size, wins + losses
    c, cc = float(costs.sum()), float(costs @ costs)
    known = costs[:rated]
    cr, ccr, wc, ec = (
        float(known.sum()), float(known @ known), float(known[:wins].sum()), float(known[wins : wins + errors].sum())
    )  # fmt: skip
    moments = {
        PRIMARY: (rated, rated, wins, cr, 0.0, rated, wins, cr, 0.0, wins, wc, 0.0, ccr, 0.0, 0.0),
        COST: (n, n, c, c, 0.0, n, c, c, 0.0, cc, cc, 0.0, cc, 0.0, 0.0),
        ERROR: (n, n, errors, c, 0.0, n, errors, c, 0.0, errors, ec, 0.0, cc, 0.0, 0.0),
    }
    counts = (n, n, n, errors, rated, 0, 0)
    return CellRow(number, arm, counts, {name: sums for name, sums in moments.items() if sums[0]})


def replicate(scenario: Scenario, seed: np.random.SeedSequence) -> Run:
    """One experiment with a look at every epoch.

    Runs of a null go on after a promotion, so that rivals see all the data; others end with the decision.
    """
    world, rivals = World(scenario, np.random.default_rng(seed)), _Watch(scenario)
    promoted_at = dropped_at = None
    missed = alarmed = False
    units = 0
    for _ in scenario.levels:
        seen = world.look()
        missed |= any(_missed(scenario, one) for one in seen.comparisons)
        alarmed |= seen.health.alarm is not None
        rivals.watch(world, seen.volume.mature)
        decided = promoted_at is not None
        units = units if decided else seen.volume.mature
        if not decided and _promotes(seen):
            promoted_at = seen.volume.mature
        if seen.dropped and dropped_at is None:
            dropped_at = seen.volume.mature
        over = len(world.dropped) == scenario.arms - 1
        if over or (scenario.kind == "power" and promoted_at is not None):
            break
    return Run(promoted_at, dropped_at, missed, units, alarmed, tuple(rivals.called))


def _promotes(seen: Tick) -> bool:
    """A promotion, also one held up by a doubt: what blocks it must not hide that every test passed."""
    passes = any(one.passes for one in seen.candidacies if one.comparison.arm not in seen.dropped)
    return passes or seen.verdict.kind in (Kind.PROMOTE, Kind.NEEDS_REVIEW)


def _missed(scenario: Scenario, one: Comparison) -> bool:
    """Whether the interval of the effect in question leaves out the truth."""
    if scenario.question == "reward_per_cost":
        return not one.reward_per_cost.low <= 0.0 <= one.reward_per_cost.high
    return not one.reward.low <= scenario.gaps[one.arm] <= one.reward.high


class _Watch:
    """Rivals look at all that has arrived, pooled over epochs, as they do in practice."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.called: list[int | None] = [None, None, None]

    def watch(self, world: World, units: int) -> None:
        """Note the rivals that call a candidate better for the first time."""
        arms = [
            Pooled.of([row for row in world.rows() if row.arm == arm]) for arm in range(self.scenario.arms)
        ]
        for index, called in enumerate(first_calls(self.scenario, arms)):
            if called and self.called[index] is None:
                self.called[index] = units
