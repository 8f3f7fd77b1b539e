"""AIPW: a difference of rewards by the logged propensities, printed beside the deciding one as a cross-check.

Augmented inverse propensity weighting with adaptive weights (Hadad, Hirshberg, Zhan, Wager and Athey, arXiv
1911.02768, sections 2 and 4). Each rated unit of epoch e, on arm W with reward Y, scores

    D = m_b - m_a + 1{W = b} (Y - m_b) / p_eb - 1{W = a} (Y - m_a) / p_ea

with the frozen shares p_e, which are the propensities exactly, and the means m of earlier epochs. Given the past
its mean is the difference of the arms in that epoch, whatever the shares and the trend. Scores are weighted by
h_e = 1 / sqrt(1 / p_ea + 1 / p_eb), for two arms sqrt(p_ea p_eb), which keeps their variance about constant:

    estimate = sum h D / sum h,    variance = sum h^2 (D - estimate)^2 / (sum h)^2

The population is the units whose reward is known. Where feedback comes at different rates by arm the shares are
not their propensities any more and this estimate is wrong, while the deciding one, which compares means inside an
epoch, is not: that is why it never decides. It is normal, so it is not proof against peeking either.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from bandit.cells import Cells, Floats, Z
from experiments.inference.effects import SMALLEST_FREEDOM, single_requests
from experiments.inference.laws import normal_exceeded_by
from experiments.inference.not_enough import NotEnoughData


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """Candidate minus control."""

    value: float
    low: float
    high: float
    units: int
    """Units that score: rated ones of all arms, in epochs where both arms had a share."""


def aipw_difference(
    cells: Cells, shares: Floats, control: int, candidate: int, middle: float = 0.5, alpha: float = 0.05
) -> CrossCheck | NotEnoughData:
    """The estimate and its normal interval at level 1 - alpha; `middle` of the range stands for an unknown mean."""
    if not single_requests(cells):
        return NotEnoughData("units hold several requests; this estimate reads one reward per unit")
    scores = _Scores.of(cells, shares, (control, candidate), middle)
    if min(scores.units_by_arm) <= SMALLEST_FREEDOM:
        return NotEnoughData("too few units with a reward where both arms had a share")
    weight = float((scores.h * scores.n).sum())
    value = float((scores.h * scores.total).sum()) / weight
    squares = scores.squares - 2 * value * scores.total + value**2 * scores.n
    spread = float((scores.h**2 * np.maximum(squares, 0.0)).sum())
    if spread <= 0:
        return NotEnoughData("no variation: all outcomes of both arms are the same")
    reach = normal_exceeded_by(alpha / 2) * sqrt(spread) / weight
    return CrossCheck(value, value - reach, value + reach, int(scores.n.sum()))


@dataclass(frozen=True)
class _Scores:
    """Sums of the scores D and of their squares per epoch, out of cells."""

    n: Floats
    total: Floats
    squares: Floats
    h: Floats
    units_by_arm: tuple[float, float]

    @classmethod
    def of(cls, cells: Cells, shares: Floats, arms: tuple[int, int], middle: float) -> "_Scores":
        pair = list(arms)
        both = (shares[:, pair] > 0).all(axis=1)
        n, y, yy = (
            product[both] for product in (cells.n, cells.total(Z.TOTAL), cells.product(Z.TOTAL, Z.TOTAL))
        )
        p = shares[both][:, pair]
        means = _past_means(cells, middle)[both][:, pair]
        gap = means[:, 1] - means[:, 0]
        total, squares = n.sum(axis=1) * gap, n.sum(axis=1) * gap**2
        for column, sign in ((0, -1.0), (1, 1.0)):
            arm, mean, factor = pair[column], means[:, column], sign / p[:, column]
            off = factor * (y[:, arm] - n[:, arm] * mean)
            total = total + off
            squared = yy[:, arm] - 2 * mean * y[:, arm] + n[:, arm] * mean**2
            squares = squares + 2 * gap * off + factor**2 * squared
        h = 1 / np.sqrt((1 / p).sum(axis=1))
        return cls(n.sum(axis=1), total, squares, h, (float(n[:, pair[0]].sum()), float(n[:, pair[1]].sum())))


def _past_means(cells: Cells, middle: float) -> Floats:
    """Mean reward of each arm before each epoch, of all arms where it has none, and `middle` before any."""
    n, y = cells.n, cells.total(Z.TOTAL)
    units, total = np.cumsum(n, axis=0) - n, np.cumsum(y, axis=0) - y
    every, all_total = units.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
    pooled = np.where(every > 0, all_total / np.maximum(every, 1.0), middle)
    result: Floats = np.where(units > 0, total / np.maximum(units, 1.0), pooled)
    return result
