"""Allocation in mode earn: from the cells of an experiment to the shares of its next epoch.

Objective `budget` has a split of its own, bandit.budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells
from bandit.contrast import Contrasts, contrasts
from bandit.costs import costs
from bandit.floors import PHI, after_floors, open_floors
from bandit.objectives import DRAWS, Objective, chance_best
from bandit.priors import Prior
from bandit.shares import Shares, capped, checked, thompson, with_floor
from bandit.within import pooled_variance, within

AFTER_VERDICT = 0.02
"""Largest floor of an arm once a promotion is declared."""


@dataclass(frozen=True)
class Allocation:
    """Everything but the cells that decides the shares; one entry per arm in the tuples."""

    objective: Objective
    list_costs_usd: tuple[float, ...]
    """Expected cost per request by the price list."""
    control: int = 0
    dropped: tuple[int, ...] = ()
    """Arms that get no traffic any more."""
    caps: tuple[float, ...] | None = None
    """Most that an arm may get while it ramps up; a cap beats a floor."""
    phi: float = PHI
    """Share of spend allowed for exploration; 0 leaves plain Thompson sampling."""
    prior_sd: float = 0.3
    """Standard deviation of the prior of a contrast, in widths of the reward's range."""
    prior: Prior | None = None
    """What else is believed before any traffic; `prior_sd` around the middle of the range where there is nothing."""
    forgetting: float = 1.0
    """What is left of evidence after 100 further requests; 1 forgets nothing, .98 follows drift of single arms."""
    decided: bool = False
    """The question is answered: floors guard against changes only, and no test waits for the control's units."""
    draws: int = DRAWS

    def live(self) -> NDArray[np.bool_]:
        """Whether each arm may get traffic."""
        live = np.ones(len(self.list_costs_usd), dtype=bool)
        live[list(self.dropped)] = False
        if not live.any():
            raise ValueError(f"dropped == {self.dropped}, must leave one of {live.size} arms")
        return live


def allocate(
    cells: Cells, settings: Allocation, seed: Sequence[int], cost_cells: Cells | None = None
) -> Shares:
    """Thompson shares on stratified contrasts, with cost-aware floors, then caps.

    `seed` is (experiment id, number of the epoch to open): the same evidence gives the same shares on every
    node. `cost_cells` are cells of the cost metric where they know more than the reward's cells, or only the
    epochs of the current prices.
    """
    live = settings.live()
    if cells.sums.shape[1] != live.size:
        raise ValueError(
            f"cells have {cells.sums.shape[1]} arms, the price list {live.size}; give one cost per arm"
        )
    if live.sum() == 1:
        return live.astype(np.float64)
    billed = costs(cells if cost_cells is None else cost_cells, np.array(settings.list_costs_usd))
    best = chance_best(
        settings.objective,
        posterior(cells, settings),
        billed,
        live,
        np.random.default_rng(list(seed)),
        settings.control,
        settings.draws,
    )
    shares = thompson(best)
    if settings.decided:
        floors = after_floors(shares, billed.mean_usd, live, AFTER_VERDICT, settings.phi)
    else:
        floors = open_floors(billed.mean_usd, live, settings.control, settings.phi)
    shares = with_floor(shares, floors)
    return shares if settings.caps is None else _ramped(shares, settings.caps, live)


def posterior(cells: Cells, settings: Allocation) -> Contrasts:
    """Posterior of the arms' rewards per request."""
    width = settings.objective.width
    rewards = within(cells)
    return contrasts(
        rewards.requests,
        rewards.totals,
        pooled_variance(rewards, width),
        prior_sd=settings.prior_sd * width,
        forgetting=settings.forgetting,
        prior_level=settings.objective.low + width / 2,
        prior=settings.prior,
    )


def _ramped(shares: Shares, caps: Sequence[float], live: NDArray[np.bool_]) -> Shares:
    return checked(capped(shares, np.where(live, np.array(caps), 0.0)))
