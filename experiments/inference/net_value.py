"""Net value: what a request is worth in dollars, value_usd * reward - cost, as one metric.

A linear map of the units' vectors makes it, so cells of reward and cost give cells of net value, and its differences
are tested like those of any other mean: reward and cost of one unit are correlated, and their joint cells know how.
"""

from collections.abc import Sequence as Series

import numpy as np

from bandit.cells import SIZE, Cells, Z
from experiments.inference.effects import differences
from experiments.inference.sequence import Estimate


def net_values(cells: Cells, value_usd: float) -> Cells:
    """Cells whose metric is the net value, from joint cells of reward and cost."""
    matrix = np.eye(SIZE)
    matrix[Z.TOTAL, Z.TOTAL], matrix[Z.TOTAL, Z.COST] = value_usd, -1.0
    return cells.mapped(matrix)


def net_value_differences(
    cells: Cells, against: int, arms: Series[int], value_usd: float, width: float = 1.0
) -> tuple[Estimate, ...]:
    """Each arm minus `against` in US dollars of net value per request; `width` is the range of the reward.

    Costs have no range; the variance is floored at what rewards that were all alike so far may still have.
    """
    return differences(net_values(cells, value_usd), against, arms, value_usd * width)
