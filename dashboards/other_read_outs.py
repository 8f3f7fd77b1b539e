"""Other read-outs: what the same evidence says beside the deciding read-out, as lines of a title and a finding."""

from collections.abc import Iterator
from dataclasses import dataclass

from dashboards import figures
from dashboards.effect_tables import Format, interval
from dashboards.wording import watches
from experiments.report.document import CandidatePart, Report
from experiments.report.other_parts import AdjustedPart, CrossCheckPart, ExactPart, IntervalPart, OtherPart


@dataclass(frozen=True, slots=True)
class Line:
    """One read-out of one candidate."""

    title: str
    figure: str
    note: str = ""
    """What it means, or what to make of it."""
    doubtful: bool = False
    """Whether a reader should stop here."""


@dataclass(frozen=True, slots=True)
class Lines:
    """All of one candidate."""

    candidate: CandidatePart
    lines: tuple[Line, ...]


def other_read_outs(report: Report) -> tuple[Lines, ...]:
    """The lines of each candidate but the control."""
    return tuple(
        Lines(candidate, tuple(_lines(report, candidate, candidate.other)))
        for candidate in report.candidates
        if candidate.other is not None
    )


def other_means(report: Report) -> tuple[Line, ...]:
    """Means without clipping and capping, of every candidate that has them, the control too."""
    found = []
    for candidate in report.candidates:
        if candidate.reward_unclipped is not None:
            counted = f"counted as {figures.reward(candidate.reward)}"
            found.append(
                Line(
                    f"{candidate.name}: reward as reported",
                    figures.reward(candidate.reward_unclipped),
                    counted,
                )
            )
        if candidate.cost_uncapped_usd is not None:
            counted = f"counted as {figures.money(candidate.cost_usd)}"
            found.append(
                Line(
                    f"{candidate.name}: cost without the cap",
                    figures.money(candidate.cost_uncapped_usd),
                    counted,
                )
            )
    return tuple(found)


def _lines(report: Report, candidate: CandidatePart, other: OtherPart) -> Iterator[Line]:
    rule = "What must be kept" if watches(report.experiment) else "Promotion rule"
    yield Line(
        rule, f"p {figures.p_value(other.promotion_p)}, e-value {figures.e_value(other.promotion_e_value)}",
        "not worse and a gain, both at once; p is the smallest so far, the e-value that of this look",
    )  # fmt: skip
    yield Line(
        "Detectable now", figures.reward(other.detectable),
        f"smallest difference of reward that would show with a probability of 80%; planned for "
        f"{figures.setting(report.mde)}",
    )  # fmt: skip
    yield from _exact(report, other.exact)
    if other.anytime is not None:
        yield _interval(
            "Confidence sequence", other.anytime, figures.difference, "beside the exact one, which decides"
        )
    yield _cross_check(other.cross_check)
    if other.adjusted is not None:
        yield _adjusted(other.adjusted)
    yield from _raw(other)
    yield from _corrected(candidate)
    yield Line(
        "Equivalence, fixed horizon", f"p {figures.p_value(other.equivalence_p)}",
        f"of a difference of {figures.setting(report.reward_margin)} or more, by two one-sided tests (TOST)",
    )  # fmt: skip


def _corrected(candidate: CandidatePart) -> Iterator[Line]:
    """Fixed-horizon p-values corrected for the number of candidates, where there are several."""
    effects = (
        ("reward", candidate.reward_effect), ("cost", candidate.cost_effect),
        ("cost per request", candidate.cost_per_request_effect),
        ("reward per US dollar", candidate.reward_per_cost_effect),
        ("net value", candidate.net_value_effect),
    )  # fmt: skip
    found = [
        f"{name} {figures.p_value(part.fixed_p_holm)} and {figures.p_value(part.fixed_p_bh)}"
        for name, part in effects
        if part is not None and part.fixed_p_holm is not None
    ]
    if found:
        note = (
            "p for all candidates together, by Holm and by Benjamini and Hochberg; under the same conditions"
        )
        yield Line("Fixed horizon, corrected", "; ".join(found), note)


def _exact(report: Report, part: ExactPart) -> Iterator[Line]:
    if part.reason:
        yield Line("Exact interval", figures.UNKNOWN, part.reason)
        return
    decides = "decides here" if part.decides else "also for rare outcomes; does not decide here"
    yield Line(
        "Exact interval", interval(part.low, part.high, figures.difference),
        f"p {figures.p_value(part.p)} of no difference, e-value {figures.e_value(part.e_value)}; {decides}",
    )  # fmt: skip
    yield Line(
        "Exact test of not worse", f"p {figures.p_value(part.not_worse_p)}",
        f"of a loss of {figures.setting(report.reward_margin)} or more",
    )  # fmt: skip


def _cross_check(part: CrossCheckPart) -> Line:
    if part.value is None:
        return Line("Cross-check by propensities", figures.UNKNOWN, part.sentence)
    return Line(
        "Cross-check by propensities",
        f"{figures.difference(part.value)} ({interval(part.low, part.high, figures.difference)})",
        f"AIPW on {figures.units(part.units)} rated units, never the decision. {part.sentence}",
        part.agrees is False,
    )


def _adjusted(part: AdjustedPart) -> Line:
    plain = f"{figures.difference(part.plain_value)} ({interval(part.plain_low, part.plain_high, figures.difference)})"
    decides = "decides here" if part.decides else "does not decide here"
    return Line(
        "Adjusted for the covariate",
        f"{figures.difference(part.value)} ({interval(part.low, part.high, figures.difference)})",
        f"without it {plain}; it explains {figures.percent(part.variance_reduction)} of the variance "
        f"(slope {figures.setting(part.slope)}) and {decides}",
    )


def _raw(other: OtherPart) -> Iterator[Line]:
    if other.reward_unclipped is not None:
        yield _interval(
            "Reward as reported",
            other.reward_unclipped,
            figures.difference,
            "without clipping to the declared range",
        )
    if other.cost_uncapped is not None:
        yield _interval(
            "Cost without the cap",
            other.cost_uncapped,
            figures.change,
            "beside the capped one, which decides",
        )


def _interval(title: str, part: IntervalPart, shown: Format, note: str) -> Line:
    if part.value is None:
        return Line(title, figures.UNKNOWN, note)
    return Line(title, f"{shown(part.value)} ({interval(part.low, part.high, shown)})", note)
