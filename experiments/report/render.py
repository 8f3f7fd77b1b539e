"""Reporting: from one tick to the report document."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from bandit.cells import Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, ERROR, PRIMARY, UNCAPPED, UNCLIPPED
from experiments.inference.effects import VARIANCE_FLOOR
from experiments.inference.fixed_horizon import planned_units
from experiments.inference.heterogeneity import heterogeneity_p
from experiments.report.calibration import calibration
from experiments.report.discovery import discovery
from experiments.report.document import (
    CandidatePart,
    DriftPart,
    HealthPart,
    RatioPart,
    Report,
    RulePart,
    SharesPart,
    VerdictPart,
)
from experiments.report.families import with_corrections
from experiments.report.guardrails import guardrail_parts
from experiments.report.latencies import latency_quantiles
from experiments.report.misrouted import misrouted
from experiments.report.money import saved_per_day
from experiments.report.net_value import per_1000_usd
from experiments.report.numbers import number
from experiments.report.other_read_outs import other_read_outs
from experiments.report.part import Number
from experiments.report.read_outs import read_outs
from experiments.report.shadows import shadow_parts
from experiments.report.would_change import would_change
from experiments.verdict.shadow import unrated
from experiments.verdict.tick import Tick

MOST_POINTS = 300
HETEROGENEOUS = 0.01
"""p of equal effects in all epochs below which a report warns."""
NOBODY: Mapping[str, float] = {}


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


def render(
    subject: Subject, everything: Evidence, look: Tick, now_ms: int, peers: Mapping[str, float] = NOBODY
) -> Report:
    """The report of one look; `peers` are the deciding e-values of the other running experiments, by name."""
    definition = subject.definition
    everything = everything if definition.mode != "shadow" else unrated(everything)
    settled = everything.settled(definition, now_ms) if look.shadows else None
    mature = look.tested.mature(definition, now_ms) if settled is None else settled
    planned, changing = _planned(definition, mature), _heterogeneity(definition, mature, look)
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
        )
        + tuple(
            RulePart(candidate=one.candidate, name=rule.name, state=rule.state, sentence=rule.sentence)
            for one in look.shadows
            for rule in one.rules
        ),
        health=_health(look),
        misrouted=misrouted(everything),
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
        heterogeneity_p=changing.p,
        heterogeneity_warning=changing.warning,
        discovery=discovery(look.progress.e_value, definition.decision.alpha, peers),
        value_usd=definition.objective.value_usd,
        budget_usd=definition.objective.budget_usd,
        spend_per_request_usd=_spend(everything),
        drift=tuple(
            DriftPart(
                candidates=alert.candidates,
                change=alert.drift.change,
                error=alert.drift.error,
                p=alert.drift.p_value,
                recent_epochs=alert.drift.recent_epochs,
                sentence=alert.sentence,
            )
            for alert in look.drift
        ),
        shadow=shadow_parts(look),
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


def _spend(everything: Evidence) -> Number:
    """Mean cost of a request over all arms, as it was: without a declared cap."""
    spent = everything.metric(UNCAPPED if UNCAPPED in everything.cells else COST).sums.sum(axis=(0, 1))
    return _ratio(spent[Z.UNIT, Z.COST], spent[Z.UNIT, Z.REQUESTS])


def _candidates(
    subject: Subject, everything: Evidence, mature: Evidence, look: Tick
) -> tuple[CandidatePart, ...]:
    series = everything.epochs[-1].cost_series if everything.epochs else 0
    current = mature.in_series(series)
    return with_corrections(
        [
            _candidate(subject, arm, everything, mature, current, look)
            for arm in range(len(subject.definition.candidates))
        ]
    )


def _candidate(
    subject: Subject, arm: int, everything: Evidence, mature: Evidence, current: Evidence, look: Tick
) -> CandidatePart:
    definition = subject.definition
    reward, cost = mature.metric(PRIMARY).pooled()[arm], current.metric(COST).pooled()[arm]
    error, joint = mature.metric(ERROR).pooled()[arm], current.joint.pooled()[arm]
    comparison = look.comparisons[arm - 1] if arm and look.comparisons else None
    p50, p95 = latency_quantiles(everything, arm, (0.5, 0.95), definition.decision.alpha)
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
        cost_per_request_usd=_ratio(cost[Z.UNIT, Z.COST], cost[Z.UNIT, Z.REQUESTS]),
        reward_per_usd=_ratio(joint[Z.UNIT, Z.TOTAL], joint[Z.UNIT, Z.COST])
        if definition.objective.needs_cost or look.volume.costed[arm] == 1
        else None,
        error_rate=_ratio(error[Z.UNIT, Z.TOTAL], error[Z.UNIT, Z.REQUESTS]),
        latency_p50_ms=p50.value_ms,
        latency_p50_low_ms=p50.low_ms,
        latency_p50_high_ms=p50.high_ms,
        latency_p95_ms=p95.value_ms,
        latency_p95_low_ms=p95.low_ms,
        latency_p95_high_ms=p95.high_ms,
        reward_effect=read.reward,
        cost_effect=read.cost,
        cost_per_request_effect=read.cost_per_request,
        reward_per_cost_effect=read.reward_per_cost,
        net_value_per_1000_usd=per_1000_usd(definition, current, arm),
        net_value_effect=read.net_value,
        chance_to_win=chances.chance_to_win if chances else None,
        chance_not_worse=chances.chance_non_inferior if chances else None,
        expected_loss=chances.expected_loss if chances else None,
        saved_usd_per_day=saved.value,
        saved_usd_per_day_low=saved.low,
        saved_usd_per_day_high=saved.high,
        guardrails=guardrail_parts(comparison, look),
        reward_unclipped=_mean(mature, UNCLIPPED, arm, Z.REQUESTS),
        cost_uncapped_usd=_mean(current, UNCAPPED, arm, Z.UNIT),
        calibration=calibration(mature, arm),
        other=None
        if comparison is None or read.reward is None
        else other_read_outs(definition, mature, current, comparison, read.reward, look.progress),
    )


def _ratio(numerator: float, denominator: float) -> Number:
    return float(numerator / denominator) if denominator > 0 else None


def _mean(evidence: Evidence, metric: str, arm: int, per: Z) -> Number:
    """Mean of a metric that only some experiments have."""
    if metric not in evidence.cells:
        return None
    sums = evidence.metric(metric).pooled()[arm]
    return _ratio(sums[Z.UNIT, Z.TOTAL], sums[Z.UNIT, per])


def _planned(definition: Experiment, mature: Evidence) -> int:
    """Units an arm of a fixed-horizon test for the mde, at the variance seen, or the largest possible."""
    decision, pooled = definition.decision, mature.metric(PRIMARY).pooled()[0]
    n = pooled[Z.UNIT, Z.UNIT]
    variance = 0.25 * definition.reward.width**2
    if n > 100:
        seen = pooled[Z.TOTAL, Z.TOTAL] / n - (pooled[Z.UNIT, Z.TOTAL] / n) ** 2
        variance = max(float(seen), VARIANCE_FLOOR * definition.reward.width**2)
    return planned_units(alpha=decision.alpha, mde=decision.mde, sd=sqrt(variance))


@dataclass(frozen=True, slots=True)
class _Changing:
    """Whether some candidate's effect changes over time."""

    p: Number
    warning: str | None


def _heterogeneity(definition: Experiment, mature: Evidence, look: Tick) -> _Changing:
    """The smallest p over candidates, corrected for their number."""
    found = [
        (p, one.candidate)
        for one in look.comparisons
        if (p := heterogeneity_p(mature.metric(PRIMARY), 0, one.arm, definition.reward.width)) is not None
    ]
    if not found:
        return _Changing(None, None)
    smallest, name = min(found)
    p = min(1.0, smallest * len(found))
    if p >= HETEROGENEOUS:
        return _Changing(p, None)
    return _Changing(
        p,
        f"the effect of {name} on the reward changed over time (p {p:.2g} of equal effects in all epochs): its "
        "interval is about the average so far, so look at what changed before you rely on it",
    )
