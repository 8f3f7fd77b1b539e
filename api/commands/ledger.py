"""export, audit, decisions: what the ledger holds."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer

from api.commands.opening import target
from api.commands.output import Columns, Form, show, show_one, time_text

_COLUMNS: Columns = {
    "at (UTC)": lambda row: time_text(row["at_ms"]),
    "who": lambda row: row["actor"],
    "did": lambda row: row["action"],
    "to": lambda row: row["subject"],
    "why": lambda row: row["why"] or "-",
    "forced": lambda row: "yes" if row["forced"] else "",
    "digest": lambda row: str(row["digest"])[:12],
}
Kind = Annotated[
    Literal["decisions", "calls", "feedback", "units"],
    typer.Argument(metavar="KIND", help="decisions, calls, feedback or units."),
]


def audit(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Newest entries to show.")] = 100,
    form: Form = "text",
) -> None:
    """Show who changed what, when and why; the newest first."""
    with target(ctx) as found:
        rows = found.audit(limit)
    show(rows, _COLUMNS, form, "nothing was changed yet")


def export(
    ctx: typer.Context,
    kind: Kind,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="Only this experiment's rows.")
    ] = None,
) -> None:
    """Write rows of the ledger as one JSON object a line, by rising decision number."""
    with target(ctx) as found:
        for line in found.export(kind, experiment):
            typer.echo(line)


def decisions(
    ctx: typer.Context,
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="A decision's id, as replies show it.")],
    form: Form = "text",
) -> None:
    """Show one decision: what was decided and why, every attempt, what came back, what was reported."""
    with target(ctx) as found:
        story = found.decision(decision_id)
    show_one(story, "\n".join(_told(story)), form)


def _told(story: Mapping[str, Any]) -> Iterator[str]:  # reason: an answer in JSON
    """The story in lines, the oldest first."""
    share = f", share {story['propensity']:.3g}" if story["experiment"] else ""
    owner = (
        f", experiment {story['experiment']} (epoch {story['epoch']}{share})" if story["experiment"] else ""
    )
    yield f"{time_text(story['decided_at_ms'])}  task {story['task']} ({story['found']}) -> {story['model']}{owner}"
    yield f"  {story['reason']}: {story['explanation']}"
    for step in story["tried"]:
        yield f"  {step['at_ms']:>6} ms  {step['where']}: {step['code']}"
    call = story["call"]
    if call is None:
        yield "  no call recorded: the caller called the model itself, or the call is under way"
    else:
        cost = "unknown" if call["cost_usd"] is None else f"${call['cost_usd']:.6g}"
        end = f"failed with {call['error']}" if call["error"] else f"served by {call['served_model']}"
        took = f"after {call['latency_ms']:.0f} ms" if call["latency_ms"] >= 0 else "by a batch"
        yield f"  {end} {took}, cost {cost}"
    for each in story["feedback"]:
        yield f"  {time_text(each['received_at_ms'])}  feedback {each['metric']} {each['value']:g}: {each['state']}"
