"""routes, set-route, rollback: who serves each task outside experiments."""

from typing import Annotated

import typer

from api.commands.opening import target
from api.commands.output import Columns, Fields, Form, say, show, show_one, time_text

Task = Annotated[str, typer.Argument(metavar="TASK", help="The task; `default` is for unknown ones.")]
_COLUMNS: Columns = {
    "task": lambda row: row["task"],
    "champion": lambda row: row["champion"],
    "from": lambda row: row["source"] if row["own"] else "inherited",
    "changed (UTC)": lambda row: time_text(row["changed_at_ms"]),
    "by": lambda row: row["changed_by"] or "-",
    "before": lambda row: row["previous"] or "-",
}


def routes(ctx: typer.Context, form: Form = "text") -> None:
    """List every task and the model that serves it outside experiments."""
    with target(ctx) as found:
        rows = found.routes()
        mix = found.mix() if form == "text" else ""
    show(rows, _COLUMNS, form, "no tasks yet")
    if mix:
        say(mix)


def set_route(
    ctx: typer.Context,
    task: Task,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The new champion.")],
    why: Annotated[str, typer.Option("--why", help="Reason, for the audit record.")] = "",
    form: Form = "text",
) -> None:
    """Name a task's champion by hand; running servers follow within two seconds."""
    with target(ctx) as found:
        row = found.set_route(task, model, why)
    show_one(row, _line(row), form)


def rollback(
    ctx: typer.Context,
    task: Task,
    why: Annotated[str, typer.Option("--why", help="Reason, for the audit record.")],
    form: Form = "text",
) -> None:
    """Give a task its previous champion back and end the holdback that watched the newer one."""
    with target(ctx) as found:
        row = found.rollback(task, why)
    show_one(row, _line(row), form)


def _line(row: Fields) -> str:
    return f"{row['task']} is served by {row['champion']} now (before: {row['previous'] or '-'})"
