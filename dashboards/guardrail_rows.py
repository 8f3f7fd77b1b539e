"""Guardrail rows: each guardrail of each candidate with its effect, interval and bound, as people read them."""

from dataclasses import dataclass

from dashboards import figures, wording
from dashboards.effect_tables import Format, interval
from dashboards.wording import Wording
from experiments.report.document import CandidatePart, GuardrailPart, Report


@dataclass(frozen=True, slots=True)
class GuardrailRow:
    """One guardrail of one candidate."""

    candidate: CandidatePart
    title: str
    effect: str
    interval: str
    bound: str
    p: str
    state: Wording


def guardrail_rows(report: Report) -> tuple[GuardrailRow, ...]:
    """All of them, candidate by candidate."""
    return tuple(_row(candidate, part) for candidate in report.candidates for part in candidate.guardrails)


def _row(candidate: CandidatePart, part: GuardrailPart) -> GuardrailRow:
    shown: Format = figures.change if part.relative else figures.difference
    side = "at least" if part.bound < 0 else "at most"
    bound = figures.setting_percent(part.bound) if part.relative else figures.setting(part.bound)
    sign = "" if part.bound < 0 else "+"
    return GuardrailRow(
        candidate,
        wording.metric_title(part.metric),
        figures.NOT_ENOUGH if part.value is None else shown(part.value),
        interval(part.low, part.high, shown),
        f"{side} {sign}{bound}",
        figures.p_value(part.p),
        wording.wording(wording.RULE_STATES, part.state),
    )
