"""Contrast Thompson sampling: posterior of differences between arms, blind to what moves all arms alike.

Model: the mean of arm k in epoch e is base_e + mu_k with a free base_e, so hours, weekdays and drift
common to all arms neither fool the posterior nor call for resets. This is deconfounded Thompson sampling
(Qin and Russo 2022, arXiv 2202.09036) with epochs as contexts.
"""

from dataclasses import dataclass

import numpy as np

from bandit.cells import Floats
from bandit.priors import Prior

RECENT = 10
"""Epochs over which the common level is averaged."""
FORGET_PER = 100.0
"""Requests after which evidence has lost one factor `forgetting`."""
ROUNDING = 0.02
"""Of a standard deviation: the most that draws are rounded by."""


@dataclass(frozen=True)
class Contrasts:
    """Normal posterior of mu_k, and the level to which it adds; in units of the reward per request."""

    mean: Floats
    covariance: Floats
    root: Floats
    """Matrix with root root' = covariance."""
    level: float

    def draws(self, normals: Floats) -> Floats:
        """Joint draws of the arms' rewards, (2 draws, arms), from normals of shape (draws, arms) with both signs.

        They have the precision of the normals, or double precision where the posterior is too narrow for it.
        """
        exact = normals if self._fits(normals.dtype) else normals.astype(np.float64)
        kind, count = exact.dtype, len(exact)
        centre, moved = (self.level + self.mean).astype(kind)[:, None], self.root.astype(kind) @ exact.T
        both = np.empty((self.mean.size, 2 * count), dtype=kind)
        np.add(centre, moved, out=both[:, :count])
        np.subtract(centre, moved, out=both[:, count:])
        return both.T

    def _fits(self, kind: np.dtype[np.floating]) -> bool:
        """Whether rounding is much smaller than the posterior's standard deviations."""
        rounding = float(np.finfo(kind).eps) * np.abs(self.level + self.mean).max()
        return bool(rounding**2 <= ROUNDING**2 * self.covariance.diagonal().min())


def contrasts(
    requests: Floats,
    totals: Floats,
    variance: float,
    *,
    prior_sd: float = 0.3,
    forgetting: float = 1.0,
    prior_level: float = 0.5,
    prior: Prior | None = None,
) -> Contrasts:
    """Posterior of the contrasts from requests n and reward totals s per (epoch, arm).

    L = sum_e g_e (diag(n_e) - n_e n_e' / N_e), b = sum_e g_e (s_e - n_e sum(s_e) / N_e),
    C = (L / v + P)^-1, mu = C (b / v + P m); g_e discounts by forgetting^(requests since e / 100), P and m are
    precision and mean of the prior, I / prior_sd^2 and 0 unless a `prior` is given.
    Where a unit holds several requests, n counts requests and v is the variance of bandit.within, which
    carries the correlation within units. Without any request the level is that of the prior. Under forgetting v is
    multiplied by `_faded`.
    """
    _check(requests, totals, variance, prior_sd, forgetting)
    before = Prior.vague(requests.shape[1], prior_sd, prior_level) if prior is None else prior
    volume = requests.sum(axis=1)
    discount = forgetting ** ((volume.sum() - np.cumsum(volume)) / FORGET_PER)
    weight = discount / np.maximum(volume, 1.0)
    information = np.diag(discount @ requests) - (requests * weight[:, None]).T @ requests
    response = discount @ totals - (weight * totals.sum(axis=1)) @ requests
    variance *= _faded(discount, volume)
    values, vectors = np.linalg.eigh(information / variance + before.precision)
    # Data tell nothing of the common level: beside them its precision, the prior's, may be lost to rounding.
    spread = 1 / np.maximum(values, before.least_precision)
    root = vectors * np.sqrt(spread)
    mean = vectors @ (spread * ((response / variance + before.response) @ vectors))
    return Contrasts(mean, root @ root.T, root, _level(requests, totals, mean, before.level))


def _faded(discount: Floats, volume: Floats) -> float:
    """Part of the variance v / sum(g n) that a discounted mean has: between 3/4 under long forgetting and 1 without.

    Weights g fit arms that drift at random as fast as forgetting presumes: then the part is 1. Of arms that stay, the
    discounted mean has the variance v sum(g^2 n) / sum(g n)^2, about half of that. Nobody knows which it is, so the
    part is the mean of both. At 1 the bandit goes on exploring as if everything drifted: with forgetting .98 and
    floors of .02 that costs 85 rewards instead of 79 (+- 2) where nothing but a common sine moves, and 332 against 336
    (+- 6) where an arm drops: the settings of docs/calibration.md, 200 runs each.
    """
    weighed = float(discount @ volume)
    return (1 + float(discount**2 @ volume) / weighed) / 2 if weighed > 0 else 1.0


def _level(requests: Floats, totals: Floats, mean: Floats, prior_level: float) -> float:
    """Request-weighted mean of base_e over the last epochs with requests."""
    filled = np.flatnonzero(requests.any(axis=1))[-RECENT:]
    n = requests[filled]
    return float((totals[filled].sum() - (n @ mean).sum()) / n.sum()) if filled.size else prior_level


def _check(requests: Floats, totals: Floats, variance: float, prior_sd: float, forgetting: float) -> None:
    if requests.ndim != 2 or requests.shape != totals.shape or requests.shape[1] == 0:
        raise ValueError(f"requests {requests.shape} and totals {totals.shape} must both be epochs by arms")
    if not np.isfinite(requests).all() or not np.isfinite(totals).all() or (requests < 0).any():
        raise ValueError("requests and totals must be finite and requests >= 0 in every cell")
    if not (np.isfinite(variance) and variance > 0 and np.isfinite(prior_sd) and prior_sd > 0):
        raise ValueError(f"variance == {variance}, prior_sd == {prior_sd}, must be finite and > 0")
    if not 0 < forgetting <= 1:
        raise ValueError(f"forgetting == {forgetting}, must be in (0, 1]; 1 forgets nothing")
