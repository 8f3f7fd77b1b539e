"""Expectations: what a plan assumes about an experiment's outcomes, from its evidence or else the hardest case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandit.cells import Z
from bandit.within import within
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, ERROR, PRIMARY
from experiments.verdict.comparison import compare

FEWEST = 100
"""Units with a reward from which the evidence is believed rather than the hardest case."""
TYPICAL_ERROR_RATE = 0.01
TYPICAL_COST_VARIATION = 1.0


@dataclass(frozen=True, slots=True)
class Expectations:
    """Spread and rates that decide how many units a verdict takes."""

    reward_variance: float
    """Variance of one unit's reward per request, within an epoch."""
    rarer_rate: float
    """Rate of the rarer of success and failure (binary rewards); 1/2 where nothing is known."""
    feedback_share: float = 1.0
    """Share of units whose reward becomes known."""
    error_rate: float = TYPICAL_ERROR_RATE
    cost_variation: float = TYPICAL_COST_VARIATION
    """Coefficient of variation of a unit's cost."""
    saving: float | None = None
    """Relative saving of the cheapest candidate; None if it is not known."""
    information: float = 0.0
    """Information of the reward difference so far, of the candidate that is known best."""
    units: int = 0
    """Units in mature epochs."""


def expectations(
    definition: Experiment,
    evidence: Evidence | None = None,
    list_costs_usd: Sequence[float] | None = None,
) -> Expectations:
    """From mature evidence where it holds 100 units with a reward; before that a reward of the largest variance.

    `list_costs_usd` are the candidates' expected costs by the price list, the control first.
    """
    saving = _listed_saving(list_costs_usd)
    if evidence is None or evidence.metric(PRIMARY).n.sum() < FEWEST:
        return Expectations(0.25 * definition.reward.width**2, 0.5, saving=saving)
    rewards, costs, errors = (evidence.metric(name) for name in (PRIMARY, COST, ERROR))
    units, seen, called = (float(cells.n.sum()) for cells in (rewards, costs, errors))
    inside = within(rewards)
    per_unit = max(float(inside.requests.sum()) / units, 1.0)
    variance = float(inside.squares.sum() / max(inside.freedom.sum(), 1.0)) / per_unit
    assigned = int(evidence.counts["assigned"].sum())
    return Expectations(
        reward_variance=max(variance, 1e-4 * definition.reward.width**2),
        rarer_rate=_rarer_rate(definition, float(rewards.total(Z.TOTAL).sum()), float(inside.requests.sum())),
        feedback_share=min(max(units / max(assigned, 1), 1e-3), 1.0),
        error_rate=float(errors.total(Z.TOTAL).sum()) / called if called else TYPICAL_ERROR_RATE,
        cost_variation=_variation(costs.pooled()) if seen else TYPICAL_COST_VARIATION,
        saving=saving,
        information=_information(definition, evidence),
        units=assigned,
    )


def _listed_saving(list_costs_usd: Sequence[float] | None) -> float | None:
    if list_costs_usd is None or len(list_costs_usd) < 2 or list_costs_usd[0] <= 0:
        return None
    return 1 - min(list_costs_usd[1:]) / list_costs_usd[0]


def _rarer_rate(definition: Experiment, total: float, requests: float) -> float:
    """Mean reward in widths of its range, or what is missing to one; rates near zero count as one unit seen."""
    mean = (total / requests - definition.reward.range[0]) / definition.reward.width
    return max(min(mean, 1 - mean), 1 / requests)


def _variation(pooled: np.ndarray) -> float:
    """Largest coefficient of variation of a unit's cost among the arms that have one."""
    n, total, squares = pooled[:, Z.UNIT, Z.UNIT], pooled[:, Z.UNIT, Z.COST], pooled[:, Z.COST, Z.COST]
    known = (n >= 2) & (total > 0)
    if not known.any():
        return TYPICAL_COST_VARIATION
    mean = total[known] / n[known]
    variance = np.maximum(squares[known] / n[known] - mean**2, 0.0)
    return float((np.sqrt(variance) / mean).max())


def _information(definition: Experiment, evidence: Evidence) -> float:
    series = evidence.epochs[-1].cost_series if evidence.epochs else 0
    found = compare(definition, evidence, range(1, len(definition.candidates)), series)
    return max(one.reward.estimate.information for one in found)
