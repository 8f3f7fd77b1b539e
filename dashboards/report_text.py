"""The report as text for a terminal or a mail: the same words and figures as the page, in plain columns."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dashboards import figures, wording
from dashboards.awaited import TOO_SHORT, awaited, awaits, guards_silent, paced, service_silent
from dashboards.effect_tables import EffectTable, effect_tables, fixed_horizon_doubt, interval, singular
from dashboards.guardrail_rows import guardrail_rows
from dashboards.next_steps import next_steps
from dashboards.other_read_outs import Line, other_means, other_read_outs
from dashboards.planned import plan_sentences
from dashboards.shadow_rows import copies_sentences, pair_rows
from dashboards.text_table import NARROWEST, Column, columns_of, plain, table, wrapped
from dashboards.wording import Tone, spaced
from experiments.report.document import CandidatePart, Report

_COLOURS: Mapping[Tone, str] = {"good": "32", "bad": "31", "warn": "33", "info": "36", "quiet": "0"}
_BOLD = "1"
_MOST_EPOCHS = 12


@dataclass(frozen=True, slots=True)
class _Paper:
    """What every part needs: the report, the width, and whether colours are wanted."""

    report: Report
    width: int
    colour: bool

    def painted(self, text: str, *codes: str) -> str:
        """A line in colour, where colours are wanted."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and text else text

    def words(self, text: str, indent: str = "") -> list[str]:
        """A paragraph."""
        return wrapped(text, self.width, indent)

    def heading(self, text: str) -> list[str]:
        """A section's heading."""
        return ["", *(self.painted(line, _BOLD) for line in self.words(text))]


def render_text(report: Mapping[str, object], width: int = 100, colour: bool = False) -> str:
    """The text of a report document; no line is wider than `width` (at least 40) columns.

    Only a command with a longer word is: it must stay one word to be copied.
    """
    paper = _Paper(Report.model_validate(report), max(width, NARROWEST), colour)
    parts: tuple[Iterable[str], ...] = (
        _title(paper), _verdict(paper), _steps(paper), _candidates(paper), _rules(paper), *_compared(paper),
        _health(paper), _plan(paper), _others(paper),
    )  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def _compared(paper: _Paper) -> tuple[Iterable[str], ...]:
    """What is compared: pairs of calls in mode shadow, effects of shares in the others."""
    if paper.report.shadow:
        return (_pairs(paper),)
    if awaits(paper.report):
        return _awaited(paper), _guardrails(paper), _shares(paper)
    return _guardrails(paper), _effects(paper), _money(paper), _shares(paper)


def _awaited(paper: _Paper) -> list[str]:
    return ["", *paper.words(awaited(paper.report))]


def _pairs(paper: _Paper) -> Iterator[str]:
    rows = pair_rows(paper.report)
    yield from paper.heading(f"Pairs: copies beside the answers of {paper.report.control}")
    for sentence in copies_sentences(paper.report):
        yield from paper.words(sentence)
    yield ""
    yield from table(
        (
            Column("candidate", tuple(row.candidate for row in rows), right=False),
            Column("figure", tuple(row.title for row in rows), right=False),
            Column("pairs", tuple(row.pairs for row in rows)),
            Column("effect", tuple(row.effect for row in rows)),
            Column("always-valid interval", tuple(row.interval for row in rows)),
            Column("bound", tuple(row.bound for row in rows)),
            Column("state", tuple(row.state.words.lower() for row in rows), right=False),
        ),
        paper.width,
    )


def _title(paper: _Paper) -> Iterator[str]:
    report = paper.report
    state = wording.wording(wording.STATES, report.state)
    yield from (
        paper.painted(line, _BOLD) for line in paper.words(f"{report.experiment} ({state.words.lower()})")
    )
    if report.hypothesis:
        yield from paper.words(report.hypothesis)
    ended = f", ended {figures.moment(report.ended_at_ms)}" if report.ended_at_ms is not None else ""
    yield from paper.words(
        f"task {report.task}, mode {report.mode}, unit {report.unit}, "
        f"since {figures.moment(report.started_at_ms)}{ended}, as of {figures.moment(report.rendered_at_ms)}"
    )
    if report.ended_because and not wording.already_said(report):
        yield from paper.words(f"Why it ended: {report.ended_because}")


def _verdict(paper: _Paper) -> Iterator[str]:
    report, verdict = paper.report, paper.report.verdict
    shown = wording.verdict_wording(verdict.kind, report.experiment)
    yield ""
    title = wording.verdict_title(verdict.kind, verdict.candidate, report.experiment).upper()
    yield from (paper.painted(line, _BOLD, _COLOURS[shown.tone]) for line in paper.words(title))
    yield from paper.words(verdict.sentence)
    yield from paper.words(f"What would change it: {verdict.would_change}")
    needed = []
    if verdict.units_needed is not None:
        needed.append(f"about {figures.units(verdict.units_needed)} units")
    if verdict.days_needed is not None:
        needed.append(f"about {figures.days(verdict.days_needed)}")
    if needed:
        yield from paper.words(f"Still needed: {', '.join(needed)}")
    pace = f"{figures.units(report.units_per_day)} a day" if paced(report) else TOO_SHORT
    yield from paper.words(
        f"So far: {figures.units(report.units)} units ({figures.units(report.mature_units)} mature), "
        f"{pace}; epochs: {figures.units(report.epochs)} "
        f"({figures.units(report.mature_epochs)} mature), looks: {figures.units(report.looks)}, "
        f"spent per request: {figures.money(report.spend_per_request_usd)}"
    )


def _candidates(paper: _Paper) -> Iterator[str]:
    rows = paper.report.candidates
    one = singular(paper.report.unit)
    yield from paper.heading("Candidates")
    columns = (
        Column("candidate", tuple(_name(row) for row in rows), right=False),
        Column("share now", tuple(figures.percent(row.share) for row in rows)),
        Column("units", tuple(figures.units(row.units) for row in rows)),
        Column("mature units", tuple(figures.units(row.mature_units) for row in rows)),
        Column("reward", tuple(figures.reward(row.reward) for row in rows)),
        Column(f"cost per {one}", tuple(figures.money(row.cost_usd) for row in rows)),
        *_cost_per_request(paper.report),
        Column("reward per $", tuple(figures.rate(row.reward_per_usd) for row in rows)),
        *_net_value(paper.report),
        Column("chance to win", tuple(figures.chance(row.chance_to_win) for row in rows)),
        Column("chance not worse", tuple(figures.chance(row.chance_not_worse) for row in rows)),
        Column("expected loss", tuple(figures.reward(row.expected_loss) for row in rows)),
    )
    known = [one for one in columns if not awaits(paper.report) or {*one.cells} != {figures.UNKNOWN}]
    yield from table(known, paper.width)
    for row in rows:
        if row.dropped is not None:
            yield from paper.words(f"{row.name} gets no further traffic: {row.dropped}", "  ")
        if row.calibration is not None:
            yield from paper.words(f"{row.name}: {row.calibration.sentence}", "  ")


def _cost_per_request(report: Report) -> tuple[Column, ...]:
    """Beside the cost per unit, where units have several requests."""
    if report.unit == "request":
        return ()
    shown = tuple(figures.money(row.cost_per_request_usd) for row in report.candidates)
    return (Column("cost per request", shown),)


def _net_value(report: Report) -> tuple[Column, ...]:
    """Where the objective is made of dollars."""
    if report.value_usd is None:
        return ()
    values = tuple(figures.money(row.net_value_per_1000_usd) for row in report.candidates)
    return (Column("net value of 1,000", values),)


def _name(row: CandidatePart) -> str:
    return f"{row.name} (control)" if row.is_control else row.name


def _rules(paper: _Paper) -> Iterator[str]:
    yield from paper.heading(f"{wording.rules_title(paper.report)}: all must hold")
    if not paper.report.rules:
        yield "No candidate is tested any more."
    before = ""
    for rule in paper.report.rules:
        if rule.candidate != before:
            yield from paper.words(rule.candidate)
            before = rule.candidate
        shown = wording.wording(wording.RULE_STATES, rule.state)
        line = f"[{shown.words.lower():^5}] {wording.rule_title(rule.name)}: {rule.sentence}"
        first, *more = wrapped(line, paper.width - 2, " " * 8)
        yield "  " + paper.painted(first[:7], _COLOURS[shown.tone]) + first[7:]
        yield from (f"  {rest}" for rest in more)


def _guardrails(paper: _Paper) -> Iterator[str]:
    rows = guardrail_rows(paper.report)
    if not rows or guards_silent(paper.report):
        return
    yield from paper.heading(f"Guardrails against {paper.report.control}")
    yield from table(
        (
            Column("candidate", tuple(row.candidate.name for row in rows), right=False),
            Column("metric", tuple(row.title for row in rows), right=False),
            Column("effect", tuple(row.effect for row in rows)),
            Column("always-valid interval", tuple(row.interval for row in rows)),
            Column("bound", tuple(row.bound for row in rows)),
            Column("state", tuple(row.state.words.lower() for row in rows), right=False),
        ),
        paper.width,
    )


def _effects(paper: _Paper) -> Iterator[str]:
    doubt = fixed_horizon_doubt(paper.report)
    yield from paper.heading(f"Effects against {paper.report.control}")
    yield from paper.words("The always-valid read-out decides; you may look whenever you like.")
    if doubt:
        yield from paper.words(
            f"The fixed-horizon read-out stands in brackets and does not count here: {doubt}."
        )
    for effects in effect_tables(paper.report):
        yield ""
        yield from table(_effect_columns(effects, bool(doubt)), paper.width)


def _others(paper: _Paper) -> Iterator[str]:
    found = other_read_outs(paper.report)
    if not found or awaits(paper.report):
        return
    yield from paper.heading("Other read-outs; nothing of them decides unless it says so")
    for each in found:
        yield from paper.words(each.candidate.name)
        for line in each.lines:
            yield from _other(paper, line)
    for line in other_means(paper.report):
        yield from _other(paper, line)
    if paper.report.discovery is not None:
        yield from paper.words(f"Among all experiments: {paper.report.discovery.sentence}", "  ")


def _other(paper: _Paper, line: Line) -> Iterator[str]:
    note = f"; {line.note}" if line.note else ""
    first, *more = wrapped(f"{line.title}: {line.figure}{note}", paper.width - 2, " " * 4)
    yield "  " + (paper.painted(first, _COLOURS["warn"]) if line.doubtful else first)
    yield from (f"  {rest}" for rest in more)


def _effect_columns(effects: EffectTable, doubted: bool) -> tuple[Column, ...]:
    shown, parts = effects.shown, [row.effect for row in effects.rows]

    def fixed(figure: str) -> str:
        return f"({figure})" if doubted and figure != figures.UNKNOWN else figure

    return (
        Column(effects.title, tuple(row.candidate.name for row in effects.rows), right=False),
        Column("effect", tuple(_known(shown(part.value)) for part in parts)),
        Column("always-valid interval", tuple(interval(part.low, part.high, shown) for part in parts)),
        Column("p", tuple(figures.p_value(part.p) for part in parts)),
        Column(
            "fixed-horizon interval",
            tuple(fixed(interval(part.fixed_low, part.fixed_high, shown)) for part in parts),
        ),
        Column("p", tuple(fixed(figures.p_value(part.fixed_p)) for part in parts)),
        Column("method", tuple(wording.method_title(part.fixed_method) for part in parts), right=False),
    )


def _known(figure: str) -> str:
    return figures.NOT_ENOUGH if figure == figures.UNKNOWN else figure


def _money(paper: _Paper) -> Iterator[str]:
    rows = [row for row in paper.report.candidates if not row.is_control]
    yield from paper.heading(f"{wording.saved_title(paper.report)}, at the present traffic")
    yield from table(
        (
            Column("candidate", tuple(row.name for row in rows), right=False),
            Column("saved", tuple(_known(figures.money_change(row.saved_usd_per_day)) for row in rows)),
            Column(
                "interval",
                tuple(
                    interval(row.saved_usd_per_day_low, row.saved_usd_per_day_high, figures.money_change)
                    for row in rows
                ),
            ),
        ),
        paper.width,
    )


def _shares(paper: _Paper) -> Iterator[str]:
    shares = paper.report.shares
    count = len(shares.numbers)
    yield from paper.heading("Shares over epochs")
    if not count:
        yield "No epoch was opened yet."
        return
    most = min(count, _MOST_EPOCHS)
    places = sorted({round(row * (count - 1) / max(most - 1, 1)) for row in range(most)} | {count - 1})
    columns = [Column("epoch", tuple(str(shares.numbers[place]) for place in places))]
    columns.append(Column("opened", tuple(figures.moment(shares.opened_at_ms[place]) for place in places)))
    for arm, row in enumerate(paper.report.candidates):
        columns.append(
            Column(row.name, tuple(figures.percent(shares.shares[place][arm]) for place in places))
        )
    yield from table(columns, paper.width)


def _health(paper: _Paper) -> Iterator[str]:
    report, health = paper.report, paper.report.health
    yield from paper.heading("Health of the data")
    if health.alarm is not None:
        yield from (
            paper.painted(line, _COLOURS["bad"]) for line in paper.words(f"ALARM: {health.alarm}", "  ")
        )
    for warning in health.warnings:
        yield from (
            paper.painted(line, _COLOURS["warn"]) for line in paper.words(f"warning: {warning}", "  ")
        )
    if report.heterogeneity_warning is not None:
        words = paper.words(f"note: {report.heterogeneity_warning}", "  ")
        yield from (paper.painted(line, _COLOURS["warn"]) for line in words)
    if health.ok:
        yield "No alarm and no warning."
    for test in health.sample_ratio:
        state = wording.CHECKS[test.alarm].words.lower()
        title = wording.count_title(test.count)
        yield from paper.words(f"{title}: {state}, p {figures.p_value(test.p)}; {test.sentence}", "  ")
    yield from paper.words(
        f"Degraded decisions, left out: {figures.units(health.degraded_decisions)}; units recovered from "
        f"feedback: {figures.units(health.recovered_units)}; p of equal effects in all epochs: "
        f"{figures.p_value(report.heterogeneity_p)}",
        "  ",
    )
    if report.misrouted is not None:
        yield from paper.words(f"Task: {report.misrouted.sentence}", "  ")
    if not service_silent(report):
        yield ""
        yield from table(_service_columns(report.candidates), paper.width)


def _service_columns(rows: tuple[CandidatePart, ...]) -> tuple[Column, ...]:
    return (
        Column("candidate", tuple(_name(row) for row in rows), right=False),
        Column("missing feedback", tuple(figures.percent(row.missing_feedback) for row in rows)),
        Column("served as assigned", tuple(figures.percent(row.served_as_assigned) for row in rows)),
        Column("error rate", tuple(figures.percent(row.error_rate) for row in rows)),
        Column("latency p50", tuple(figures.milliseconds(row.latency_p50_ms) for row in rows)),
        Column(
            "p50 interval", tuple(_span_ms(row.latency_p50_low_ms, row.latency_p50_high_ms) for row in rows)
        ),
        Column("latency p95", tuple(figures.milliseconds(row.latency_p95_ms) for row in rows)),
        Column(
            "p95 interval", tuple(_span_ms(row.latency_p95_low_ms, row.latency_p95_high_ms) for row in rows)
        ),
    )


def _span_ms(low: float | None, high: float | None) -> str:
    return interval(low, high, figures.milliseconds)


def _plan(paper: _Paper) -> Iterator[str]:
    report = paper.report
    yield from paper.heading("The plan, frozen at start")
    yield from paper.words(
        f"objective {wording.objective_title(report)}; reward metric {report.reward_metric}, margin "
        f"{figures.setting(report.reward_margin)}, window {figures.duration(report.window_ms)}; smallest saving "
        f"{figures.setting_percent(report.min_saving)}; smallest difference of interest "
        f"{figures.setting(report.mde)}; {wording.risk_title(report).lower()} {figures.setting_percent(report.alpha)}; "
        f"deciding read-out {spaced(report.read_out)}; fixed-horizon plan "
        f"{figures.units(report.fixed_units_per_arm)} units a candidate"
    )
    if report.plan is not None:
        yield from paper.words(" ".join(plan_sentences(report.plan)))


def _steps(paper: _Paper) -> Iterator[str]:
    yield from paper.heading("Next step")
    for step in next_steps(paper.report):
        yield from paper.words(f"{step.does}:")
        yield from _command(plain(step.command), paper.width)


def _command(line: str, width: int) -> Iterator[str]:
    """A command to copy: broken only between words, by a backslash."""
    shown = " "
    for word in line.split(" "):
        if shown.strip() and columns_of(shown) + columns_of(word) + 3 > width:
            yield f"{shown} \\"
            shown = "   "
        shown += f" {word}"
    yield shown
