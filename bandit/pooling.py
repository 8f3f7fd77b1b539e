"""Pooling: what other experiments found about the same two models, as a prior of their difference here.

Empirical Bayes with random effects (DerSimonian and Laird 1986): the difference of experiment i is theta_i ~
N(m, t^2), seen as d_i ~ N(theta_i, v_i). The prior of one more experiment is N(m, t^2 + var m).

    w_i = 1 / (v_i + t^2),  m = sum w_i d_i / sum w_i,  var m = 1 / sum w_i

t^2, how much tasks differ, is not known from one or two experiments, so it starts at TASKS_DIFFER^2 and counts
that guess as PRIOR_TASKS experiments. Pooling reaches allocation only; every experiment tests on its own data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandit.cells import Floats

TASKS_DIFFER = 0.1
"""Standard deviation between tasks of a difference of two models, in widths of the reward, until more is known."""
PRIOR_TASKS = 3.0
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Contrast:
    """One experiment's estimate of the difference of two models, in widths of its reward's range."""

    value: float
    variance: float


def pooled(found: Sequence[Contrast]) -> Contrast | None:
    """The prior that other experiments give, or None where there is none of known variance.

    >>> one = pooled([Contrast(-0.2, 1e-4)])
    >>> one is not None and (round(one.value, 3), round(one.variance**0.5, 3))
    (-0.2, 0.142)
    """
    known = [one for one in found if np.isfinite(one.value) and 0 < one.variance < np.inf]
    if not known:
        return None
    values = np.array([one.value for one in known])
    variances = np.maximum([one.variance for one in known], LEAST_VARIANCE)
    between = _between(values, variances)
    weights = 1 / (variances + between)
    mean = float(weights @ values / weights.sum())
    return Contrast(mean, between + float(1 / weights.sum()))


def _between(values: Floats, variances: Floats) -> float:
    """t^2: the guess and the moment estimate (Q - (n - 1)) / (sum w - sum w^2 / sum w), by how many tasks each has."""
    tasks = values.size
    if tasks == 1:
        return TASKS_DIFFER**2
    weights = 1 / variances
    mean = weights @ values / weights.sum()
    excess = float(weights @ (values - mean) ** 2) - (tasks - 1)
    scale = float(weights.sum() - weights @ weights / weights.sum())
    seen = max(excess / scale, 0.0) if scale > 0 else 0.0
    return (PRIOR_TASKS * TASKS_DIFFER**2 + (tasks - 1) * seen) / (PRIOR_TASKS + tasks - 1)
