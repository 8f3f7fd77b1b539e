"""One calibration: every replication of every scenario, spread over the cores, seeded one by one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context

import numpy as np

from evaluation.calibration.nulls import nulls
from evaluation.calibration.powers import powers
from evaluation.calibration.regret import PLAYERS, Setting, installed, regret, settings
from evaluation.calibration.scenarios import Scenario
from evaluation.calibration.trials import Trial, Tried, trials
from evaluation.calibration.world import Run, replicate

CHUNK = 10
"""Replications that travel to a process together."""
NULLS, FURTHER_NULLS, POWERS, REGRETS, TRIALS = 400, 300, 200, 100, 20
"""Replications of each scenario, setting and trial in a whole run."""
QUICK = 0.1
"""Part of them in a short one."""
Seeds = tuple[np.random.SeedSequence, ...]


@dataclass(frozen=True)
class Plan:
    """What to simulate."""

    scenarios: tuple[Scenario, ...]
    settings: tuple[Setting, ...] = ()
    trials: tuple[Trial, ...] = ()
    seed: int = 20_261_120

    @classmethod
    def full(cls, part: float = 1.0, seed: int = 20_261_120) -> "Plan":
        """Everything that docs/calibration.md reports, or a part of its replications, at least two of each."""

        def some(replications: int) -> int:
            return max(round(part * replications), 2)

        return cls(
            (*nulls(some(NULLS), some(FURTHER_NULLS)), *powers(some(POWERS))),
            settings(some(REGRETS)), trials(some(TRIALS)), seed,
        )  # fmt: skip


@dataclass
class Results:
    """Outcomes by scenario and by trial, and regrets by setting and player."""

    plan: Plan
    runs: dict[str, list[Run]] = field(default_factory=dict)
    regrets: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    tried: dict[str, list[Tried]] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """Some replications of one scenario, of one trial, or of one player in one setting."""

    order: int
    seeds: Seeds
    scenario: Scenario | None = None
    setting: Setting | None = None
    player: str = ""
    trial: Trial | None = None


@dataclass(frozen=True)
class Done:
    """A finished piece with what came of it."""

    piece: Piece
    runs: tuple[Run, ...] = ()
    regrets: tuple[float, ...] = ()
    tried: tuple[Tried, ...] = ()


def calibrate(plan: Plan, jobs: int = 1, on_done: Callable[[int], None] = lambda _: None) -> Results:
    """Run the plan; the same seed gives the same results whatever the number of jobs."""
    results, done = Results(plan), []
    for one in _finished(list(pieces(plan)), jobs):
        done.append(one)
        on_done(len(one.piece.seeds))
    for one in sorted(done, key=lambda each: each.piece.order):
        piece = one.piece
        if piece.scenario is not None:
            results.runs.setdefault(piece.scenario.name, []).extend(one.runs)
        if piece.setting is not None:
            results.regrets.setdefault((piece.setting.name, piece.player), []).extend(one.regrets)
        if piece.trial is not None:
            results.tried.setdefault(piece.trial.name, []).extend(one.tried)
    return results


def pieces(plan: Plan) -> Iterator[Piece]:
    """The work in a fixed order; players of one setting share their seeds, so they meet the same luck."""
    kinds = len(plan.scenarios) + len(plan.settings) + len(plan.trials)
    roots = iter(np.random.SeedSequence(plan.seed).spawn(kinds))
    order = count()
    for scenario in plan.scenarios:
        for seeds in _chunks(next(roots), scenario.replications):
            yield Piece(next(order), seeds, scenario=scenario)
    for setting in plan.settings:
        chunks = list(_chunks(next(roots), setting.replications))
        for player in filter(installed, PLAYERS):
            for seeds in chunks:
                yield Piece(next(order), seeds, setting=setting, player=player)
    for trial in plan.trials:
        for seeds in _chunks(next(roots), trial.replications):
            yield Piece(next(order), seeds, trial=trial)


def _chunks(root: np.random.SeedSequence, replications: int) -> Iterator[Seeds]:
    seeds = root.spawn(replications)
    for start in range(0, replications, CHUNK):
        yield tuple(seeds[start : start + CHUNK])


def work(piece: Piece) -> Done:
    """Simulate one piece; runs in any process."""
    if piece.scenario is not None:
        return Done(piece, runs=tuple(replicate(piece.scenario, seed) for seed in piece.seeds))
    if piece.trial is not None:
        return Done(piece, tried=tuple(piece.trial.run(seed) for seed in piece.seeds))
    assert piece.setting is not None
    return Done(piece, regrets=tuple(regret(piece.setting, piece.player, seed) for seed in piece.seeds))


def _finished(todo: list[Piece], jobs: int) -> Iterator[Done]:
    """Pieces as they end; one job stays in this process."""
    if jobs == 1:
        yield from map(work, todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(work, piece) for piece in todo]):
            yield future.result()
