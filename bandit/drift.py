"""Drift: whether one arm has changed relative to the others, while trends common to all are ignored.

The arms' effects are fitted twice by weighted least squares with one free base per epoch, on recent and on older
epochs. Arm k has drifted if its effect less the weighted mean of the others, with the same weights in both spans,
has moved by more than chance. Comparing arm k with what the others happened to serve would call every move of the
shares a drift.

With two arms both are named: nobody can tell from differences which of them has changed.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bandit.cells import Cells, Floats
from bandit.within import Within, within

RECENT = (1 / 2, 1 / 4, 1 / 8)
"""Spans that are compared with everything before them, as shares of all requests."""
ALARM_P = 1e-4
"""p, over arms and spans, at which drift is called. It is small because it is read at every look."""
FEWEST = 50.0
"""Requests of the arm and of the others that each span needs."""


@dataclass(frozen=True)
class Drift:
    """One arm's change relative to the others, at the span where it is clearest."""

    arm: int
    change: float
    """Recent minus older, in reward units per request; 0 while nothing is known."""
    error: float
    """Its standard deviation; infinite while nothing is known."""
    p_value: float
    """Two-sided, corrected for arms and spans."""
    recent_epochs: int
    """Number of epochs in the recent span."""

    @property
    def alarm(self) -> bool:
        """Whether to tell somebody: the arm's older evidence speaks of another model than today's."""
        return self.p_value < ALARM_P


@dataclass(frozen=True)
class _Spans:
    """Effects of the arms in some spans of epochs, comparable only within one span; spans are the first axis."""

    effect: Floats
    covariance: Floats
    requests: Floats

    def every(self, spans: slice) -> "_Spans":
        """Some of the spans."""
        return _Spans(self.effect[spans], self.covariance[spans], self.requests[spans])


@dataclass(frozen=True)
class _Changes:
    """Each arm's change at each split, all of shape (splits, arms)."""

    change: Floats
    error: Floats
    p_value: Floats
    known: NDArray[np.bool_]


def drifts(cells: Cells, width: float = 1.0) -> tuple[Drift, ...]:
    """One answer per arm; `width` is the range of the reward. Give mature epochs of one experiment."""
    rewards = within(cells)
    if not (np.isfinite(width) and width > 0):
        raise ValueError(f"width == {width}, must be the highest minus the lowest value, above 0")
    epochs, arms = rewards.requests.shape
    variances = (rewards.squares.sum(axis=0) + width**2 / 4) / (rewards.freedom.sum(axis=0) + 1)
    variances = np.maximum(variances, 1e-4 * width**2)
    firsts = _firsts(rewards)
    if not firsts:
        return tuple(Drift(arm, 0.0, inf, 1.0, 0) for arm in range(arms))
    fitted = _fit(
        rewards, variances, [span for first in firsts for span in (slice(first), slice(first, None))]
    )
    found = _compared(older=fitted.every(slice(0, None, 2)), recent=fitted.every(slice(1, None, 2)))
    clearest = np.where(found.known, found.p_value, inf).argmin(axis=0).tolist()
    return tuple(_drift(found, arm, split, epochs - firsts[split]) for arm, split in enumerate(clearest))


def _drift(found: _Changes, arm: int, split: int, recent_epochs: int) -> Drift:
    if not found.known[split, arm]:
        return Drift(arm, 0.0, inf, 1.0, recent_epochs)
    change, error, p_value = (each[split, arm] for each in (found.change, found.error, found.p_value))
    return Drift(arm, float(change), float(error), float(p_value), recent_epochs)


def _firsts(rewards: Within) -> list[int]:
    """The first recent epoch of each split; none where it would leave a side without epochs."""
    volume = rewards.requests.sum(axis=1)
    before = np.cumsum(volume) - volume
    firsts = [int(np.searchsorted(before, (1 - part) * volume.sum())) for part in RECENT]
    return [first for first in firsts if 0 < first < volume.size]


def _fit(rewards: Within, variances: Floats, spans: list[slice]) -> _Spans:
    """Weighted least squares of arm effects in each span: weights n / v, a free base in every epoch.

    L = sum_e (diag w_e - w_e w_e' / W_e), effects L^+ b with covariance L^+; all spans in one decomposition.
    """
    weights, values = rewards.requests / variances, rewards.totals / variances
    all_arms = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    halved = weights / np.sqrt(all_arms)
    alone = values - weights * (values.sum(axis=1, keepdims=True) / all_arms)
    requests = np.stack([rewards.requests[span].sum(axis=0) for span in spans])
    response = np.stack([alone[span].sum(axis=0) for span in spans])
    shared = np.stack([halved[span].T @ halved[span] for span in spans])
    information = (requests / variances)[:, :, None] * np.eye(variances.size) - shared
    own, vectors = np.linalg.eigh(information)
    known = own > 1e-10 * np.maximum(own[:, -1:], 1e-300)
    inverse = np.where(known, 1 / np.where(known, own, 1.0), 0.0)
    covariance = (vectors * inverse[:, None, :]) @ vectors.transpose(0, 2, 1)
    return _Spans((covariance @ response[:, :, None])[:, :, 0], covariance, requests)


def _compared(older: _Spans, recent: _Spans) -> _Changes:
    """Each arm against the others that both spans know well enough, weighted by their smaller volume."""
    fewest = np.minimum(older.requests, recent.requests)
    arms = fewest.shape[1]
    weighty = np.where(fewest >= FEWEST, fewest, 0.0)
    others = weighty[:, None, :] * (1 - np.eye(arms))
    total = others.sum(axis=2)
    contrasts = np.eye(arms) - others / np.where(total > 0, total, 1.0)[:, :, None]
    change = (contrasts @ (recent.effect - older.effect)[:, :, None])[:, :, 0]
    variance = np.vecdot(contrasts @ (recent.covariance + older.covariance), contrasts)
    error = np.sqrt(np.maximum(variance, 0.0))
    z = np.abs(change) / np.where(error > 0, error, 1.0)
    p_values = np.where(error > 0, np.minimum(1.0, 2 * ndtr(-z) * arms * len(RECENT)), 1.0)
    return _Changes(change, error, p_values, (fewest >= FEWEST) & (total > 0))
