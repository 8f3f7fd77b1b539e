"""P(best): the probability of each arm to have the highest score, from posteriors or joint draws."""

import numpy as np
from scipy.special import betainc, ndtr

from bandit.cells import Floats

GRID = 1_024
"""Grid points per Beta posterior."""
REACH = 8.0
"""Standard deviations of a Beta posterior that its grid covers on either side."""
NODES = np.linspace(-4.5, 4.5, 65)
NODE_WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


def best_of_betas(alphas: Floats, betas: Floats) -> Floats:
    """P(best) of independent Beta posteriors.

    P_k = sum_g [F_k(x_{g+1}) - F_k(x_g)] prod_{j != k} (F_j(x_g) + F_j(x_{g+1})) / 2 on the sorted union
    of one grid per arm: on a common grid a narrow posterior beside a wide one falls between two points.

    >>> best_of_betas(np.array([1.0, 3.0]), np.array([1.0, 1.0])).round(4).tolist()
    [0.25, 0.75]
    """
    if alphas.shape != betas.shape or alphas.size == 0 or not _positive(alphas) or not _positive(betas):
        raise ValueError(
            f"alphas == {alphas.tolist()}, betas == {betas.tolist()}, must be finite and > 0, one per arm"
        )
    below = betainc(alphas[:, None], betas[:, None], _union_grid(alphas, betas))
    steps = np.diff(below, axis=1)
    others = _products_of_others((below[:, 1:] + below[:, :-1]) / 2)
    chance: Floats = (steps * others).sum(axis=1)
    result: Floats = chance / chance.sum()
    return result


def best_of_normals(means: Floats, sds: Floats) -> Floats:
    """P(best) of independent normal posteriors; a standard deviation of zero is a known score.

    P_k = sum_g w_g prod_{j != k} Phi((mu_k + sd_k z_g - mu_j) / sd_j), z on 65 points of [-4.5, 4.5].

    >>> best_of_normals(np.array([0.0, 1.0]), np.array([1.0, 1.0])).round(3).tolist()
    [0.24, 0.76]
    """
    if means.shape != sds.shape or means.size == 0 or not np.isfinite(means).all() or not _positive(sds + 1):
        raise ValueError(f"means == {means.tolist()}, sds == {sds.tolist()}, must be finite, one per arm")
    if sds.min() < 0:
        raise ValueError(f"sds == {sds.tolist()}, must be >= 0")
    points = means[:, None] + sds[:, None] * NODES
    gaps = points[:, None, :] - means[None, :, None]
    spread = np.where(sds > 0, sds, 1.0)[None, :, None]
    below = np.where(sds[None, :, None] > 0, ndtr(gaps / spread), (1 + np.sign(gaps)) / 2)
    below[np.arange(means.size), np.arange(means.size)] = 1.0
    chance = below.prod(axis=1) @ NODE_WEIGHTS
    result: Floats = chance / chance.sum()
    return result


def best_of_draws(scores: Floats) -> Floats:
    """Frequency with which each arm has the highest score of a joint draw; ties are split evenly.

    Joint draws keep the correlation between arms that the products above would lose.

    >>> best_of_draws(np.array([[1.0, 2.0], [3.0, 3.0]])).tolist()
    [0.25, 0.75]
    """
    highest = scores.max(axis=1, keepdims=True) if scores.ndim == 2 and scores.size else np.array(np.nan)
    if np.isnan(highest).any():
        raise ValueError(f"scores of shape {scores.shape}, must be draws by arms without NaN")
    winners = scores == highest
    wins = np.count_nonzero(winners, axis=0)
    if wins.sum() > len(scores):  # ties
        wins = (winners / winners.sum(axis=1, keepdims=True)).sum(axis=0)
    result: Floats = wins / len(scores)
    return result


def _positive(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and (values > 0).all())


def _union_grid(alphas: Floats, betas: Floats) -> Floats:
    """Sorted points covering every posterior at its own scale."""
    total = alphas + betas
    mean = alphas / total
    reach = REACH * np.sqrt(mean * (betas / total) / (total + 1))
    low, high = np.maximum(0, mean - reach), np.minimum(1, mean + reach)
    result: Floats = np.unique(np.linspace(low, high, GRID))
    return result


def _products_of_others(factors: Floats) -> Floats:
    """For each row the product of all other rows; without division, as factors may be zero."""
    before = np.ones_like(factors)
    after = np.ones_like(factors)
    before[1:] = np.cumprod(factors[:-1], axis=0)
    after[:-1] = np.cumprod(factors[:0:-1], axis=0)[::-1]
    result: Floats = before * after
    return result
