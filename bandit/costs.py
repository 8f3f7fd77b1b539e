"""Costs: what a request costs on each arm, from the price list first and from its own bills soon.

The fit has one common factor per epoch (longer prompts at night raise every arm's cost) and one cost per
arm. The price list enters as five requests on every arm, at the level of the bills so far: before any traffic
it is all there is, and a list that misjudges the length of all answers alike does no harm later.
"""

from dataclasses import dataclass

import numpy as np

from bandit.cells import Cells, Floats, Z
from bandit.contrast import RECENT
from bandit.within import Within, within

PRIOR_REQUESTS = 5.0
PRIOR_VARIATION = 1.0
"""Coefficient of variation of a request's cost before any is known; weighs as PRIOR_REQUESTS requests."""
SMALLEST_USD = 1e-9
ROUNDS = 20
CLOSE = 1e-6


@dataclass(frozen=True)
class Costs:
    """Cost per request on each arm, in US dollars at the recent level, with its uncertainty."""

    mean_usd: Floats
    log_sd: Floats
    """Standard deviation of the logarithm of `mean_usd`."""

    def draws(self, normals: Floats) -> Floats:
        """Draws mean_usd * exp(log_sd z), (2 draws, arms), from normals of shape (draws, arms) with both signs.

        All are above zero and have the precision of the normals; that of -z is the inverse.
        """
        kind, count = normals.dtype, len(normals)
        mean_usd, both = (
            self.mean_usd.astype(kind)[:, None],
            np.empty((self.mean_usd.size, 2 * count), dtype=kind),
        )
        factor = np.exp(self.log_sd.astype(kind)[:, None] * normals.T)
        np.multiply(mean_usd, factor, out=both[:, :count])
        np.divide(mean_usd, factor, out=both[:, count:])
        return both.T


def costs(cells: Cells, list_usd: Floats) -> Costs:
    """Stratified mean cost per request of each arm; `list_usd` is its expected cost by the price list.

    Model: the cost of n requests of arm k in epoch e is n * factor_e * c_k. Solving sum_e C_ek =
    c_k sum_e n_ek factor_e and sum_k C_ek = factor_e sum_k n_ek c_k in turn compares arms inside epochs only.
    """
    arms = cells.sums.shape[1]
    if list_usd.shape != (arms,) or not np.isfinite(list_usd).all() or (list_usd < 0).any():
        raise ValueError(
            f"list_usd == {list_usd.tolist()}, must be {arms} finite costs >= 0, one for each arm"
        )
    bills = within(cells, Z.COST)
    relative = _relative(bills, _at_billed_level(list_usd, bills))
    mean = np.maximum(relative * _level(bills, relative), SMALLEST_USD)
    return Costs(mean, _log_sd(bills))


def _at_billed_level(list_usd: Floats, bills: Within) -> Floats:
    """The price list times the factor that explains the sum of all bills so far."""
    listed = np.maximum(list_usd, SMALLEST_USD)
    billed = float(bills.totals.sum())
    return listed * (billed / float(bills.requests.sum(axis=0) @ listed)) if billed > 0 else listed


def _relative(bills: Within, listed: Floats) -> Floats:
    """Costs of the arms, each pulled towards its listed cost by PRIOR_REQUESTS, at the level of all epochs."""
    per_epoch, per_arm = bills.totals.sum(axis=1), bills.totals.sum(axis=0) + PRIOR_REQUESTS * listed
    relative: Floats = per_arm / (bills.requests.sum(axis=0) + PRIOR_REQUESTS)
    for _ in range(ROUNDS):
        expected = bills.requests @ relative
        factor = per_epoch / np.where(expected > 0, expected, 1.0)
        before, relative = relative, per_arm / (factor @ bills.requests + PRIOR_REQUESTS)
        if np.abs(relative - before).max() <= CLOSE * relative.max():
            break
    return relative


def _level(bills: Within, relative: Floats) -> float:
    """Common factor of the last epochs with bills; one while there is none."""
    filled = np.flatnonzero(bills.totals.any(axis=1))[-RECENT:]
    if filled.size == 0:
        return 1.0
    return float(bills.totals[filled].sum() / (bills.requests[filled] @ relative).sum())


def _log_sd(bills: Within) -> Floats:
    """sqrt(cv^2 / n) with the prior counted in; residuals count relative to the arm's mean cost."""
    requests, spent = bills.requests.sum(axis=0), bills.totals.sum(axis=0)
    mean = spent / np.maximum(requests, 1.0)
    scale = np.where(mean > 0, mean, 1.0) ** 2
    variation = (bills.squares.sum(axis=0) / scale + PRIOR_REQUESTS * PRIOR_VARIATION**2) / (
        bills.freedom.sum(axis=0) + PRIOR_REQUESTS
    )
    result: Floats = np.sqrt(variation / (requests + PRIOR_REQUESTS))
    return result
