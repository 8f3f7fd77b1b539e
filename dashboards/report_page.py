"""The report as one page: verdict first, then the evidence behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards import figures
from dashboards.awaited import TOO_SHORT, awaited, awaits, guards_silent, paced, service_silent
from dashboards.effect_tables import EffectRow, EffectTable, effect_tables, fixed_horizon_doubt, singular
from dashboards.guardrail_rows import guardrail_rows
from dashboards.interval_bars import HEIGHT, INSET, WIDTH, Bar, Span, interval_bars
from dashboards.next_steps import next_steps
from dashboards.other_read_outs import other_means, other_read_outs
from dashboards.pages import fill, typeset
from dashboards.planned import plan_sentences
from dashboards.shadow_rows import copies_sentences, pair_rows
from dashboards.share_chart import series_of, share_chart, table_rows
from experiments.report.document import CandidatePart, Report, RulePart

WIDE, NARROW, TALL = 1040.0, 340.0, 300.0


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One candidate's effect with its bar."""

    row: EffectRow
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class _Block:
    """One metric's effects, ready to be set."""

    table: EffectTable
    rows: tuple[_Drawn, ...]


def render_html(report: Mapping[str, object], standalone: bool = False) -> str:
    """The page of a report document (parsed JSON of `experiments.report.document.Report`).

    `standalone` gives a file that needs nothing beside it and does not refresh itself.
    """
    document = Report.model_validate(report)
    names = [candidate.name for candidate in document.candidates]
    blocks = [_drawn(table) for table in effect_tables(document)]
    return fill(
        "report.html",
        standalone,
        report=document,
        live=document.state == "running" and not standalone,
        one=singular(document.unit),
        blocks=blocks,
        main=_by_candidate(document, blocks[0]),
        savings=_savings(document),
        doubt=fixed_horizon_doubt(document),
        rules=_rules(document),
        awaited=awaited(document),
        too_short="" if paced(document) else TOO_SHORT,
        guardrails=() if guards_silent(document) else guardrail_rows(document),
        serviced=not service_silent(document),
        others=() if awaits(document) else other_read_outs(document),
        means=other_means(document),
        pairs=pair_rows(document),
        copies=copies_sentences(document),
        steps=next_steps(document),
        planned=plan_sentences(document.plan) if document.plan is not None else (),
        colours={name: series_of(arm) for arm, name in enumerate(names)},
        charts=[
            ("wide", share_chart(document.shares, names, WIDE, TALL, labelled=True)),
            ("narrow", share_chart(document.shares, names, NARROW, 220.0, labelled=False)),
        ],
        chart_rows=table_rows(document.shares),
        canvas={"width": WIDTH, "height": HEIGHT, "inset": INSET},
        difference=figures.difference,
        money_change=figures.money_change,
        milliseconds=figures.milliseconds,
        typeset=typeset,
    )


def _drawn(table: EffectTable) -> _Block:
    spans = [Span(row.effect.value, row.effect.low, row.effect.high) for row in table.rows]
    bars = interval_bars(spans, table.margin, relative=table.relative)
    return _Block(table, tuple(_Drawn(row, bar) for row, bar in zip(table.rows, bars, strict=True)))


def _by_candidate(report: Report, block: _Block) -> list[tuple[CandidatePart, _Drawn | None]]:
    """Each candidate with its drawn effect on the reward."""
    drawn = {one.row.candidate.name: one for one in block.rows}
    return [(candidate, drawn.get(candidate.name)) for candidate in report.candidates]


def _savings(report: Report) -> list[tuple[CandidatePart, Bar | None]]:
    """Each candidate with the interval of what it would save per day."""
    spans = [
        Span(row.saved_usd_per_day, row.saved_usd_per_day_low, row.saved_usd_per_day_high)
        for row in report.candidates
    ]
    return list(zip(report.candidates, interval_bars(spans), strict=True))


def _rules(report: Report) -> list[tuple[CandidatePart, tuple[RulePart, ...]]]:
    """The rules of each candidate but the control, in the order of the table."""
    return [
        (candidate, tuple(rule for rule in report.rules if rule.candidate == candidate.name))
        for candidate in report.candidates
        if not candidate.is_control
    ]
