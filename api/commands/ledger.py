"""export, audit: what the ledger holds."""

from typing import Annotated, Literal

import typer

from api.commands.opening import target
from api.commands.output import Columns, Form, show, time_text

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
