"""Drift: whether one arm has changed relative to the others, while trends common to all are ignored.

The arms' effects are fitted twice by weighted least squares with one free base per epoch, on recent and on older
epochs. Arm k has drifted if its effect less the weighted mean of the others, with the same weights in both spans,
has moved by more than chance. Comparing arm k with what the others happened to serve would call every move of the
shares a drift.

With two arms both are named: nobody can tell from differences which of them has changed.
"""

from dataclasses import dataclass
from itertools import pairwise
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
IGNORANCE = 1e9
"""How much less precisely than an arm on average something is known of which there are no data."""


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
    """Effects of the arms in some spans of epochs, comparable only within one span; shapes (..., spans, arms)."""

    effect: Floats
    covariance: Floats
    requests: Floats

    def side(self, index: int) -> "_Spans":
        """The spans before the splits, or those after them."""
        return _Spans(self.effect[index], self.covariance[index], self.requests[index])


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
    parts = _Parts.of(rewards, variances, [0, *firsts, epochs])
    fitted = _fit(parts.before_and_after())
    found = _compared(older=fitted.side(0), recent=fitted.side(1))
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


@dataclass(frozen=True)
class _Parts:
    """What the fits of spans of epochs add up: the spans between splits, or all that lies on one side of each."""

    requests: Floats
    """Shape (spans, arms)."""
    information: Floats
    """sum_e (diag w_e - w_e w_e' / W_e) with weights w = n / v and W their sum over the arms."""
    response: Floats
    """sum_e (values - w * mean of the epoch), values = totals / v."""

    @classmethod
    def of(cls, rewards: Within, variances: Floats, bounds: list[int]) -> "_Parts":
        """The sums of each span between two bounds."""
        weights, values = rewards.requests / variances, rewards.totals / variances
        all_arms = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        halved = weights / np.sqrt(all_arms)
        alone = values - weights * (values.sum(axis=1, keepdims=True) / all_arms)
        spans = [slice(first, last) for first, last in pairwise(bounds)]
        requests = np.stack([rewards.requests[span].sum(axis=0) for span in spans])
        shared = np.stack([halved[span].T @ halved[span] for span in spans])
        information = (requests / variances)[:, :, None] * np.eye(variances.size) - shared
        return cls(requests, information, np.stack([alone[span].sum(axis=0) for span in spans]))

    def before_and_after(self) -> "_Parts":
        """All before each split, and all from it on; shapes (2, splits, ...)."""
        return _Parts(*(_on_both_sides(each) for each in (self.requests, self.information, self.response)))


def _on_both_sides(parts: Floats) -> Floats:
    before = parts.cumsum(axis=0)
    return np.stack([before[:-1], before[-1] - before[:-1]])


def _fit(parts: _Parts) -> _Spans:
    """Weighted least squares of arm effects in each span, with a free base in every epoch.

    Only differences of effects are known. The level of all arms together is held at zero as firmly as they are known,
    which no difference sees; an arm that a span does not know, or arms that never met in it, get a variance that is
    larger by IGNORANCE and no other arm's changes.
    """
    arms = parts.requests.shape[-1]
    average = parts.information.trace(axis1=-2, axis2=-1) / arms
    scale = np.where(average > 0, average, 1.0)
    held = parts.information + scale[..., None, None] * (1 / arms + np.eye(arms) / IGNORANCE)
    covariance = np.linalg.inv(held)
    return _Spans((covariance @ parts.response[..., None])[..., 0], covariance, parts.requests)


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
