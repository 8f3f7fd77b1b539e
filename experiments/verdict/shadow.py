"""Shadow: what pairs of calls show of candidates that serve nobody yet; the verdict is `fit` or `unfit`.

A candidate is fit once every bound is shown to hold (an intersection-union test, each at alpha / (K - 1)), and
unfit once one is shown to be broken, at that level shared among the bounds. Neither promotes: nobody has seen its
answers, and no reward has been reported for them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, inf, isfinite, log

import numpy as np

from bandit.cells import Cells, Floats, Z
from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import COST, ERROR
from experiments.definition.reward import PAIR_COST, PAIR_ERROR, PAIR_LATENCY
from experiments.evidence.evidence import Evidence
from experiments.evidence.pairs import pair_metric
from experiments.evidence.units import COST as SPENT
from experiments.evidence.units import PRIMARY
from experiments.evidence.volume import DAY_MS, Volume
from experiments.inference.paired import FEWEST_PAIRS, LOG_VARIANCE_FLOOR, log_ratio_of_means, mean_difference
from experiments.inference.sequence import Estimate
from experiments.inference.sequence import Sequence as Confidence
from experiments.verdict.comparison import Effect, level, relative
from experiments.verdict.health import Health
from experiments.verdict.progress import Progress
from experiments.verdict.rules import Rule, State
from experiments.verdict.verdict import MOST_UNITS, Kind, Verdict

USUAL_ERRORS = 0.02
"""Bound on the difference of error rates where no guardrail states one."""
USUAL_RATIO = log(1.25)
"""Size that an interval of a ratio is tuned for where no guardrail states one."""
FLAT = 1e-4
"""Smallest variance of a reported metric's difference, as a part of its squared range."""
DOUBTFUL_LOST = 0.05
"""Share of copies without a pair beyond which the report warns."""
LATENCY = "latency_p50_ms"


@dataclass(frozen=True, slots=True)
class Paired:
    """One figure by pair: the effect of the copy against the served answer, and its bound if one is stated."""

    metric: str
    effect: Effect
    pairs: int
    bound: float | None
    """Below 0 where a fall does the harm."""
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """One candidate beside the control, request by request."""

    arm: int
    candidate: str
    pairs: int
    """Requests that both models were asked, in settled epochs."""
    asked: int
    """Copies of all epochs, the open one too."""
    spent_usd: float
    """What they cost."""
    waiting: int
    """Copies begun or offered without a pair yet, whose outcomes may still come."""
    lost: int
    """The same where nothing can come any more: one side, or both, never said what became of it."""
    figures: tuple[Paired, ...]
    more_pairs: float
    """About how many further pairs settle what is open; infinite where no number is known."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those that decide."""
        return tuple(each.rule for each in self.figures if each.rule is not None)

    @property
    def fit(self) -> bool:
        """Every bound is shown to hold."""
        return all(rule.state == "holds" for rule in self.rules)

    @property
    def harm(self) -> Rule | None:
        """A bound that is shown to be broken."""
        return next((rule for rule in self.rules if rule.state == "fails"), None)


def served_only(everything: Evidence) -> Evidence:
    """Evidence with the counts of served requests alone: copies are nobody's assignment."""
    counts = {
        name: np.where(np.arange(everything.arms) == 0, kind, 0) for name, kind in everything.counts.items()
    }
    return replace(everything, counts=counts)


def unrated(everything: Evidence) -> Evidence:
    """Evidence without rewards of copies: nobody saw their answers, and a failed copy has no reward either."""
    kept = np.arange(everything.arms)[None, :, None, None] == 0
    rewards = {
        metric: Cells(cells.sums * kept)
        for metric, cells in everything.cells.items()
        if metric.startswith(PRIMARY)
    }
    return replace(everything, cells={**everything.cells, **rewards})


def compare_shadows(
    definition: Experiment, everything: Evidence, settled: Evidence, cost_series: int, now_ms: int
) -> tuple[ShadowComparison, ...]:
    """Every candidate beside the control, from the pairs of settled epochs; costs at the current prices."""
    current, final = settled.in_series(cost_series), everything.final(definition, now_ms)
    mature = everything.where(final)
    unpaired = tuple(map(_unpaired, (everything.where(~final), mature)))
    return tuple(
        _compared(
            definition, arm, (everything, settled, current, mature), (unpaired[0][arm], unpaired[1][arm])
        )
        for arm in range(1, len(definition.candidates))
    )


def with_lost(health: Health, found: Sequence[ShadowComparison]) -> Health:
    """Health with a warning where many copies have no pair: what is not reported may be what failed."""
    doubtful = [
        f"{one.lost:,} copies for {one.candidate} have no pair, beside {one.pairs:,} pairs: a side of each was never "
        "reported, and if that is what failed, the figures are too good"
        for one in found
        if one.lost > DOUBTFUL_LOST * (one.lost + one.pairs)
    ]
    return replace(health, warnings=(*health.warnings, *doubtful)) if doubtful else health


def judge_shadows(
    definition: Experiment,
    found: Sequence[ShadowComparison],
    health: Health,
    volume: Volume,
    progress: Progress,
) -> Verdict:
    """The verdict of one look; `progress` says which candidates were shown to be unfit before."""
    if health.alarm is not None:
        return Verdict(Kind.UNHEALTHY, None, f"The data cannot be trusted: {health.alarm}.")
    live = [one for one in found if one.candidate not in progress.dropped]
    if not live:
        reasons = "; ".join(f"{name}: {why}" for name, why in progress.dropped.items())
        return Verdict(Kind.UNFIT, None, f"No candidate is fit. {reasons}.")
    fit = [one for one in live if one.fit]
    days = definition.decision.min_days - volume.running_ms / DAY_MS
    if fit and days > 0:
        name = fit[0].candidate
        sentence = f"{name} keeps every bound; the minimum duration ends in {days:.1f} days."
        return Verdict(Kind.NOT_READY, name, sentence, None, days)
    if len(fit) == len(live):
        return _fit(fit)
    if volume.mature >= definition.decision.max_units:
        words = f"The planned {definition.decision.max_units:,} requests did not settle it."
        return Verdict(Kind.INCONCLUSIVE, None, words)
    return _open([one for one in live if not one.fit], fit, volume)


def _fit(fit: Sequence[ShadowComparison]) -> Verdict:
    name = fit[0].candidate if len(fit) == 1 else None
    words = "; ".join(f"{one.candidate}: {', '.join(rule.sentence for rule in one.rules)}" for one in fit)
    return Verdict(Kind.FIT, name, f"Fit to be compared on real traffic. {words}.")


def _open(waiting: Sequence[ShadowComparison], fit: Sequence[ShadowComparison], volume: Volume) -> Verdict:
    """What is open for the candidate that needs the fewest further pairs."""
    one = min(waiting, key=lambda each: each.more_pairs)
    rate = one.asked / volume.assigned if volume.assigned else 0.0
    units = one.more_pairs / rate if rate > 0 else inf
    known = isfinite(units) and units < MOST_UNITS
    needed = max(ceil(units), 1) if known else None
    days = needed / volume.units_per_day if needed is not None and volume.units_per_day > 0 else None
    already = f" Fit already: {', '.join(each.candidate for each in fit)}." if fit else ""
    if one.pairs < FEWEST_PAIRS:
        words = f"Not enough pairs yet: {one.pairs} of {FEWEST_PAIRS} ({one.candidate}).{already}"
        return Verdict(Kind.NOT_READY, None, words, needed, days)
    more = (
        f"about {needed:,} more requests"
        if needed is not None
        else "no number of requests is known to settle it"
    )
    rules = "; ".join(rule.sentence for rule in one.rules if rule.state == "open")
    words = f"Keep running: {more} for {one.candidate}. {rules}.{already}"
    return Verdict(Kind.KEEP_RUNNING, one.candidate, words, needed, days)


def _unpaired(evidence: Evidence) -> list[int]:
    """Copies without a pair, by arm; those that are known only from their report count as well."""
    begun = (evidence.counts["assigned"] + evidence.counts["recovered"]).sum(axis=0)
    paired = evidence.metric(PAIR_ERROR).pooled()[:, Z.UNIT, Z.UNIT]
    return [max(int(copies) - round(pairs), 0) for copies, pairs in zip(begun, paired, strict=True)]


def _compared(
    definition: Experiment,
    arm: int,
    evidence: tuple[Evidence, Evidence, Evidence, Evidence],
    unpaired: tuple[int, int],
) -> ShadowComparison:
    """From all epochs, the settled ones, those of current prices and the mature ones.

    `unpaired` are the waiting and the lost copies.
    """
    everything, settled, current, final = evidence
    given = (*_of_calls(definition, arm, settled, current), *_of_feedback(definition, arm, final))
    harms = sum(one.bound is not None for one in given)
    found = [_figure(definition, one, harms) for one in given]
    asked, spent = _pooled(everything, ERROR, arm), _pooled(everything, SPENT, arm)
    return ShadowComparison(
        arm,
        definition.candidates[arm],
        int(given[0].sums[Z.UNIT, Z.UNIT]),
        int(asked[Z.UNIT, Z.UNIT]),
        float(spent[Z.UNIT, Z.COST]),
        *unpaired,
        tuple(figure for figure, _ in found),
        max(more for _, more in found),
    )


def _pooled(evidence: Evidence, metric: str, arm: int) -> Floats:
    sums: Floats = evidence.metric(metric).pooled()[arm]
    return sums


@dataclass(frozen=True, slots=True)
class _Given:
    """One figure before it is judged."""

    metric: str
    estimate: Estimate
    sums: Floats
    bound: float | None
    shown: Callable[[float], str]
    falls: bool = False
    """A fall does the harm, and the bound is on it."""


def _of_calls(definition: Experiment, arm: int, settled: Evidence, current: Evidence) -> tuple[_Given, ...]:
    """Errors, cost and latency, which are known when a call ends."""
    bounds = {guardrail.metric: guardrail.bound for guardrail in definition.guardrails}
    errors = bounds.get(ERROR, USUAL_ERRORS)
    error, latency = _pooled(settled, PAIR_ERROR, arm), _pooled(settled, PAIR_LATENCY, arm)
    cost = _pooled(current, PAIR_COST, arm)
    return (
        _Given(ERROR, mean_difference(error, errors * (1 - errors)), error, errors, _points),
        _Given(COST, log_ratio_of_means(cost), cost, bounds.get(COST), _percent),
        _Given(LATENCY, mean_difference(latency, LOG_VARIANCE_FLOOR), latency, bounds.get(LATENCY), _percent),
    )


def _of_feedback(definition: Experiment, arm: int, mature: Evidence) -> Iterator[_Given]:
    """Metrics that feedback reports of both answers, as a judge's; judgements come late, so mature epochs only.

    The variance is at least the smallest that a mean difference of the bound can have between rare values at the
    ends of the range.
    """
    for rule in definition.guardrails:
        if rule.range is None:
            continue
        sums = _pooled(mature, pair_metric(rule.metric), arm)
        floor = max(rule.bound * (rule.width - rule.bound), FLAT * rule.width**2)
        estimate, falls = mean_difference(sums, floor), rule.max_decrease is not None
        yield _Given(rule.metric, estimate, sums, rule.bound, _plain, falls)


def _figure(definition: Experiment, given: _Given, harms: int) -> tuple[Paired, float]:
    """One figure with its interval and rule, and the further pairs that its rule needs."""
    metric, estimate, bound = given.metric, given.estimate, given.bound
    alpha, size = level(definition), USUAL_RATIO if bound is None else bound
    sequence = Confidence(alpha, size)
    low, high = sequence.interval(estimate)
    pairs = int(given.sums[Z.UNIT, Z.UNIT])
    effect = Effect(estimate, low, high, sequence.p_value(estimate))
    if bound is None:
        return Paired(metric, effect, pairs, None, None), 0.0
    worse = estimate.reversed() if given.falls else estimate
    upper, lower = sequence.upper(worse), Confidence(alpha / harms, size).lower(worse)
    state: State = "holds" if upper < bound else "fails" if lower > bound else "open"
    rule = Rule(metric, state, _sentence(given, effect, (upper, lower, bound), state))
    more = _more_pairs(sequence, worse, pairs, bound) if state == "open" else 0.0
    return Paired(metric, effect, pairs, -bound if given.falls else bound, rule), more


def _more_pairs(sequence: Confidence, estimate: Estimate, pairs: int, bound: float) -> float:
    """Pairs still needed if the estimate is the truth; half the bound while nothing is known."""
    if estimate.information <= 0:
        return float(max(FEWEST_PAIRS - pairs, 1))
    distance = abs(bound - estimate.value)
    needed = sequence.information_needed(distance) * pairs / estimate.information
    return max(needed - pairs, 1.0)


def _sentence(given: _Given, effect: Effect, ends: tuple[float, float, float], state: State) -> str:
    """The figure, the end of its interval that decides, and the bound, in the metric's own direction."""
    what = {ERROR: "errors", COST: "cost", LATENCY: "latency"}.get(given.metric, given.metric)
    if not effect.known:
        return f"{what}: not enough pairs with both figures"
    upper, lower, bound = (-end if given.falls else end for end in ends)
    worst, best = ("least", "most") if given.falls else ("most", "least")
    end = f"at {best} {given.shown(lower)}" if state == "fails" else f"at {worst} {given.shown(upper)}"
    return f"{what} {given.shown(effect.estimate.value)}, {end} (bound {given.shown(bound)})"


def _plain(value: float) -> str:
    """A difference in a metric's own unit."""
    return f"{value:+.3g}"


def _points(value: float) -> str:
    """A difference of rates in percentage points."""
    return f"{value * 100:+.2f} points"


def _percent(value: float) -> str:
    """A log ratio as a relative change."""
    return f"{relative(value):+.1%}" if value < _LARGEST else f"more than {exp(_LARGEST):.0f} times"


_LARGEST = log(1_000)
