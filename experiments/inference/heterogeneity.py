"""Heterogeneity: whether a candidate's effect differs between epochs, shown as a warning."""

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells, Z
from experiments.inference.effects import SMALLEST_FREEDOM, VARIANCE_FLOOR, single_requests
from experiments.inference.laws import chi_square_above


def heterogeneity_p(cells: Cells, control: int, candidate: int, width: float = 1.0) -> float | None:
    """p of equal effects in all epochs, or None without enough data, or where units hold several requests.

        Q = sum_e w_e (D_e - estimate)^2 against chi-square with E - 1 degrees of freedom (Cochran 1954)

    with the weights of the stratified mean difference. Small epochs make it approximate.
    """
    pair = cells.arms(control, candidate)
    kept: NDArray[np.bool_] = np.all(pair.n >= 2, axis=1)
    pair = pair[kept]
    n, total = pair.n, pair.total(Z.TOTAL)
    if len(n) < 2 or not single_requests(pair) or (n - 1).sum(axis=0).min() < SMALLEST_FREEDOM:
        return None
    within = (pair.product(Z.TOTAL, Z.TOTAL) - total**2 / n).sum(axis=0) / (n - 1).sum(axis=0)
    weights = 1 / (within.clip(min=VARIANCE_FLOOR * width**2) / n).sum(axis=1)
    means = total / n
    difference = means[:, 1] - means[:, 0]
    estimate = weights @ difference / weights.sum()
    return chi_square_above(float(weights @ (difference - estimate) ** 2), len(n) - 1)
