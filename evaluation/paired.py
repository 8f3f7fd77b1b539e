"""Paired figures of the full matrix: every model answered every prompt, which live traffic never gives.

They look at all outcomes once and name the best model after the fact, so they are a description of the file
and no verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, ttest_1samp

from evaluation.recorded import Category, Floats

FEWEST_PROMPTS = 10


@dataclass(frozen=True)
class Paired:
    """The best model of a category against the second best, prompt by prompt."""

    category: str
    best: str
    second: str
    prompts: int
    difference: float
    """Mean reward of the best minus that of the second."""
    t_p: float | None
    """Paired t-test, two-sided; None for too few prompts or where nothing varies."""
    mcnemar_p: float | None
    """Exact McNemar test, two-sided; None where rewards are not 0 or 1 as well."""


def paired(category: Category, models: Sequence[str]) -> Paired:
    """Compare the two models with the best mean rewards; of equal ones the cheaper stands first."""
    order = np.lexsort((category.cost_usd.mean(axis=0), -category.reward.mean(axis=0)))
    best, second = int(order[0]), int(order[1])
    gained = category.reward[:, best] - category.reward[:, second]
    enough = gained.size >= FEWEST_PROMPTS
    return Paired(
        category=category.name,
        best=models[best],
        second=models[second],
        prompts=gained.size,
        difference=float(gained.mean()),
        t_p=paired_t_p(gained) if enough else None,
        mcnemar_p=mcnemar_p(gained) if enough and category.binary else None,
    )


def paired_t_p(gained: Floats) -> float | None:
    """Paired t-test of differences by prompt; None where all are the same."""
    if np.ptp(gained) == 0:
        return None
    return float(ttest_1samp(gained, 0.0).pvalue)


def mcnemar_p(gained: Floats) -> float:
    """Exact McNemar test (1947): among differing prompts each model wins half the time under the null.

    >>> round(mcnemar_p(np.array([1.0] * 9 + [-1.0] + [0.0] * 90)), 6)
    0.021484
    """
    wins, losses = int((gained > 0).sum()), int((gained < 0).sum())
    return float(binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0
