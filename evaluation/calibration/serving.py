"""Serving: long runs of one experiment through the very tick, for bars about decisions, money and rewards.

Epochs of a fixed size are closed one after the other; every share comes from the tick's next epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, log1p, sqrt

import numpy as np

from evaluation.calibration.scenarios import Scenario, declared, flat
from evaluation.calibration.world import START_MS, World
from experiments.definition.experiment import Experiment
from experiments.definition.first_shares import first_shares
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import COST, ERROR, PRIMARY, CellRow, Triangle
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, tick
from experiments.verdict.verdict import Kind

TEN_ARMS = (0.57, 0.60, 0.55, 0.55, 0.50, 0.50, 0.45, 0.40, 0.35, 0.30)
"""The champion of today is the second best; the best is a candidate."""
EPOCH = 200
HOUR_MS = 3_600_000
_DECIDED = (Kind.PROMOTE, Kind.NEEDS_REVIEW, Kind.ROLL_BACK, Kind.STOP_FUTILE)


@dataclass(frozen=True)
class Decided:
    """How a run in mode learn ended."""

    requests: int
    """Assigned when it ended, the last epoch among them."""
    candidate: str | None
    """Promoted candidate; None where there was none."""

    @property
    def right(self) -> bool:
        """Whether the best of TEN_ARMS was promoted."""
        return self.candidate == "arm-1"


def decide(seed: np.random.SeedSequence, most: int = 60_000, epoch: int = EPOCH) -> Decided:
    """Mode learn on TEN_ARMS at equal costs, a look at every epoch, until there is a verdict."""
    definition = declared(
        len(TEN_ARMS),
        margin=0.03,
        mode="learn",
        objective={"kind": "reward"},
        decision={"mde": 0.03, "max_units": 1_000_000},
    )
    gaps = tuple(rate - TEN_ARMS[0] for rate in TEN_ARMS)
    scenario = Scenario(
        "learn", "ten arms in mode learn", "power", definition, flat(TEN_ARMS[0], most // epoch), gaps,
        (0.01,) * len(gaps), 1, epoch,
    )  # fmt: skip
    world = World(scenario, np.random.default_rng(seed))
    for served in range(epoch, most + 1, epoch):
        verdict = world.look().verdict
        if verdict.kind in _DECIDED:
            return Decided(served, verdict.candidate)
    return Decided(most, None)


@dataclass(frozen=True)
class Served:
    """What a run brought, by epoch."""

    rewards: tuple[float, ...]
    """Expected rewards of what was served."""
    spend_usd: tuple[float, ...]
    """Spent, as billed."""
    shares: tuple[tuple[float, ...], ...]
    dropped: tuple[int, ...]
    epoch: int

    def reward(self, skip: int = 0) -> float:
        """Mean reward per request from epoch `skip` on."""
        return sum(self.rewards[skip:]) / (self.epoch * len(self.rewards[skip:]))

    def spend(self, until: int | None = None) -> float:
        """Mean cost per request of the first epochs."""
        spent = self.spend_usd[:until]
        return sum(spent) / (self.epoch * len(spent))


def serve(
    definition: Experiment,
    rates: Sequence[float],
    costs_usd: Sequence[float],
    seed: np.random.SeedSequence,
    epochs: int = 200,
    epoch: int = EPOCH,
    list_costs_usd: Sequence[float] | None = None,
    variation: float = 1.0,
) -> Served:
    """Steady rates and lognormal costs; `list_costs_usd` is what the price list says of them."""
    random = np.random.default_rng(seed)
    listed = tuple(costs_usd if list_costs_usd is None else list_costs_usd)
    standing = Standing(1, START_MS, (), Progress(), listed, "v1")
    history = [Epoch(1, 1, START_MS, first_shares(definition, listed), price_version="v1")]
    rows: list[CellRow] = []
    rewards, spend = [], []
    for number in range(1, epochs + 1):
        current = history[-1]
        sizes = random.multinomial(epoch, current.shares).tolist()
        rewards.append(sum(n * rate for n, rate in zip(sizes, rates, strict=True)))
        spend.append(0.0)
        for arm, n in enumerate(sizes):
            if n:
                row, spent = _row(random, number, arm, n, rates[arm], costs_usd[arm], variation)
                rows.append(row)
                spend[-1] += spent
        now_ms = START_MS + number * HOUR_MS
        seen = tick(definition, gather(history, rows, len(sizes)), standing, now_ms)
        dropped = tuple(sorted({*standing.dropped, *seen.dropped}))
        standing = replace(standing, progress=seen.progress, dropped=dropped)
        shares = seen.next_epoch.shares if seen.next_epoch is not None else current.shares
        history[-1] = replace(current, closed_at_ms=now_ms)
        history.append(Epoch(1, number + 1, now_ms, shares, price_version="v1"))
    served = tuple(each.shares for each in history[:-1])
    return Served(tuple(rewards), tuple(spend), served, standing.dropped, epoch)


def _row(
    random: np.random.Generator, number: int, arm: int, n: int, rate: float, cost_usd: float, variation: float
) -> tuple[CellRow, float]:
    """A cell of units of one request, whose cost says nothing of their reward; and what they cost."""
    sigma = sqrt(log1p(variation**2))
    costs = random.lognormal(log(cost_usd) - sigma**2 / 2, sigma, n)
    wins = int(random.binomial(n, rate))
    c, cc, wc = float(costs.sum()), float(costs @ costs), float(costs[:wins].sum())
    moments: dict[str, Triangle] = {
        PRIMARY: (n, n, wins, c, 0.0, n, wins, c, 0.0, wins, wc, 0.0, cc, 0.0, 0.0),
        COST: (n, n, c, c, 0.0, n, c, c, 0.0, cc, cc, 0.0, cc, 0.0, 0.0),
        ERROR: (n, n, 0.0, c, 0.0, n, 0.0, c, 0.0, 0.0, 0.0, 0.0, cc, 0.0, 0.0),
    }
    return CellRow(number, arm, (n, n, n, 0, n, 0, 0), moments), c
