"""The tick: from evidence to verdict and next shares, as one pure function.

Production, replay and calibration all run this very function; nothing of it is written twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import PRIMARY
from experiments.evidence.volume import DAY_MS, Volume, volume
from experiments.verdict.comparison import Comparison, compare, deciding_e_value
from experiments.verdict.drifting import DriftAlert, drift_alerts
from experiments.verdict.elimination import eliminated
from experiments.verdict.health import Health, check_health
from experiments.verdict.next_shares import next_epoch
from experiments.verdict.progress import Declared, Progress
from experiments.verdict.rules import Candidacy, candidacy, few_data
from experiments.verdict.shadow import (
    ShadowComparison,
    compare_shadows,
    judge_shadows,
    served_only,
    with_lost,
)
from experiments.verdict.standing import Standing, in_force
from experiments.verdict.strict import exact_p_values
from experiments.verdict.verdict import Kind, Verdict, judge
from experiments.verdict.versions import current_versions
from experiments.verdict.watch import with_newest
from experiments.verdict.watch_words import in_words_of_a_watch

__all__ = ["Standing", "Tick", "tick"]


@dataclass(frozen=True)
class Tick:
    """What follows from one look."""

    verdict: Verdict
    candidacies: tuple[Candidacy, ...]
    """Of the candidates that still had traffic before this look."""
    comparisons: tuple[Comparison, ...]
    """Of every candidate, dropped ones too."""
    health: Health
    volume: Volume
    dropped: Mapping[int, str]
    """Arms to drop now, with the reason."""
    next_epoch: Epoch | None
    """The epoch to open, if one is due."""
    progress: Progress
    tested: Evidence
    """What the tests read once it is mature: everything, or in a holdback the epochs of the current versions."""
    drift: tuple[DriftAlert, ...] = ()
    """Candidates whose reward has changed against the others; also among the warnings of health."""
    shadows: tuple[ShadowComparison, ...] = ()
    """Of every candidate in mode shadow, which has no other comparisons."""
    watching: bool = False
    """Whether a holdback watches a promotion, so that nothing is to be promoted."""


def tick(definition: Experiment, everything: Evidence, standing: Standing, now_ms: int) -> Tick:
    """Look at an experiment: health, tests on mature epochs, verdict, and the shares that follow."""
    if definition.mode == "shadow":
        return _shadow_tick(definition, everything, standing, now_ms)
    series, models = in_force(everything, standing)
    tested = current_versions(everything, series, models) if standing.watching else everything
    mature = tested.mature(definition, now_ms)
    seen = volume(definition, everything, mature, now_ms)
    drift = mature.once("drift", (definition,), lambda: drift_alerts(definition, mature))
    health = check_health(definition, tested, mature).with_drift(drift)
    settled = tested.settled(definition, now_ms)
    rare = few_data(definition, seen)
    comparisons = compare(definition, mature, range(1, len(definition.candidates)), series, settled, rare)
    live = tuple(candidacy(definition, one, seen) for one in comparisons if one.arm not in standing.dropped)
    if standing.watching:
        live = tuple(with_newest(definition, mature, settled, one, series) for one in live)
    progress = _looked(definition, standing, comparisons, mature, (series, models))
    out = _eliminated(definition, mature, live, series, health, progress)
    dropped = {definition.candidates.index(name): why for name, why in out.items()}
    remaining = tuple(one for one in live if one.comparison.arm not in dropped)
    progress = _noted(progress, out)
    verdict = judge(definition, remaining, health, seen, progress)
    if standing.watching:
        verdict = in_words_of_a_watch(definition, verdict, remaining, progress)
    gone = (*standing.dropped, *dropped)
    return Tick(
        verdict, live, comparisons, health, seen, dropped,
        next_epoch(definition, everything, standing, gone, bool(dropped), now_ms),
        _declaring(progress, verdict, now_ms), tested, drift, watching=standing.watching,
    )  # fmt: skip


def _shadow_tick(definition: Experiment, everything: Evidence, standing: Standing, now_ms: int) -> Tick:
    """Look at pairs of calls: no shares move and no reward is read."""
    series, models = in_force(everything, standing)
    served, settled = served_only(everything), everything.settled(definition, now_ms)
    reached = served_only(settled)
    seen, health = volume(definition, served, reached, now_ms), check_health(definition, served, reached)
    found = compare_shadows(definition, everything, settled, series, now_ms)
    health = with_lost(health, found)
    newest = settled.epochs[-1].number if settled.epochs else 0
    progress = standing.progress.seen({}, newest, series, models)
    out = {
        one.candidate: one.harm.sentence
        for one in found
        if health.alarm is None and one.harm is not None and one.arm not in standing.dropped
    }
    progress = _noted(progress, out)
    dropped = {definition.candidates.index(name): why for name, why in out.items()}
    gone = (*standing.dropped, *dropped)
    return Tick(
        judge_shadows(definition, found, health, seen, progress), (), (), health, seen, dropped,
        next_epoch(definition, served, standing, gone, False, now_ms, _new_day(served, now_ms)),
        progress, everything, (), found,
    )  # fmt: skip


def _new_day(everything: Evidence, now_ms: int) -> bool:
    """Whether the open epoch began on an earlier day (UTC): what copies cost is counted by day."""
    return bool(everything.epochs) and everything.epochs[-1].opened_at_ms // DAY_MS < now_ms // DAY_MS


def _eliminated(
    definition: Experiment,
    mature: Evidence,
    live: tuple[Candidacy, ...],
    series: int,
    health: Health,
    progress: Progress,
) -> Mapping[str, str]:
    """Who must go; nobody on data that cannot be trusted."""
    if health.alarm is not None:
        return {}
    declared = progress.declared.candidate if progress.declared is not None else None
    return eliminated(definition, mature, live, series, declared)


def _looked(
    definition: Experiment,
    standing: Standing,
    comparisons: tuple[Comparison, ...],
    mature: Evidence,
    series: tuple[int, int],
) -> Progress:
    """The memory after this look's p-values."""
    p_values = {
        one.candidate: {
            "reward": one.reward.p,
            "cost": one.cost.p,
            "cost_per_request": one.cost_per_request.p,
            "reward_per_cost": one.reward_per_cost.p,
            "deciding": one.p_deciding,
            **({} if definition.objective.value_usd is None else {"net_value": one.superior.p}),
            **exact_p_values(definition, mature.metric(PRIMARY), one.arm),
        }
        for one in comparisons
    }
    newest = mature.epochs[-1].number if mature.epochs else 0
    progress = standing.progress.seen(p_values, newest, *series, watching=standing.watching)
    return progress.model_copy(update={"e_value": deciding_e_value(comparisons)})


def _noted(progress: Progress, out: Mapping[str, str]) -> Progress:
    """The memory with the candidates that go."""
    return progress.model_copy(update={"dropped": {**progress.dropped, **out}}) if out else progress


def _declaring(progress: Progress, verdict: Verdict, now_ms: int) -> Progress:
    """The memory with a promotion that is supported now for the first time."""
    name = verdict.candidate
    known = progress.declared is not None and progress.declared.candidate == name
    if verdict.kind is not Kind.PROMOTE or name is None or known:
        return progress
    declared = Declared(candidate=name, epoch=progress.last_epoch, at_ms=now_ms, sentence=verdict.sentence)
    return progress.model_copy(update={"declared": declared})
