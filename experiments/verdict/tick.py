"""The tick: from evidence to verdict and next shares, as one pure function.

Production, replay and calibration all run this very function; nothing of it is written twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bandit.allocation import Allocation, allocate
from bandit.learning import learn_shares
from bandit.objectives import Objective
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch, may_close
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, PRIMARY
from experiments.evidence.volume import Volume, volume
from experiments.verdict.comparison import Comparison, compare
from experiments.verdict.elimination import eliminated
from experiments.verdict.health import Health, check_health
from experiments.verdict.progress import Declared, Progress
from experiments.verdict.rules import Candidacy, candidacy
from experiments.verdict.verdict import Kind, Verdict, judge


@dataclass(frozen=True)
class Standing:
    """What a tick knows beside the evidence."""

    seed: int
    """The experiment's id: with the epoch's number it seeds the allocation's draws."""
    started_at_ms: int
    dropped: tuple[int, ...]
    progress: Progress
    list_costs_usd: tuple[float, ...]
    """Expected cost per unit of each candidate by the price list."""
    price_version: str


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


def tick(definition: Experiment, everything: Evidence, standing: Standing, now_ms: int) -> Tick:
    """Look at an experiment: health, tests on mature epochs, verdict, and the shares that follow."""
    mature = everything.mature(definition, now_ms)
    series = _cost_series(everything, standing)
    seen = volume(definition, everything, mature, standing.started_at_ms, now_ms)
    health = check_health(definition, everything, mature)
    comparisons = compare(definition, mature, range(1, len(definition.candidates)), series)
    live = tuple(candidacy(definition, one, seen) for one in comparisons if one.arm not in standing.dropped)
    progress = _looked(standing.progress, comparisons, mature, series)
    out = _eliminated(definition, mature, live, series, health, progress)
    dropped = {definition.candidates.index(name): why for name, why in out.items()}
    remaining = tuple(one for one in live if one.comparison.arm not in dropped)
    progress = _noted(progress, out)
    verdict = judge(definition, remaining, health, seen, progress)
    gone = (*standing.dropped, *dropped)
    return Tick(
        verdict, live, comparisons, health, seen, dropped,
        _next_epoch(definition, everything, standing, gone, bool(dropped), now_ms),
        _declaring(progress, verdict, now_ms),
    )  # fmt: skip


def _cost_series(everything: Evidence, standing: Standing) -> int:
    """The price version in force; one that no epoch has yet starts without any evidence on costs."""
    if not everything.epochs:
        return 0
    newest = everything.epochs[-1]
    return newest.cost_series + (newest.price_version != standing.price_version)


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
    progress: Progress, comparisons: tuple[Comparison, ...], mature: Evidence, series: int
) -> Progress:
    """The memory after this look's p-values."""
    p_values = {
        one.candidate: {
            "reward": one.reward.p,
            "cost": one.cost.p,
            "reward_per_cost": one.reward_per_cost.p,
            "deciding": one.p_deciding,
        }
        for one in comparisons
    }
    return progress.seen(p_values, mature.epochs[-1].number if mature.epochs else 0, series)


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


def _next_epoch(
    definition: Experiment,
    everything: Evidence,
    standing: Standing,
    gone: tuple[int, ...],
    at_once: bool,
    now_ms: int,
) -> Epoch | None:
    """The next epoch if the open one may close: new prices and dropped candidates close it at once."""
    if not everything.epochs or everything.epochs[-1].closed_at_ms is not None:
        return None
    current = everything.epochs[-1]
    repriced = current.price_version != standing.price_version
    units = int(everything.counts["assigned"][-1].sum())
    before = int(everything.counts["assigned"][:-1].sum())
    if not (at_once or repriced) and not may_close(current, everything.arms, units, before, True, now_ms):
        return None
    shares = next_shares(definition, everything, standing, gone, current.number + 1, now_ms)
    unchanged = shares == current.shares and not repriced
    if unchanged and not may_close(current, everything.arms, units, before, False, now_ms):
        return None
    return Epoch(
        current.experiment_id,
        current.number + 1,
        now_ms,
        shares,
        current.cost_series + repriced,
        standing.price_version,
    )


def next_shares(
    definition: Experiment,
    everything: Evidence,
    standing: Standing,
    gone: tuple[int, ...],
    number: int,
    now_ms: int,
) -> tuple[float, ...]:
    """Shares of epoch `number`: given ones in mode ab, top-two sampling in mode learn, Thompson sampling in mode
    earn; none for dropped arms."""
    if definition.mode == "ab":
        return _given(definition, gone, number)
    objective = definition.objective
    low, high = definition.reward.range
    settings = Allocation(
        objective=Objective(objective.kind, objective.reward_margin, objective.min_reward, low, high),
        list_costs_usd=standing.list_costs_usd,
        dropped=gone,
    )
    arrived = everything.arrived(definition, now_ms)
    current = everything.in_series(everything.epochs[-1].cost_series)
    split = learn_shares if definition.mode == "learn" else allocate
    shares = split(arrived.metric(PRIMARY), settings, (standing.seed, number), current.metric(COST))
    return tuple(shares.tolist())


def _given(definition: Experiment, gone: tuple[int, ...], number: int) -> tuple[float, ...]:
    """Declared shares, one step of the ramp an epoch, spread over the arms that remain."""
    shares = definition.starting_shares
    if definition.ramp is not None:
        control = definition.ramp[min(number, len(definition.ramp)) - 1]
        shares = (control, 1.0 - control)
    kept = [0.0 if arm in gone else share for arm, share in enumerate(shares)]
    if not gone:
        return shares
    return tuple(share / sum(kept) for share in kept)
