"""Reporting: from one tick to the report document."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from bandit.cells import Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.latency import quantile_ms
from experiments.evidence.units import COST, ERROR, PRIMARY
from experiments.inference.effects import VARIANCE_FLOOR
from experiments.inference.fixed_horizon import planned_units
from experiments.inference.heterogeneity import heterogeneity_p
from experiments.report.document import (
    CandidatePart,
    GuardrailPart,
    HealthPart,
    Number,
    RatioPart,
    Report,
    RulePart,
    SharesPart,
    VerdictPart,
)
from experiments.report.money import saved_per_day
from experiments.report.numbers import number
from experiments.report.read_outs import read_outs
from experiments.report.would_change import would_change
from experiments.verdict.comparison import Comparison
from experiments.verdict.rules import Candidacy
from experiments.verdict.tick import Tick

MOST_POINTS = 300


@dataclass(frozen=True)
class Subject:
    """The experiment as its store row describes it."""

    definition: Experiment
    state: str
    ended_because: str
    dropped: Mapping[int, str]
    """Why arms get no further traffic, by arm."""
    started_at_ms: int | None
    ended_at_ms: int | None


def render(subject: Subject, everything: Evidence, look: Tick, now_ms: int) -> Report:
    """The report of one look."""
    definition = subject.definition
    mature = everything.mature(definition, now_ms)
    planned = _planned(definition, mature)
    return Report(
        experiment=definition.name,
        task=definition.task,
        hypothesis=definition.hypothesis,
        state=subject.state,
        ended_because=subject.ended_because,
        mode=definition.mode,
        unit=definition.unit,
        objective=definition.objective.kind,
        read_out=definition.decision.read_out,
        reward_metric=definition.reward.metric,
        reward_margin=definition.objective.reward_margin,
        min_saving=definition.decision.min_saving,
        alpha=definition.decision.alpha,
        mde=definition.decision.mde,
        control=definition.control,
        candidates=_candidates(subject, everything, mature, look),
        verdict=_verdict(definition, look),
        rules=tuple(
            RulePart(
                candidate=one.comparison.candidate, name=rule.name, state=rule.state, sentence=rule.sentence
            )
            for one in look.candidacies
            for rule in one.rules
        ),
        health=_health(look),
        shares=_shares(everything),
        units=look.volume.assigned,
        mature_units=look.volume.mature,
        units_per_day=look.volume.units_per_day,
        epochs=len(everything.epochs),
        mature_epochs=len(mature.epochs),
        looks=look.progress.looks,
        fixed_units_per_arm=planned,
        fixed_reached=min(look.volume.units) >= planned,
        fixed_valid=bool(len(mature.epochs) == 0 or np.ptp(mature.shares, axis=0).max() < 1e-9),
        heterogeneity_p=_heterogeneity(definition, mature, look),
        window_ms=definition.reward.window_ms,
        started_at_ms=subject.started_at_ms,
        ended_at_ms=subject.ended_at_ms,
        rendered_at_ms=now_ms,
    )


def _verdict(definition: Experiment, look: Tick) -> VerdictPart:
    verdict = look.verdict
    return VerdictPart(
        kind=verdict.kind,
        candidate=verdict.candidate,
        sentence=verdict.sentence,
        units_needed=verdict.units_needed,
        days_needed=number(verdict.days_needed),
        would_change=would_change(definition, look),
    )


def _health(look: Tick) -> HealthPart:
    health = look.health
    tests = (("assigned", health.assigned), ("called", health.called), ("feedback", health.feedback))
    return HealthPart(
        ok=health.alarm is None and not health.warnings,
        alarm=health.alarm,
        warnings=health.warnings,
        sample_ratio=tuple(
            RatioPart(count=count, p=test.p, alarm=test.alarm, sentence=test.sentence)
            for count, test in tests
        ),
        degraded_decisions=sum(health.degraded),
        recovered_units=sum(health.recovered),
    )


def _shares(everything: Evidence) -> SharesPart:
    """The history of shares, thinned evenly, the newest epoch always in it."""
    count = len(everything.epochs)
    points = np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int).tolist()
    epochs = [everything.epochs[index] for index in dict.fromkeys(points)]
    return SharesPart(
        numbers=tuple(epoch.number for epoch in epochs),
        opened_at_ms=tuple(epoch.opened_at_ms for epoch in epochs),
        shares=tuple(epoch.shares for epoch in epochs),
    )


def _candidates(
    subject: Subject, everything: Evidence, mature: Evidence, look: Tick
) -> tuple[CandidatePart, ...]:
    series = everything.epochs[-1].cost_series if everything.epochs else 0
    current = mature.in_series(series)
    return tuple(
        _candidate(subject, arm, everything, mature, current, look)
        for arm in range(len(subject.definition.candidates))
    )


def _candidate(
    subject: Subject, arm: int, everything: Evidence, mature: Evidence, current: Evidence, look: Tick
) -> CandidatePart:
    definition = subject.definition
    reward, cost = mature.metric(PRIMARY).pooled()[arm], current.metric(COST).pooled()[arm]
    error, joint = mature.metric(ERROR).pooled()[arm], current.metric(PRIMARY).pooled()[arm]
    comparison = look.comparisons[arm - 1] if arm else None
    histogram = _histogram(everything, arm)
    per_day = look.volume.units_per_day / definition.traffic
    saved = saved_per_day(current, comparison, per_day)
    read = read_outs(definition, mature, current, comparison, look.progress)
    chances = read.chances
    return CandidatePart(
        name=definition.candidates[arm],
        is_control=arm == 0,
        dropped=subject.dropped.get(arm),
        share=everything.epochs[-1].shares[arm] if everything.epochs else 0.0,
        units=int(everything.counts["assigned"][:, arm].sum()),
        mature_units=int(reward[Z.UNIT, Z.UNIT]),
        missing_feedback=look.health.missing_feedback[arm],
        served_as_assigned=look.volume.served[arm],
        reward=_ratio(reward[Z.UNIT, Z.TOTAL], reward[Z.UNIT, Z.REQUESTS]),
        cost_usd=_ratio(cost[Z.UNIT, Z.COST], cost[Z.UNIT, Z.UNIT]),
        reward_per_usd=_ratio(joint[Z.UNIT, Z.TOTAL], joint[Z.UNIT, Z.COST])
        if definition.objective.needs_cost or look.volume.costed[arm] == 1
        else None,
        error_rate=_ratio(error[Z.UNIT, Z.TOTAL], error[Z.UNIT, Z.REQUESTS]),
        latency_p50_ms=quantile_ms(histogram, 0.5),
        latency_p95_ms=quantile_ms(histogram, 0.95),
        reward_effect=read.reward,
        cost_effect=read.cost,
        reward_per_cost_effect=read.reward_per_cost,
        chance_to_win=chances.chance_to_win if chances else None,
        chance_not_worse=chances.chance_non_inferior if chances else None,
        expected_loss=chances.expected_loss if chances else None,
        saved_usd_per_day=saved.value,
        saved_usd_per_day_low=saved.low,
        saved_usd_per_day_high=saved.high,
        guardrails=_guardrails(comparison, look),
    )


def _guardrails(comparison: Comparison | None, look: Tick) -> tuple[GuardrailPart, ...]:
    one = _candidacy(comparison, look)
    if one is None:
        return ()
    names = [guard.guardrail.metric for guard in one.comparison.guardrails]
    rules = [rule for rule in one.rules if rule.name in names]
    return tuple(GuardrailPart(metric=rule.name, state=rule.state, sentence=rule.sentence) for rule in rules)


def _candidacy(comparison: Comparison | None, look: Tick) -> Candidacy | None:
    return next((one for one in look.candidacies if one.comparison is comparison), None)


def _ratio(numerator: float, denominator: float) -> Number:
    return float(numerator / denominator) if denominator > 0 else None


def _histogram(everything: Evidence, arm: int) -> Counter[int]:
    total: Counter[int] = Counter()
    for epoch in everything.latency:
        total.update(epoch[arm])
    return total


def _planned(definition: Experiment, mature: Evidence) -> int:
    """Units an arm of a fixed-horizon test for the mde, at the variance seen, or the largest possible."""
    decision, pooled = definition.decision, mature.metric(PRIMARY).pooled()[0]
    n = pooled[Z.UNIT, Z.UNIT]
    variance = 0.25 * definition.reward.width**2
    if n > 100:
        seen = pooled[Z.TOTAL, Z.TOTAL] / n - (pooled[Z.UNIT, Z.TOTAL] / n) ** 2
        variance = max(float(seen), VARIANCE_FLOOR * definition.reward.width**2)
    return planned_units(alpha=decision.alpha, mde=decision.mde, sd=sqrt(variance))


def _heterogeneity(definition: Experiment, mature: Evidence, look: Tick) -> Number:
    """The smallest p over candidates, corrected for their number."""
    found = [
        heterogeneity_p(mature.metric(PRIMARY), 0, one.arm, definition.reward.width)
        for one in look.comparisons
    ]
    known = [p for p in found if p is not None]
    return min(1.0, min(known) * len(known)) if known else None
