"""What the demo prints at the end: a row per subject as its report has it, and what promotion changed."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from examples.demo_config import HOLDBACK
from examples.demo_display import NARROW, short
from examples.demo_traffic import Tally
from examples.figures import CONTROL, Figures
from experiments.report.document import CandidatePart, EffectPart, Report


def show_reports(console: Console, reports: Sequence[Report]) -> None:
    """One row per experiment: the control, and under it the candidate that the verdict looks at."""
    table = Table(box=SIMPLE_HEAD, padding=NARROW)
    table.add_column("subject", no_wrap=True)
    for name in ("units share", "reward", "$/1,000", "reward effect", "cost effect"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        control, other = report.candidates[0], watched(report)
        table.add_row(
            f"{report.experiment}\n{short(other.name)}\n{report.verdict.kind}",
            f"{control.units:,} {control.share:>3.0%}\n{other.units:,} {other.share:>3.0%}",
            f"{_number(control.reward)}\n{_number(other.reward)}",
            f"{_per_thousand(control)}\n{_per_thousand(other)}",
            _effect(other.reward_effect, "+.3f"),
            _effect(other.cost_effect, "+.0%"),
            end_section=report is not reports[-1],
        )
    say(console, f"Reports: {CONTROL} in the first line, the candidate in the lead in the second;")
    say(console, "effects with always-valid 95% intervals and p")
    console.print(table)


def watched(report: Report) -> CandidatePart:
    """The candidate that the verdict names, else the one with the largest share."""
    rivals = report.candidates[1:]
    named = next((one for one in rivals if one.name == report.verdict.candidate), None)
    return named or max(rivals, key=lambda one: (one.share, one.units))


def show_decision(console: Console, report: Report, champion: str | None) -> None:
    """What was done about one verdict, and why."""
    verdict = report.verdict
    if champion is not None:
        say(console, f"  {report.experiment}: promoted {champion}. {verdict.sentence}")
    elif report.state == "rolled_back":
        say(console, f"  {report.experiment}: rolled back. {verdict.sentence}")
    else:
        say(console, f"  {report.experiment}: undecided ({verdict.kind}). {verdict.sentence}")


def show_change(console: Console, figures: Figures, champions: Mapping[str, str], tally: Tally) -> None:
    """Quality and cost by the measured figures: the control everywhere, and the champions as they are now."""
    before = dict.fromkeys(champions, CONTROL)
    table = Table(box=SIMPLE_HEAD)
    for name in ("", "right answers", "$ per 1,000 requests"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for words, models in ((f"before: {CONTROL} everywhere", before), ("after: the champions now", champions)):
        accuracy, cost_usd = _expected(figures, models)
        table.add_row(words, f"{accuracy:.3f}", f"{1000 * cost_usd:.3f}")
    answered = max(tally.answered, 1)
    correct = sum(one.correct for one in tally.subjects.values()) / answered
    cost_usd = sum(one.cost_usd for one in tally.subjects.values()) / answered
    table.add_row("meanwhile: served while learning", f"{correct:.3f}", f"{1000 * cost_usd:.3f}")
    say(console, "Quality and cost, every subject the same traffic:")
    console.print(table)
    say(
        console,
        "Before and after are expected from the measured figures. An undecided task keeps its champion while its "
        f"experiment goes on; a promoted one keeps {HOLDBACK:.0%} on the old champion for a while, and rolls back by "
        "itself on harm.",
    )


def show_counts(console: Console, tally: Tally, seen: Mapping[str, int]) -> None:
    """Both sides' counts, which must agree."""
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(tally.feedback_states.items()))
    say(
        console,
        f"{tally.asked:,} requests sent, {tally.answered:,} answered, {sum(seen.values()):,} seen by the models; "
        f"{tally.feedback_sent:,} rewards sent, {tally.acknowledged:,} acknowledged ({states or 'none'})",
    )
    for cause, count in tally.failures.most_common(5):
        say(console, f"  {count:,} failed: {cause}")


def say(console: Console, line: str) -> None:
    """A plain line, never cut or coloured."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _expected(figures: Figures, models: Mapping[str, str]) -> tuple[float, float]:
    """Mean accuracy and cost per request over subjects, each with the same traffic."""
    accuracy = [figures.subjects[subject].models[model].accuracy for subject, model in models.items()]
    costs = [figures.cost_usd(subject, model) for subject, model in models.items()]
    return sum(accuracy) / len(models), sum(costs) / len(models)


def _effect(effect: EffectPart | None, form: str) -> str:
    if effect is None or effect.value is None or effect.low is None or effect.high is None:
        return "not known yet"
    p = "" if effect.p is None else "p < 0.0001" if effect.p < 0.0001 else f"p = {effect.p:.4f}"
    return f"{effect.value:{form}}\n{effect.low:{form}} to {effect.high:{form}}\n{p}"


def _per_thousand(one: CandidatePart) -> str:
    return "-" if one.cost_usd is None else f"{1000 * one.cost_usd:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
