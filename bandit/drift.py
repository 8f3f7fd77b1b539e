"""Drift: whether one arm has changed relative to the others, while trends common to all are ignored.

The arms' effects are fitted twice by weighted least squares with one free base per epoch, on recent and on older
epochs. Arm k has drifted if its effect less the weighted mean of the others, with the same weights in both spans,
has moved by more than chance. Comparing arm k with what the others happened to serve would call every move of the
shares a drift.

With two arms both are named: nobody can tell from differences which of them has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
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
class _Span:
    """Effects of the arms in some epochs; comparable only within one span."""

    effect: Floats
    covariance: Floats
    requests: Floats


def drifts(cells: Cells, width: float = 1.0) -> tuple[Drift, ...]:
    """One answer per arm; `width` is the range of the reward. Give mature epochs of one experiment."""
    rewards = within(cells)
    if not (np.isfinite(width) and width > 0):
        raise ValueError(f"width == {width}, must be the highest minus the lowest value, above 0")
    arms = rewards.requests.shape[1]
    variances = (rewards.squares.sum(axis=0) + width**2 / 4) / (rewards.freedom.sum(axis=0) + 1)
    variances = np.maximum(variances, 1e-4 * width**2)
    best = [Drift(arm, 0.0, inf, 1.0, 0) for arm in range(arms)]
    for recent_epochs, older, recent in _spans(rewards, variances):
        for arm in range(arms):
            found = _compared(arm, older, recent, recent_epochs)
            if found.p_value < best[arm].p_value or best[arm].error == inf:
                best[arm] = found
    return tuple(best)


def _spans(rewards: Within, variances: Floats) -> Iterator[tuple[int, _Span, _Span]]:
    """Older and recent effects for each split; none where it would leave a side without epochs."""
    volume = rewards.requests.sum(axis=1)
    epochs, before = volume.size, np.cumsum(volume) - volume
    for part in RECENT:
        first = int(np.searchsorted(before, (1 - part) * volume.sum()))
        if 0 < first < epochs:
            yield (
                epochs - first,
                _fit(rewards, variances, slice(first)),
                _fit(rewards, variances, slice(first, None)),
            )


def _fit(rewards: Within, variances: Floats, span: slice) -> _Span:
    """Weighted least squares of arm effects: weights n / v, a free base in every epoch.

    L = sum_e (diag w_e - w_e w_e' / W_e), effects L^+ b with covariance L^+.
    """
    requests, totals = rewards.requests[span], rewards.totals[span]
    weights = requests / variances
    all_arms = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    information = np.diag(weights.sum(axis=0)) - (weights / all_arms).T @ weights
    values = totals / variances
    response = values.sum(axis=0) - (weights * (values.sum(axis=1, keepdims=True) / all_arms)).sum(axis=0)
    covariance = np.linalg.pinv(information, rcond=1e-10, hermitian=True)
    return _Span(covariance @ response, covariance, requests.sum(axis=0))


def _compared(arm: int, older: _Span, recent: _Span, recent_epochs: int) -> Drift:
    """The arm against the others that both spans know well enough, weighted by their smaller volume."""
    fewest = np.minimum(older.requests, recent.requests)
    others = np.where(fewest >= FEWEST, fewest, 0.0)
    others[arm] = 0.0
    if fewest[arm] < FEWEST or others.sum() == 0:
        return Drift(arm, 0.0, inf, 1.0, recent_epochs)
    contrast = -others / others.sum()
    contrast[arm] = 1.0
    change = float(contrast @ (recent.effect - older.effect))
    error = float(np.sqrt(contrast @ (recent.covariance + older.covariance) @ contrast))
    tests = older.requests.size * len(RECENT)
    p_value = min(1.0, 2 * float(ndtr(-abs(change) / error)) * tests) if error > 0 else 1.0
    return Drift(arm, change, error, p_value, recent_epochs)
