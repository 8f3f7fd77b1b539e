"""One calibration: every replication of every scenario, spread over the cores, seeded one by one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np

from evaluation.calibration.regret import PLAYERS, Setting, installed, regret, settings
from evaluation.calibration.scenarios import Scenario, nulls, powers
from evaluation.calibration.world import Run, replicate

CHUNK = 10
"""Replications that travel to a process together."""
Seeds = tuple[np.random.SeedSequence, ...]


@dataclass(frozen=True)
class Plan:
    """What to simulate."""

    scenarios: tuple[Scenario, ...]
    settings: tuple[Setting, ...] = ()
    seed: int = 20_261_120

    @classmethod
    def full(
        cls, of_nulls: int = 400, of_powers: int = 200, of_regret: int = 100, seed: int = 20_261_120
    ) -> "Plan":
        """Everything that docs/calibration.md reports."""
        return cls((*nulls(of_nulls), *powers(of_powers)), settings(of_regret), seed)


@dataclass
class Results:
    """Outcomes by scenario, and regrets by setting and player."""

    plan: Plan
    runs: dict[str, list[Run]] = field(default_factory=dict)
    regrets: dict[tuple[str, str], list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """Some replications of one scenario, or of one player in one setting."""

    order: int
    seeds: Seeds
    scenario: Scenario | None = None
    setting: Setting | None = None
    player: str = ""


@dataclass(frozen=True)
class Done:
    """A finished piece with either its runs or its regrets."""

    piece: Piece
    runs: tuple[Run, ...] = ()
    regrets: tuple[float, ...] = ()


def calibrate(plan: Plan, jobs: int = 1, on_done: Callable[[int], None] = lambda _: None) -> Results:
    """Run the plan; the same seed gives the same results whatever the number of jobs."""
    results, done = Results(plan), []
    for one in _finished(list(pieces(plan)), jobs):
        done.append(one)
        on_done(len(one.piece.seeds))
    for one in sorted(done, key=lambda each: each.piece.order):
        if one.piece.scenario is not None:
            results.runs.setdefault(one.piece.scenario.name, []).extend(one.runs)
        elif one.piece.setting is not None:
            results.regrets.setdefault((one.piece.setting.name, one.piece.player), []).extend(one.regrets)
    return results


def pieces(plan: Plan) -> Iterator[Piece]:
    """The work in a fixed order; players of one setting share their seeds, so they meet the same luck."""
    roots = np.random.SeedSequence(plan.seed).spawn(len(plan.scenarios) + len(plan.settings))
    order = 0
    for scenario, root in zip(plan.scenarios, roots, strict=False):
        for seeds in _chunks(root, scenario.replications):
            yield Piece(order, seeds, scenario=scenario)
            order += 1
    for setting, root in zip(plan.settings, roots[len(plan.scenarios) :], strict=True):
        chunks = list(_chunks(root, setting.replications))
        for player in filter(installed, PLAYERS):
            for seeds in chunks:
                yield Piece(order, seeds, setting=setting, player=player)
                order += 1


def _chunks(root: np.random.SeedSequence, replications: int) -> Iterator[Seeds]:
    seeds = root.spawn(replications)
    for start in range(0, replications, CHUNK):
        yield tuple(seeds[start : start + CHUNK])


def work(piece: Piece) -> Done:
    """Simulate one piece; runs in any process."""
    if piece.scenario is not None:
        return Done(piece, runs=tuple(replicate(piece.scenario, seed) for seed in piece.seeds))
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
