"""The verdict: what the evidence supports, in plain words.

Harm acts by itself, gain asks for approval. A promotion that was supported at one look stays supported:
the tests are valid at all looks together, so a later look does not un-declare it. Harm, broken health and new
prices do; a doubt that came up since turns it into a question for a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, isfinite

from experiments.definition.duration import days_in_words
from experiments.definition.experiment import Experiment
from experiments.evidence.volume import DAY_MS, Volume
from experiments.verdict.comparison import relative
from experiments.verdict.elimination import leader, objective_effect
from experiments.verdict.health import Health
from experiments.verdict.progress import Declared, Progress
from experiments.verdict.rules import Candidacy, units_needed

MOST_UNITS = 1e9


class Kind(StrEnum):
    """What to do."""

    NOT_READY = "not_ready"
    KEEP_RUNNING = "keep_running"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    STOP_FUTILE = "stop_futile"
    INCONCLUSIVE = "inconclusive"
    NEEDS_REVIEW = "needs_review"
    UNHEALTHY = "unhealthy"
    FIT = "fit"
    """In mode shadow: its errors, cost and latency keep the bounds. Never a promotion."""
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, for which candidate, and why in a sentence."""

    kind: Kind
    candidate: str | None
    """The candidate to promote or to look at; None where the verdict names none."""
    sentence: str
    units_needed: int | None = None
    """About how many further units settle the question, over all arms; None where no number is known."""
    days_needed: float | None = None


def judge(
    definition: Experiment,
    candidacies: Sequence[Candidacy],
    health: Health,
    volume: Volume,
    progress: Progress,
) -> Verdict:
    """The verdict of one look. `candidacies` are the candidates that still get traffic."""
    if health.alarm is not None:
        return Verdict(Kind.UNHEALTHY, None, f"The data cannot be trusted: {health.alarm}.")
    if not candidacies:
        return _all_out(progress)
    declared = progress.declared
    waiting = next(
        (one for one in candidacies if declared and one.comparison.candidate == declared.candidate), None
    )
    if declared is not None and waiting is not None:
        return _declared(declared, waiting, health.doubt)
    best = leader(definition, candidacies)
    ready = _ready(definition, candidacies, best, volume)
    early = volume.running_ms < definition.decision.min_days * DAY_MS
    if ready is not None:
        return _too_early(definition, volume, ready) if early else _promote(definition, ready, health.doubt)
    if all(one.futile for one in candidacies) and not early:
        return Verdict(Kind.STOP_FUTILE, None, "No candidate can be worth a change: " + futility(candidacies))
    if volume.mature >= definition.decision.max_units:
        return Verdict(
            Kind.INCONCLUSIVE, None, f"The planned {definition.decision.max_units:,} units did not settle it."
        )
    return _open(definition, candidacies, best, volume)


def _ready(
    definition: Experiment, candidacies: Sequence[Candidacy], best: Candidacy | None, volume: Volume
) -> Candidacy | None:
    """The leader once its rules hold; at the planned maximum any candidate whose rules hold."""
    if best is not None and best.passes_but_served:
        return best
    if volume.mature < definition.decision.max_units:
        return None
    passing = [one for one in candidacies if one.passes_but_served]
    return max(passing, key=lambda one: objective_effect(definition, one.comparison).value, default=None)


def _not_served(one: Candidacy) -> str | None:
    rule = one.rule("served")
    return rule.sentence if rule is not None and rule.state == "fails" else None


def _declared(declared: Declared, one: Candidacy, doubt: str | None) -> Verdict:
    """A promotion that waits for approval."""
    doubt = _not_served(one) or doubt
    if doubt is None:
        return Verdict(Kind.PROMOTE, declared.candidate, declared.sentence)
    sentence = f"{declared.candidate} passed every test at epoch {declared.epoch}, but since then: {doubt}."
    return Verdict(Kind.NEEDS_REVIEW, declared.candidate, sentence)


def _promote(definition: Experiment, one: Candidacy, doubt: str | None) -> Verdict:
    name = one.comparison.candidate
    doubt = _not_served(one) or doubt
    if doubt is not None:
        return Verdict(Kind.NEEDS_REVIEW, name, f"{name} passes every test, but {doubt}.")
    return Verdict(Kind.PROMOTE, name, f"Promote {name}: {deciding_figures(definition, one)}.")


def deciding_figures(definition: Experiment, one: Candidacy) -> str:
    """The deciding figures: what happens to reward, with the bound that was tested, and to cost."""
    reward, cost = one.comparison.reward, one.comparison.cost
    margin = definition.objective.reward_margin
    exact = one.comparison.exact
    bound = f"at least {one.comparison.not_worse_lower:+.4f} (margin {margin:g})"
    if exact is not None:
        bound = f"and the exact test rules out a loss of {margin:g} or more (p {exact.not_worse.p:.2g})"
    words = f"its reward is {reward.estimate.value:+.3f} against {definition.control}, {bound}"
    if not cost.known:
        return words
    words = (
        f"{words}, and its cost per unit {relative(cost.estimate.value):+.0%} "
        f"({relative(cost.low):+.0%} to {relative(cost.high):+.0%})"
    )
    request = one.comparison.cost_per_request
    if request is cost or not request.known:
        return words
    return (
        f"{words}, per request {relative(request.estimate.value):+.0%} "
        f"({relative(request.low):+.0%} to {relative(request.high):+.0%})"
    )


def _all_out(progress: Progress) -> Verdict:
    reasons = "; ".join(f"{name}: {why}" for name, why in progress.dropped.items())
    return Verdict(Kind.ROLL_BACK, None, f"Every candidate was ruled out, the control stays. {reasons}.")


def _too_early(definition: Experiment, volume: Volume, one: Candidacy) -> Verdict:
    days = definition.decision.min_days - volume.running_ms / DAY_MS
    name = one.comparison.candidate
    sentence = f"{name} passes every test; the minimum duration ends in {days_in_words(days)}."
    return Verdict(Kind.NOT_READY, name, sentence, None, days)


def _open(
    definition: Experiment, candidacies: Sequence[Candidacy], best: Candidacy | None, volume: Volume
) -> Verdict:
    """Too little data yet, or an open question with the units that would settle it."""
    watched = best or min(candidacies, key=lambda one: units_needed(definition, one, volume))
    name = watched.comparison.candidate
    units = units_needed(definition, watched, volume)
    room = max(definition.decision.max_units - volume.mature, 0)
    known = isfinite(units) and units < MOST_UNITS
    needed = _rounded(units) if known else None
    days = needed / volume.units_per_day if needed is not None and volume.units_per_day > 0 else None
    data = watched.rule("data")
    if data is not None and data.state == "open" and not watched.comparison.reward.known:
        return Verdict(Kind.NOT_READY, None, f"Not enough data yet: {data.sentence} ({name}).", needed, days)
    if needed is None or needed > room:
        more = f"more than the {room:,} left of max_units"
    else:
        more = f"about {needed:,} more units"
    open_rules = "; ".join(rule.sentence for rule in watched.rules if rule.state != "holds")
    sentence = f"Keep running: {more} for {name}. {open_rules}.{_waiting(definition, candidacies, name)}"
    return Verdict(Kind.KEEP_RUNNING, name, sentence, needed, days)


def _waiting(definition: Experiment, candidacies: Sequence[Candidacy], watched: str) -> str:
    """Who could be promoted already, if the leader did not look better: it is one reason to stop here."""
    passing = [one.comparison.candidate for one in candidacies if one.passes]
    if not passing:
        return ""
    could = " and ".join(passing)
    pronoun = "passes" if len(passing) == 1 else "pass"
    return f" {could} {pronoun} every test already; {watched} looks better on {definition.objective.kind}."


def _rounded(units: float) -> int:
    """Two significant digits, never zero: a forecast should not look exact.

    >>> _rounded(12_345.0)
    13000
    """
    size: int = 10 ** max(len(str(int(units))) - 2, 0)
    return max(ceil(units / size) * size, 1)


def futility(candidacies: Sequence[Candidacy]) -> str:
    """Why no candidate is worth a change: nothing to gain, or alone it costs more than the budget."""
    words = []
    for one in candidacies:
        gain, budget = one.rule("gain"), one.rule("budget")
        if gain is not None and gain.state == "fails":
            words.append(f"{one.comparison.candidate} is {gain.sentence}")
        elif budget is not None:
            words.append(f"{one.comparison.candidate} cannot serve alone, {budget.sentence}")
    return "; ".join(words)
