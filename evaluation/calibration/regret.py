"""Regret: reward lost against always serving the best arm, for our allocation and for other libraries'.

All players serve epochs of 100 requests with shares that are frozen inside the epoch, and learn at its end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin
from typing import Protocol

import numpy as np

from bandit.allocation import Allocation, allocate
from bandit.cells import Cells, Floats
from bandit.objectives import Objective
from bandit.shares import with_floor
from evaluation.calibration.libraries import Mabwiser, VowpalWabbit, version

BATCH = 100
COST_USD = 0.01
TEN = (0.60, 0.58, 0.55, 0.55, 0.50, 0.50, 0.45, 0.40, 0.35, 0.30)


class Player(Protocol):
    """A bandit that serves an epoch and learns from it."""

    def counts(self, requests: int) -> list[int]:
        """How many of the next requests go to each arm."""

    def learn(self, counts: list[int], wins: list[int]) -> None:
        """Take in what came of them."""


@dataclass(frozen=True)
class Setting:
    """True rates per epoch and arm, and the options of our allocation."""

    name: str
    title: str
    rates: tuple[tuple[float, ...], ...]
    bar: float
    """Mean regret that is promised, in rewards."""
    replications: int
    forgetting: float = 1.0
    floor: float = 0.0

    @property
    def arms(self) -> int:
        """Number of arms."""
        return len(self.rates[0])


def settings(replications: int) -> tuple[Setting, ...]:
    """The four settings of the promise."""
    half = (0.70, 0.60, 0.55), (0.45, 0.60, 0.55)
    waves = tuple(0.15 * sin(6 * pi * epoch / 200) for epoch in range(200))
    return (
        Setting("two", ".50 .55, 10,000 requests", ((0.50, 0.55),) * 100, 40.0, replications),
        Setting("ten", "ten arms .60 to .30, 20,000 requests", (TEN,) * 200, 230.0, replications),
        Setting("drop", "an arm drops from .70 to .45 half way, 20,000 requests",
                (half[0],) * 100 + (half[1],) * 100, 350.0, replications, 0.98, 0.02),
        Setting("waves", "common sine of .15 on .50 .55, 20,000 requests",
                tuple((0.50 + wave, 0.55 + wave) for wave in waves), 85.0, replications, 0.98, 0.02),
    )  # fmt: skip


class Ours:
    """`bandit.allocation.allocate` on cells, as the tick calls it, with the setting's floor and forgetting."""

    def __init__(self, setting: Setting, random: np.random.Generator) -> None:
        self._floors = np.full(setting.arms, setting.floor)
        self._random = random
        self._sums: list[Floats] = []
        self._settings = Allocation(
            Objective("reward"), (COST_USD,) * setting.arms, phi=0.0, forgetting=setting.forgetting
        )

    def counts(self, requests: int) -> list[int]:
        """Assignment by hash is a multinomial draw from the shares."""
        arms = self._floors.size
        cells = Cells(np.stack(self._sums)) if self._sums else Cells.empty(0, arms)
        shares = allocate(cells, self._settings, (1, len(self._sums) + 1))
        split: list[int] = self._random.multinomial(requests, with_floor(shares, self._floors)).tolist()
        return split

    def learn(self, counts: list[int], wins: list[int]) -> None:
        """One more epoch of cells."""
        z = np.zeros((1, len(counts), 15))
        for arm, (n, w) in enumerate(zip(counts, wins, strict=True)):
            c, cc = n * COST_USD, n * COST_USD**2
            z[0, arm] = (n, n, w, c, 0, n, w, c, 0, w, w * COST_USD, 0, cc, 0, 0)
        self._sums.append(Cells.from_triangles(z).sums[0])


Maker = Callable[[Setting, np.random.Generator], Player]


def _mabwiser(setting: Setting, random: np.random.Generator) -> Player:
    return Mabwiser(setting.arms, random)


def _vowpal_wabbit(setting: Setting, random: np.random.Generator) -> Player:
    return VowpalWabbit(setting.arms, setting.floor, random)


PLAYERS: dict[str, tuple[Maker, str]] = {
    "Pointsman": (Ours, ""),
    "mabwiser": (_mabwiser, "mabwiser"),
    "Vowpal Wabbit": (_vowpal_wabbit, "vowpalwabbit"),
}
"""How to make each player, and the package that it needs."""


def installed(player: str) -> bool:
    """Whether the player's package is here."""
    package = PLAYERS[player][1]
    return not package or version(package) is not None


def regret(setting: Setting, player: str, seed: np.random.SeedSequence) -> float:
    """Expected regret of one run: true rates decide it, so luck of single rewards adds no noise."""
    children = (np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, part)) for part in (0, 1))
    outcomes, own = (np.random.default_rng(child) for child in children)
    served = PLAYERS[player][0](setting, own)
    lost = 0.0
    for rates in setting.rates:
        counts = served.counts(BATCH)
        wins = outcomes.binomial(counts, rates).tolist()
        served.learn(counts, wins)
        lost += sum(n * (max(rates) - rate) for n, rate in zip(counts, rates, strict=True))
    return lost
