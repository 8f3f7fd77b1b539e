"""The simulation document as text for people; the report of the first run stands before it."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evaluation.simulation.document import FoundPart, RunPart, SharePart, SimulationDocument

_JUDGED = {
    "right": "right",
    "wrong": "WRONG: the promoted candidate is not what the promotion claims",
    "missed": "missed a candidate that is good",
    "open": "no decision",
}


def show(document: SimulationDocument, out: Console) -> None:
    """Print what was simulated beside what was found, and how often the verdict was right."""
    for line in _heading(document):
        _say(out, line)
    out.print(_truths(document))
    if len(document.runs) == 1:
        for line in _one(document.runs[0]):
            _say(out, line)
        return
    _say(out, f"Over {len(document.runs):,} runs (intervals: exact binomial, 95%):")
    out.print(_shares("verdict", document.verdicts))
    out.print(_shares("the verdict is", document.judgements))
    for line in _means(document):
        _say(out, line)


def _say(out: Console, line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _heading(document: SimulationDocument) -> Iterator[str]:
    first = document.runs[0]
    traffic = f"{document.requests_per_day:,.0f} requests a day for at most {document.days:g} days"
    yield f"Simulated: {traffic}, seed {document.seed}"
    yield f"Run 0 ended after {first.days:.1f} days and {first.units:,} units: {first.verdict}" + (
        f" {first.candidate}" if first.candidate else ""
    )
    yield ""
    level = 1 - document.report.alpha
    yield f"What was simulated, and what run 0 found (effects against the control, always-valid {level:g} intervals):"


def _truths(document: SimulationDocument) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("candidate", overflow="fold")
    for name in ("reward", "effect", "found", "cost of 1,000", "change", "found ", "served"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in document.candidates:
        name = one.name + ("\n(the best)" if one.name == document.runs[0].best else "")
        table.add_row(
            name, f"{one.reward:.4g}", *_effect(one.reward_effect, 1.0, ""), f"${1000 * one.cost_usd:.4g}",
            *_effect(one.cost_effect, 100.0, "%"), f"{one.served:,}",
        )  # fmt: skip
    return table


def _effect(part: FoundPart | None, scale: float, unit: str) -> tuple[str, str]:
    """A true effect, and the estimate with its interval."""
    if part is None:
        return "", ""
    true = f"{scale * part.true:+.3g}{unit}"
    if part.found is None or part.low is None or part.high is None:
        return true, "not enough data"
    missed = "" if part.covered else "\nmisses the truth"
    return true, f"{scale * part.found:+.3g}{unit}\n[{scale * part.low:.3g}, {scale * part.high:.3g}]{missed}"


def _one(run: RunPart) -> Iterator[str]:
    yield f"The verdict is {_JUDGED[run.judgement]}."
    yield from _against(run.reward_lost, run.overspent_usd, run.requests, run.best)


def _means(document: SimulationDocument) -> Iterator[str]:
    runs, count = document.runs, len(document.runs)
    yield f"Mean units to the verdict: {sum(run.units for run in runs) / count:,.0f}"
    bests = sorted({run.best for run in runs})
    yield from _against(
        sum(run.reward_lost for run in runs) / count,
        sum(run.overspent_usd for run in runs) / count,
        round(sum(run.requests for run in runs) / count),
        " or ".join(bests),
    )


def _against(lost: float, overspent_usd: float, requests: int, best: str) -> Iterator[str]:
    verb = "lost" if lost >= 0 else "gained"
    spent = "beyond" if overspent_usd >= 0 else "less than"
    yield (
        f"Regret against serving all {requests:,} requests by {best}: {abs(lost):,.1f} of reward {verb}, "
        f"${abs(overspent_usd):,.2f} spent {spent} it."
    )


def _shares(heading: str, parts: tuple[SharePart, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(heading)
    for name in ("runs", "share", "interval", "mean units"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        units = f"{part.mean_units:,.0f}" if part.runs else "-"
        table.add_row(
            part.name, f"{part.runs:,}", f"{part.share:.1%}", f"{part.low:.1%} to {part.high:.1%}", units
        )
    return table
