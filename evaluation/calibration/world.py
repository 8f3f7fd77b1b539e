"""World: one simulated experiment, driven through the very tick that production runs."""

from dataclasses import dataclass, field, replace

import numpy as np

from evaluation.calibration.outcomes import Law, drawn
from evaluation.calibration.rivals import NAMES, Pooled, first_calls
from evaluation.calibration.scenarios import LATE, Scenario
from experiments.definition.first_shares import first_shares
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import CellRow
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
    """First promotion; where a guardrail is in question, the first look at which it was called kept."""
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
        shares = first_shares(self.scenario.definition, self.scenario.costs_usd)
        self.epochs.append(Epoch(1, 1, START_MS, shares, price_version="v1"))

    def look(self) -> Tick:
        """Serve the open epoch, look at its end, and open the next one as the tick says."""
        current = self.epochs[-1]
        self._serve(current)
        self.now_ms += HOUR_MS
        standing = Standing(
            1, START_MS, self.dropped, self.progress, self.scenario.costs_usd, "v1", watching=self.scenario.watching
        )  # fmt: skip
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
        scenario, sizes = self.scenario, self.random.multinomial(self.scenario.units, epoch.shares).tolist()
        needs_cost = scenario.definition.objective.needs_cost
        level = scenario.levels[epoch.number - 1]
        for arm, n in enumerate(sizes):
            if not n:
                continue
            law = Law(
                arm, scenario.rate(arm, epoch.number), level, scenario.costs_usd[arm], scenario.variation
            )
            units = drawn(self.random, scenario.nature, law, n)
            whole = units.cell(epoch.number, arm, needs_cost)
            self.final.append(whole)
            late = arm == scenario.late_arm
            self.early.append(units.cell(epoch.number, arm, needs_cost, units.wins == 0) if late else whole)


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
        if not (decided or scenario.watching) and _promotes(scenario, seen):
            promoted_at = seen.volume.mature
        if seen.dropped and dropped_at is None:
            dropped_at = seen.volume.mature
        over = len(world.dropped) == scenario.arms - 1
        if over or (scenario.kind == "power" and promoted_at is not None):
            break
    return Run(promoted_at, dropped_at, missed, units, alarmed, tuple(rivals.called))


def _promotes(scenario: Scenario, seen: Tick) -> bool:
    """A promotion, also one held up by a doubt: what blocks it must not hide that every test passed."""
    live = [one for one in seen.candidacies if one.comparison.arm not in seen.dropped]
    if scenario.question == "guardrail" and scenario.kind == "null":
        return any(guard.kept for one in live for guard in one.comparison.guardrails)
    return any(one.passes for one in live) or seen.verdict.kind in (Kind.PROMOTE, Kind.NEEDS_REVIEW)


def _missed(scenario: Scenario, one: Comparison) -> bool:
    """Whether the interval of the effect in question leaves out the truth."""
    if not scenario.has_interval:
        return False
    truth = scenario.gaps[one.arm] if scenario.truth is None else scenario.truth
    if scenario.question == "guardrail":
        return not all(guard.low <= truth <= guard.high for guard in one.guardrails)
    effect = {
        "reward": one.reward, "reward_per_cost": one.reward_per_cost, "net_value": one.superior, "cost": one.cost
    }[scenario.question]  # fmt: skip
    return not effect.low <= truth <= effect.high


class _Watch:
    """Rivals look at all that has arrived, pooled over epochs, as they do in practice."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.called: list[int | None] = [None] * len(NAMES)

    def watch(self, world: World, units: int) -> None:
        """Note the rivals that call a candidate better for the first time."""
        if not self.scenario.has_rivals:
            return
        arms = [
            Pooled.of([row for row in world.rows() if row.arm == arm]) for arm in range(self.scenario.arms)
        ]
        for index, called in enumerate(first_calls(self.scenario, arms)):
            if called and self.called[index] is None:
                self.called[index] = units
