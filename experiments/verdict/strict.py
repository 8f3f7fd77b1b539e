"""Strict read-out: exact tests of a candidate's reward, for rewards that succeed or fail rarely.

The confidence sequences rest on means that are near normal, so they wait for 20 of the rarer outcomes in each
arm. The e-processes of experiments.inference.exact rest on nothing but the range of the reward and the units' being
single requests; with `decision.read_out: strict` they decide what is said of the reward. Their e-values are
products over epochs, so p at a look is already the smallest over all looks before it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bandit.cells import Cells
from experiments.definition.experiment import Experiment
from experiments.inference.exact import Blocks, EProcess, any_difference, not_worse
from experiments.inference.exact_interval import ExactInterval, exact_interval
from experiments.inference.not_enough import NotEnoughData

KEPT = 64
"""Comparisons whose answers are kept: a report is rendered each second, mature epochs come each few minutes."""


@dataclass(frozen=True, slots=True)
class ExactTest:
    """One null hypothesis about the reward."""

    p: float = 1.0
    """Always-valid, the smallest over all looks."""
    log_e: float = 0.0
    """ln of the e-value at the newest mature epoch."""


@dataclass(frozen=True, slots=True)
class ExactReward:
    """What decides a strict experiment about one candidate's reward; each field is named by what it shows."""

    not_worse: ExactTest = ExactTest()
    """Against "it loses the margin or more"."""
    worse: ExactTest = ExactTest()
    """Against "it loses the margin at most"."""
    better: ExactTest = ExactTest()
    """Against "it is not better"."""
    short: ExactTest = ExactTest()
    """Against "it is better by the mde or more"."""


def exact_reward(definition: Experiment, cells: Cells, arm: int, against: int = 0) -> ExactReward:
    """The deciding exact tests of `arm`; nothing is shown while there are no blocks to test."""
    blocks = blocks_of(definition, cells, arm, against)
    if isinstance(blocks, NotEnoughData):
        return ExactReward()
    margin, mde = _scaled(definition)
    return _deciding(_Key.of(blocks), margin, mde)


def exact_superiority(definition: Experiment, cells: Cells, arm: int, against: int) -> ExactTest:
    """Whether `arm` is better than another candidate; the elimination of a strict experiment."""
    blocks = blocks_of(definition, cells, arm, against)
    if isinstance(blocks, NotEnoughData):
        return ExactTest()
    return _superiority(_Key.of(blocks), _scaled(definition)[1])


def exact_difference(definition: Experiment, cells: Cells, arm: int) -> ExactTest | NotEnoughData:
    """Whether the candidate's reward differs from the control's at all; the p that is printed."""
    blocks = blocks_of(definition, cells, arm)
    if isinstance(blocks, NotEnoughData):
        return blocks
    return _difference(_Key.of(blocks), _scaled(definition)[1])


def exact_non_inferiority(definition: Experiment, cells: Cells, arm: int) -> ExactTest | NotEnoughData:
    """Whether a loss of the margin or more is ruled out, for experiments that are not strict."""
    blocks = blocks_of(definition, cells, arm)
    if isinstance(blocks, NotEnoughData):
        return blocks
    return _non_inferiority(_Key.of(blocks), _scaled(definition)[0])


def exact_p_values(definition: Experiment, cells: Cells, arm: int) -> dict[str, float]:
    """What a strict experiment remembers of one candidate's exact tests, by test."""
    if definition.decision.read_out != "strict":
        return {}
    difference = exact_difference(definition, cells, arm)
    not_worse = exact_reward(definition, cells, arm).not_worse
    plain = 1.0 if isinstance(difference, NotEnoughData) else difference.p
    return {"exact": plain, "exact_not_worse": not_worse.p}


def exact_range(
    definition: Experiment, cells: Cells, arm: int, alpha: float
) -> ExactInterval | NotEnoughData:
    """The exact interval of candidate minus control in reward units, held at all looks together."""
    blocks = blocks_of(definition, cells, arm)
    if isinstance(blocks, NotEnoughData):
        return blocks
    width = definition.reward.width
    found = _interval(_Key.of(blocks), _scaled(definition)[1], alpha)
    return ExactInterval(found.low * width, found.high * width)


def forget() -> None:
    """Drop the answers that are kept; nothing but time is lost."""
    for kept in (_deciding, _difference, _superiority, _non_inferiority, _interval):
        kept.cache_clear()


def blocks_of(definition: Experiment, cells: Cells, arm: int, against: int = 0) -> Blocks | NotEnoughData:
    """Mature epochs as blocks of rewards in [0, 1]."""
    return Blocks.of(cells, against, arm, definition.reward.range[0], definition.reward.width)


def _scaled(definition: Experiment) -> tuple[float, float]:
    """Margin and mde in widths of the reward's range; tests are tuned within (0, 1)."""
    width = definition.reward.width
    return (
        min(definition.objective.reward_margin / width, 1 - 1e-6),
        min(definition.decision.mde / width, 1 - 1e-6),
    )


@dataclass(frozen=True, slots=True)
class _Key:
    """Blocks as bytes: equal cells give equal keys, so an answer is computed once per mature epoch."""

    n: bytes
    s: bytes

    @classmethod
    def of(cls, blocks: Blocks) -> "_Key":
        return cls(blocks.n.tobytes(), blocks.s.tobytes())

    @property
    def blocks(self) -> Blocks:
        n, s = (np.frombuffer(each, dtype=np.float64).reshape(-1, 2) for each in (self.n, self.s))
        return Blocks(n, s)


@lru_cache(maxsize=KEPT)
def _deciding(key: _Key, margin: float, mde: float) -> ExactReward:
    blocks = key.blocks
    turned = blocks.reversed()
    return ExactReward(
        not_worse=_non_inferiority(key, margin),
        worse=_read(not_worse(turned, -margin)),
        better=_superiority(key, mde),
        short=_read(not_worse(turned, mde)),
    )


@lru_cache(maxsize=KEPT)
def _difference(key: _Key, mde: float) -> ExactTest:
    return _read(any_difference(key.blocks, mde))


@lru_cache(maxsize=KEPT)
def _superiority(key: _Key, mde: float) -> ExactTest:
    return _read(not_worse(key.blocks, 0.0, mde))


@lru_cache(maxsize=KEPT)
def _non_inferiority(key: _Key, margin: float) -> ExactTest:
    return _read(not_worse(key.blocks, margin))


@lru_cache(maxsize=KEPT)
def _interval(key: _Key, mde: float, alpha: float) -> ExactInterval:
    return exact_interval(key.blocks, mde, alpha)


def _read(process: EProcess) -> ExactTest:
    p = process.p_values
    return ExactTest(float(p[-1]) if p.size else 1.0, float(process.latest))
