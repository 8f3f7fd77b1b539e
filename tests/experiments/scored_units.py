"""Single-request units with scores, covariates and uneven costs, as cells that stores keep."""

from collections.abc import Sequence

import numpy as np

from bandit.cells import UPPER, Floats
from experiments.evidence.units import COST, ERROR, PRIMARY, UNCAPPED, UNCLIPPED, CellRow
from tests.experiments.looks import Arm, Trial

SIZE = 200
"""Units an arm and epoch."""


def scored(
    trial: Trial,
    epochs: int,
    seed: int,
    slope: float = 0.3,
    effect: float = 0.0,
    cap: float | None = None,
    clip: Sequence[float] = (0.0, 1.0),
) -> Trial:
    """Further epochs of two arms whose reward follows a covariate; rewards and costs are kept raw too."""
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        trial.epoch(Arm(SIZE, 0), Arm(SIZE, 0))
        del trial.rows[-2:]
        for arm in (0, 1):
            x = random.normal(0, 1, SIZE)
            raw = 0.5 + slope * x / 3 + random.normal(0, 0.1, SIZE) + effect * arm
            cost = random.lognormal(-5, 1.0, SIZE)
            capped = cost if cap is None else np.minimum(cost, cap)
            moments = {
                PRIMARY: sums_of(np.clip(raw, *clip), capped, x), UNCLIPPED: sums_of(raw, capped, x),
                COST: sums_of(capped, capped, x), UNCAPPED: sums_of(cost, cost, x), ERROR: sums_of(0 * x, capped, x),
            }  # fmt: skip
            counts = (SIZE, SIZE, SIZE, 0, SIZE, 0, 0)
            trial.rows.append(CellRow(len(trial.epochs), arm, counts, moments))
    return trial


def sums_of(y: Floats, cost: Floats, x: Floats) -> tuple[float, ...]:
    """Upper triangle of sum(z z') over units of one request each."""
    z = np.stack([np.ones_like(y), np.ones_like(y), y, cost, x])
    return tuple((z @ z.T)[UPPER].tolist())
