"""Guards: what each guardrail shows of each candidate, as a one-sided non-inferiority test tuned by its bound.

A guardrail is kept once mature epochs show it. Harm to what is known when a call ends (errors, costs, latency)
is read from settled epochs too, so that a broken candidate goes minutes after an epoch closes, however long the
reward window is; both are confidence sequences over looks, each at its own level.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Series
from functools import partial
from math import inf

import numpy as np

from bandit.cells import Cells, Z
from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import FEEDBACK_RATE, Guardrail
from experiments.evidence.evidence import Evidence
from experiments.evidence.record import record
from experiments.evidence.units import COST, ERROR
from experiments.evidence.volume import rarer
from experiments.inference.effects import Boundary, differences, log_ratios
from experiments.inference.latency_ratio import latency_ratios
from experiments.inference.sequence import NOTHING_KNOWN, Estimate, Sequence

SMALLEST_COSTED = 0.95
"""Share of called units whose cost must be known, in both arms, before costs are compared."""
RARE_OUTCOMES = 20
"""Units, in effect, that a mean must rest on at either end of its range before its own variance is believed."""


@record(frozen=True, slots=True)
class GuardrailEffect:
    """One guardrail of one candidate: the effect, and where it stands against its bound.

    All on the test's own scale: ln of a ratio, or a difference. `estimate`, `low`, `high` are candidate against
    control; `upper` and `lower` say how much worse it is, whichever direction that is.
    """

    guardrail: Guardrail
    estimate: Estimate
    low: float
    high: float
    p: float
    """Always-valid, of no difference, at this look."""
    upper: float
    """At most this much worse; from mature epochs."""
    lower: float
    """At least this much worse; from settled epochs where the metric is known when a call ends."""

    @property
    def bound(self) -> float:
        """How much worse it may be."""
        return self.guardrail.bound

    @property
    def worse(self) -> Estimate:
        """How much worse it is estimated to be."""
        return self.estimate.reversed() if self.guardrail.max_decrease is not None else self.estimate

    @property
    def known(self) -> bool:
        """Whether there was enough data to say anything."""
        return self.estimate.information > 0

    @property
    def kept(self) -> bool:
        """Shown not to exceed the bound, and not shown otherwise since by younger epochs."""
        return self.upper < self.bound and not self.harmed

    @property
    def harmed(self) -> bool:
        """Shown to exceed the bound."""
        return self.lower > self.bound


def guard_effects(
    definition: Experiment,
    mature: Evidence,
    settled: Evidence,
    arms: Series[int],
    cost_series: int,
    alpha: float,
) -> Mapping[int, tuple[GuardrailEffect, ...]]:
    """The guardrails of each arm, in the order of their declaration; `settled` holds the mature epochs too."""
    later = settled if len(settled.epochs) > len(mature.epochs) else None
    found: dict[int, list[GuardrailEffect]] = {arm: [] for arm in arms}
    for rule in definition.guardrails if arms else ():
        known = mature.once(
            f"guard {rule.metric}",
            (rule, arms, cost_series, alpha),
            partial(_effects, rule, mature, settled, arms, cost_series, alpha),
        )
        if later is not None and rule.known_at_call:
            newest = _effects(rule, later, settled, arms, cost_series, alpha)
            known = [_with_harm(one, other) for one, other in zip(known, newest, strict=True)]
        for arm, effect in zip(arms, known, strict=True):
            found[arm].append(effect)
    return {arm: tuple(effects) for arm, effects in found.items()}


def _with_harm(mature: GuardrailEffect, settled: GuardrailEffect) -> GuardrailEffect:
    """The mature effect with the harm of the settled one, which is shown whole while nothing is mature."""
    shown = mature if mature.known else settled
    return GuardrailEffect(
        mature.guardrail, shown.estimate, shown.low, shown.high, shown.p,
        upper=mature.upper, lower=max(mature.lower, settled.lower),
    )  # fmt: skip


def _effects(
    rule: Guardrail, evidence: Evidence, settled: Evidence, arms: Series[int], cost_series: int, alpha: float
) -> list[GuardrailEffect]:
    if rule.quantile is not None:
        return _latency(rule, rule.quantile, evidence, settled, arms, alpha)
    sequence = Sequence(alpha, rule.bound)
    return [_judged(rule, estimate, sequence) for estimate in _estimates(rule, evidence, arms, cost_series)]


def _estimates(
    rule: Guardrail, evidence: Evidence, arms: Series[int], cost_series: int
) -> tuple[Estimate, ...]:
    """Candidate against control. Rare events take the variance of the bound where it is larger."""
    if rule.metric == COST:
        return _costs(evidence.in_series(cost_series), arms)
    if rule.metric == ERROR:
        return differences(evidence.metric(ERROR), 0, arms, null=Boundary(rule.bound))
    if rule.metric == FEEDBACK_RATE:
        return differences(_answered(evidence), 0, arms, null=Boundary(-rule.bound))
    return _reported(rule, evidence.metric(rule.metric), arms)


def _costs(current: Evidence, arms: Series[int]) -> tuple[Estimate, ...]:
    """Cost per unit, unknown while the costs of many units are: those left out may be the failures."""
    costs = current.metric(COST)
    called, costed = current.metric(ERROR).n.sum(axis=0), costs.n.sum(axis=0)
    enough = costed >= SMALLEST_COSTED * called
    found = log_ratios(costs, 0, arms, Z.COST, Z.UNIT)
    return tuple(
        one if enough[0] and enough[arm] else NOTHING_KNOWN for arm, one in zip(arms, found, strict=True)
    )


def _answered(evidence: Evidence) -> Cells:
    """Assigned units as cells whose total counts those with a known reward."""
    sums = Cells.empty(len(evidence.epochs), evidence.arms).sums
    sums[..., : Z.TOTAL, : Z.TOTAL] = evidence.counts["assigned"][..., None, None]
    answered = evidence.counts["feedback"]
    sums[..., Z.TOTAL, : Z.COST] = answered[..., None]
    sums[..., : Z.COST, Z.TOTAL] = answered[..., None]
    return Cells(sums)


def _reported(rule: Guardrail, cells: Cells, arms: Series[int]) -> tuple[Estimate, ...]:
    """A metric of feedback, per request that reports it; with its own variance once enough units carry its mean."""
    low = rule.range[0] if rule.range is not None else 0.0
    sign = -1 if rule.max_decrease is not None else 1
    plain = differences(cells, 0, arms, rule.width)
    rare = differences(cells, 0, arms, rule.width, Boundary(sign * rule.bound, low, rule.width))
    carried = rarer(cells.pooled(), low, rule.width)
    return tuple(
        plain[index] if min(carried[0], carried[arm]) >= RARE_OUTCOMES else rare[index]
        for index, arm in enumerate(arms)
    )


def _judged(rule: Guardrail, estimate: Estimate, sequence: Sequence) -> GuardrailEffect:
    worse = estimate.reversed() if rule.max_decrease is not None else estimate
    low, high = sequence.interval(estimate) if estimate.information > 0 else (-inf, inf)
    return GuardrailEffect(
        rule, estimate, low, high, sequence.p_value(estimate), sequence.upper(worse), sequence.lower(worse)
    )


def _latency(
    rule: Guardrail, q: float, evidence: Evidence, settled: Evidence, arms: Series[int], alpha: float
) -> list[GuardrailEffect]:
    """The ratio of a quantile; both kinds of evidence read one array, which is made once."""
    read = {epoch.number for epoch in evidence.epochs}
    rows = np.array([epoch.number in read for epoch in settled.epochs], dtype=bool)
    histograms = settled.histograms.where(rows)
    ratios = latency_ratios(histograms, evidence.metric(ERROR), q, arms, alpha, rule.max_ratio or 1.0)
    return [
        GuardrailEffect(rule, one.estimate, one.low, one.high, one.p, upper=one.upper, lower=one.lower)
        for one in ratios
    ]
