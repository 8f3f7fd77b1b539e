"""Expectations: what a plan assumes about an experiment's outcomes, from its evidence or else the hardest case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from bandit.cells import Z
from bandit.within import within
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, ERROR, PRIMARY
from experiments.inference.latency_ratio import TYPICAL_SPREAD
from experiments.verdict.comparison import compare

FEWEST = 100
"""Units with a reward from which the evidence is believed rather than the hardest case."""
TYPICAL_ERROR_RATE = 0.01
TYPICAL_COST_VARIATION = 1.0
SMALLEST_SPREAD = 0.02
"""Of ln latency: narrower than that is narrower than a bucket."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A metric of feedback, as a plan expects it."""

    variance: float
    """Of one unit's value per request, within an epoch."""
    share: float
    """Share of units that report it."""


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
    latency_spread: float = TYPICAL_SPREAD
    """Standard deviation of ln latency."""
    reported: Mapping[str, Reported] = field(default_factory=dict)
    """Metrics of guardrails that feedback reports; one that is not known yet varies as much as it can."""


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
        latency_spread=_latency_spread(definition, evidence),
        reported=dict(_reported(definition, evidence, assigned)),
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


def _latency_spread(definition: Experiment, evidence: Evidence) -> float:
    """Standard deviation of ln latency, from its median and 95% quantile; a load that swings adds to it."""
    if not any(rule.quantile is not None for rule in definition.guardrails):
        return TYPICAL_SPREAD
    histograms = evidence.histograms
    requests = histograms.counts.sum(axis=(0, 1))
    if requests.sum() < FEWEST:
        return TYPICAL_SPREAD
    below = np.cumsum(requests) / requests.sum()
    middle, high = np.interp([0.5, 0.95], below, histograms.log_edges[1:])
    return max(float(high - middle) / NormalDist().inv_cdf(0.95), SMALLEST_SPREAD)


def _reported(definition: Experiment, evidence: Evidence, assigned: int) -> Iterator[tuple[str, Reported]]:
    """What was seen of the metrics that only feedback reports."""
    for rule in definition.guardrails:
        cells = evidence.metric(rule.metric)
        units = float(cells.n.sum())
        if rule.range is None or units < FEWEST:
            continue
        inside = within(cells)
        per_unit = max(float(inside.requests.sum()) / units, 1.0)
        variance = float(inside.squares.sum() / max(inside.freedom.sum(), 1.0)) / per_unit
        share = min(max(units / max(assigned, 1), 1e-3), 1.0)
        yield rule.metric, Reported(max(variance, 1e-4 * rule.width**2), share)
