"""CUPED: a difference of rewards with what a covariate explains taken out of it.

A covariate X is known before a unit is assigned, so it cannot differ between arms but by chance; taking theta X
off the reward removes noise and no effect (Deng, Xu, Kohavi and Walker 2013, WSDM, section 3.2). The slope is
that of the residuals within cells (epoch and arm), pooled over all of them, so neither a trend nor an effect
enters it:

    theta = sum cov(Y - r N, X) / sum var(X),    Y' = Y - theta (X - mean of X in the epoch, over all arms)

with r the reward per request of all units. With one request per unit that is the usual regression; units of
several requests keep their rate, reward per request, and the slope is that of the rate's residuals. Taking off
the epoch's mean leaves the level of the reward where it was.
"""

from dataclasses import dataclass

import numpy as np

from bandit.cells import Cells, Z

SMALLEST_RATIO = 1e-12
"""Of the covariate's squares: less variation within cells than that is rounding."""


@dataclass(frozen=True)
class Adjusted:
    """Cells whose metric total is adjusted; every estimator of differences reads them like plain ones."""

    cells: Cells
    slope: float
    """theta: reward per unit of the covariate."""
    variance_reduction: float
    """Share of the variance within cells that the covariate explains, from 0 to 1."""


def has_covariate(cells: Cells) -> bool:
    """Whether any unit brought one."""
    return bool((cells.product(Z.COVARIATE, Z.COVARIATE) > 0).any())


def adjusted(cells: Cells) -> Adjusted:
    """The cells with the covariate's part taken out; the same cells where it does not vary within them.

    Y' is linear in z = (1, N, Y, C, X), so the adjusted moments are M S M' with one matrix M per epoch.
    """
    slope, reduction = _slope(cells)
    if slope == 0:
        return Adjusted(cells, 0.0, 0.0)
    units = cells.n.sum(axis=1)
    mean = cells.total(Z.COVARIATE).sum(axis=1) / np.maximum(units, 1.0)
    mapping = np.tile(np.eye(len(Z)), (len(mean), 1, 1))
    mapping[:, Z.TOTAL, Z.COVARIATE] = -slope
    mapping[:, Z.TOTAL, Z.UNIT] = slope * mean
    sums = mapping[:, None] @ cells.sums @ mapping[:, None].swapaxes(-1, -2)
    return Adjusted(Cells((sums + sums.swapaxes(-1, -2)) / 2), slope, reduction)


def _slope(cells: Cells) -> tuple[float, float]:
    """theta, and the squared correlation of covariate and residual within cells."""
    n = np.maximum(cells.n, 1.0)

    def within(one: Z, other: Z) -> float:
        return float((cells.product(one, other) - cells.total(one) * cells.total(other) / n).sum())

    squares = within(Z.COVARIATE, Z.COVARIATE)
    if squares <= SMALLEST_RATIO * float(cells.product(Z.COVARIATE, Z.COVARIATE).sum()):
        return 0.0, 0.0
    requests = float(cells.total(Z.REQUESTS).sum())
    rate = float(cells.total(Z.TOTAL).sum()) / requests if requests > 0 else 0.0
    together = within(Z.TOTAL, Z.COVARIATE) - rate * within(Z.REQUESTS, Z.COVARIATE)
    spread = (
        within(Z.TOTAL, Z.TOTAL)
        - 2 * rate * within(Z.TOTAL, Z.REQUESTS)
        + rate**2 * within(Z.REQUESTS, Z.REQUESTS)
    )
    explained = together**2 / squares / spread if spread > 0 else 0.0
    return together / squares, min(max(explained, 0.0), 1.0)
