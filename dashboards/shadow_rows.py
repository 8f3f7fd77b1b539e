"""Rows of the table of pairs, in mode shadow: what a candidate's copies show beside the served answers."""

from dataclasses import dataclass

from dashboards import figures, wording
from dashboards.effect_tables import Format, interval
from dashboards.wording import Wording
from experiments.report.document import Report
from experiments.report.shadow_part import PairFigure, ShadowPart

_NO_BOUND = Wording("No bound", "quiet", "dots")


@dataclass(frozen=True, slots=True)
class PairRow:
    """One figure of one candidate, ready to be shown."""

    candidate: str
    title: str
    pairs: str
    effect: str
    interval: str
    bound: str
    state: Wording


def pair_rows(report: Report) -> tuple[PairRow, ...]:
    """In the order of the candidates; none in other modes."""
    return tuple(_row(part.candidate, figure) for part in report.shadow for figure in part.figures)


def copies_sentences(report: Report) -> tuple[str, ...]:
    """How many copies each candidate answered, what they cost, and of how many too little is known."""
    return tuple(
        f"{part.candidate} was asked {figures.units(part.asked)} copies for {figures.money(part.spent_usd)}; "
        f"{figures.units(part.pairs)} pairs count so far{_unpaired(part)}."
        for part in report.shadow
    )


def _unpaired(part: ShadowPart) -> str:
    """Copies without a pair, where there are any."""
    waiting = f", {figures.units(part.waiting)} copies wait for both reports" if part.waiting else ""
    lost = f", {figures.units(part.lost)} were never reported on both sides" if part.lost else ""
    return waiting + lost


def _row(candidate: str, figure: PairFigure) -> PairRow:
    shown: Format = figures.change if figure.relative else figures.difference
    value = figures.NOT_ENOUGH if figure.value is None else shown(figure.value)
    state = _NO_BOUND if figure.state is None else wording.wording(wording.RULE_STATES, figure.state)
    return PairRow(
        candidate,
        _TITLES.get(figure.metric) or wording.metric_title(figure.metric),
        figures.units(figure.pairs),
        value,
        interval(figure.low, figure.high, shown),
        "none"
        if figure.bound is None
        else f"at {'most' if figure.bound > 0 else 'least'} {shown(figure.bound)}",
        state,
    )


_TITLES = {"latency_p50_ms": "latency (geometric mean)"}
