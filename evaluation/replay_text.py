"""The replay document as text for people."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evaluation.replay_document import CategoryPart, OverallPart, ReplayDocument

WIDE = 118
"""Columns where nobody's terminal says how many there are."""
_SHOWN_BAD = 10


def show(document: ReplayDocument, out: Console) -> None:
    """Print heading, table and verdicts, and the paired figures under a heading of their own."""
    _lines(out, _heading(document))
    out.print(_served(document))
    _lines(out, _verdicts(document))
    _lines(out, _paired_heading())
    out.print(_paired(document))


def _lines(out: Console, lines: Iterator[str]) -> None:
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _heading(document: ReplayDocument) -> Iterator[str]:
    prompts = sum(part.prompts for part in document.categories)
    yield (
        f"{document.file}: {document.rows:,} rows; {prompts:,} prompts of {len(document.categories)} categories, "
        f"answered by {len(document.models)} models"
    )
    yield from _bad(document)
    why = "as named" if document.control_chosen else "the dearest by mean cost"
    others = ", ".join(model for model in document.models if model != document.control)
    yield f"Control: {document.control} ({why}); candidates: {others}"
    times = "once" if document.repeat == 1 else f"{document.repeat} times"
    yield (
        f"Mode {document.mode}, objective {document.objective}, reward margin {document.margin:g}, "
        f"alpha {document.alpha:g}; each prompt is served {times}, in a random order (seed {document.seed})"
    )
    if document.repeat > 1:
        yield (
            "Repeats are not new evidence: the same outcomes counted again make every interval and p look "
            "better than it is."
        )
    yield ""
    yield f"Mean reward, and cost per 1,000 requests (best single model: {document.best_single}):"


def _bad(document: ReplayDocument) -> Iterator[str]:
    if not document.bad_rows:
        return
    yield f"{document.bad_rows} bad or missing rows, {document.incomplete_prompts} prompts left out:"
    for one in document.bad[:_SHOWN_BAD]:
        yield f"  line {one.line}: {one.reason}"
    if document.bad_rows > _SHOWN_BAD:
        yield f"  and {document.bad_rows - _SHOWN_BAD} more"


def _served(document: ReplayDocument) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("category", "served most", "verdict"):
        table.add_column(name)
    for name in ("served", "uniform", "single", "oracle"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in document.categories:
        needed = f"{part.needed:,} more units" if part.needed is not None else ""
        table.add_row(
            f"{part.category}\n{part.requests:,} requests",
            f"{part.leader}\n{part.leader_share:.0%}",
            f"{part.verdict}\n{needed}",
            *_figures(part),
            end_section=part is document.categories[-1],
        )
    table.add_row(f"all\n{document.overall.requests:,} requests", "", "", *_figures(document.overall))
    return table


def _figures(part: CategoryPart | OverallPart) -> list[str]:
    pairs = (
        (part.reward, part.cost_usd),
        (part.uniform_reward, part.uniform_cost_usd),
        (part.single_reward, part.single_cost_usd),
        (part.oracle_reward, part.oracle_cost_usd),
    )
    return [f"{reward:.3f}\n${1000 * cost_usd:.3f}" for reward, cost_usd in pairs]


def _verdicts(document: ReplayDocument) -> Iterator[str]:
    yield "Verdicts"
    for part in document.categories:
        yield f"  {part.category}: {part.verdict} - {part.sentence}{_ended(part)}"
    yield ""


def _ended(part: CategoryPart) -> str:
    if part.units == part.requests:
        return ""
    return f" It was {part.state.replace('_', ' ')} after {part.units:,} units; the control served the rest."


def _paired_heading() -> Iterator[str]:
    yield "Paired figures over the full matrix: no verdict"
    yield "Every model's outcome on every prompt, seen at once, the best named afterwards; live traffic never has this."


def _paired(document: ReplayDocument) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("category", "best by reward / second"):
        table.add_column(name)
    for name in ("prompts", "difference", "paired t", "McNemar"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in document.paired_offline:
        table.add_row(
            one.category,
            f"{one.best}\n{one.second}",
            f"{one.prompts:,}",
            f"{one.difference:+.3f}",
            _p(one.t_p),
            _p(one.mcnemar_p),
        )
    return table


def _p(p: float | None) -> str:
    if p is None:
        return "-"
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
