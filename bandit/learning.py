"""Allocation in mode learn: find the winner fast, by splitting traffic between the leader and its challengers.

Top-two Thompson sampling (Russo, arXiv 1602.08448) on the same posterior and objective as mode earn. Half of the
traffic goes to the arm that a draw calls best, half to the best of the others, so that the leader does not
starve the comparison that decides. Arms that the evidence has ruled out are dropped by the caller.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import log_ndtr

from bandit.allocation import Allocation, posterior
from bandit.best import best_of_draws
from bandit.cells import Cells, Floats
from bandit.costs import Costs, costs
from bandit.floors import OPEN_TOTAL
from bandit.objectives import scores
from bandit.score_draws import joint_draws
from bandit.shares import Shares, capped, checked, top_two, with_floor

BETA = 0.5
PSEUDO_DRAWS = 8.0
"""Draws that the normal approximation of the challengers' chances counts for."""


def learn_shares(
    cells: Cells,
    settings: Allocation,
    seed: Sequence[int],
    cost_cells: Cells | None = None,
    beta: float = BETA,
) -> Shares:
    """Shares of the next epoch: top-two of P(best), mixed with floors .4 / K over K live arms, then caps.

    The floors are the same for every arm, whatever it costs: each is there to be compared. Arguments are
    those of `bandit.allocation.allocate`.
    """
    live = settings.live()
    if cells.sums.shape[1] != live.size:
        raise ValueError(
            f"cells have {cells.sums.shape[1]} arms, the price list {live.size}; give one cost per arm"
        )
    if live.sum() == 1:
        return live.astype(np.float64)
    billed = costs(cells if cost_cells is None else cost_cells, np.array(settings.list_costs_usd))
    drawn = _scored(cells, settings, billed, np.random.default_rng(list(seed)))
    best = np.zeros(live.size)
    best[live] = steadied(drawn[:, live])
    shares = with_floor(top_two(best, beta), np.where(live, OPEN_TOTAL / live.sum(), 0.0))
    if settings.caps is None:
        return shares
    return checked(capped(shares, np.where(live, np.array(settings.caps), 0.0)))


def steadied(drawn: Floats) -> Floats:
    """P(best) from joint score draws, with chances below what draws resolve filled in for the challengers.

    Once the leader wins all draws, its challengers are ordered by ln P(score_k > score_leader) of the normal
    with the draws' moments. This counts as few further draws: where draws speak, they decide.

    >>> drawn = np.tile([[3.0, 1.0, 2.0], [3.2, 0.8, 2.4], [2.9, 1.1, 2.2]], (1000, 1))
    >>> steadied(drawn).argsort().tolist()
    [1, 2, 0]
    """
    best = best_of_draws(drawn)
    if not np.isfinite(drawn).all():
        return best
    leader = int(best.argmax())
    ahead = drawn[:, leader, None] - drawn
    spread = np.maximum(ahead.std(axis=0), np.finfo(np.float64).tiny)
    tail = log_ndtr(np.clip(-ahead.mean(axis=0) / spread, -1e150, 1e150))
    tail[leader] = -np.inf
    weights = np.exp(tail - tail.max())
    counted = drawn.shape[0] * best + PSEUDO_DRAWS * weights / weights.sum()
    result: Floats = counted / counted.sum()
    return result


def _scored(cells: Cells, settings: Allocation, billed: Costs, generator: np.random.Generator) -> Floats:
    """Scores of joint draws; a draw in which no arm is good enough elects the control."""
    drawn = joint_draws(posterior(cells, settings), billed, generator, settings.draws)
    control = settings.control
    scored = scores(settings.objective, drawn.rewards, drawn.costs_usd, control).astype(np.float64)
    scored[:, control] = np.maximum(scored[:, control], np.finfo(np.float64).min)
    return scored
