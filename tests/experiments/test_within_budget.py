"""The p and the e-value of a budget speak of costs below it, and a learning bandit falls back on the control."""

from math import log

import numpy as np
import pytest

from bandit.allocation import Allocation
from bandit.cells import Cells, Z
from bandit.learning import learn_shares
from bandit.objectives import Objective
from tests.experiments.looks import Arm, Trial, experiment


@pytest.mark.parametrize(("cost_usd", "within"), [(0.010, True), (0.040, False)])
def test_the_evidence_for_a_budget_grows_below_it_only(cost_usd: float, within: bool) -> None:
    """Turned around, a candidate of twice the budget would be the surest to keep it."""
    planned = experiment(objective={"kind": "budget", "budget_usd": 0.02})
    (one,) = Trial(planned).epochs_of(8, Arm(500, 400, 0.02), Arm(500, 450, cost_usd)).look().comparisons
    spent = one.spending
    assert spent is not None
    assert (spent.kept, spent.broken) == (within, not within)
    assert (spent.p_within < 0.05) is within
    assert (spent.log_e_within > log(20)) is within


def test_where_nobody_is_good_enough_the_control_leads() -> None:
    """It serves elsewhere too; without it a draw that nobody satisfies would be shared by chance."""
    sums = np.zeros((6, 3, len(Z), len(Z)))
    sums[..., : Z.TOTAL, : Z.TOTAL] = 200.0
    sums[..., Z.TOTAL, : Z.TOTAL] = sums[..., : Z.TOTAL, Z.TOTAL] = sums[..., Z.TOTAL, Z.TOTAL] = 100.0
    objective = Objective("cheapest_non_inferior", min_reward=0.95)
    shares = learn_shares(Cells(sums), Allocation(objective, (0.001, 0.001, 0.01), control=2), (1, 2))
    assert shares[2] == pytest.approx(0.4 / 3 + 0.6 * 0.5, abs=0.01)
