"""experiments, start, pause, stop, report, promote: the life of an experiment."""

from collections.abc import Sequence
from typing import Annotated

import typer

from api.commands.opening import target
from api.commands.output import Columns, Fields, Form, say, show, show_one, time_text
from api.commands.target import Move, ReportForm

Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment.")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the audit record.")]
_COLUMNS: Columns = {
    "experiment": lambda row: row["name"],
    "task": lambda row: row["task"],
    "state": lambda row: row["state"],
    "mode": lambda row: row["mode"],
    "verdict": lambda row: verdict_text(row["name"], row["verdict"]),
    "shares": lambda row: shares_text(row["shares"]),
    "epoch": lambda row: "-" if row["epoch"] is None else row["epoch"],
    "started (UTC)": lambda row: time_text(row["started_at_ms"]),
}


def verdict_text(name: object, kind: object) -> str:
    """A verdict's kind; of a holdback, which has nothing to promote, in words.

    >>> verdict_text("faq", "promote"), verdict_text("faq~holdback", "promote"), verdict_text("faq", None)
    ('promote', 'holds', '-')
    """
    from dashboards.wording import verdict_wording, watches

    if not isinstance(kind, str):
        return "-"
    return verdict_wording(kind, str(name)).words.lower() if watches(str(name)) else kind


def shares_text(shares: object) -> str:
    """Candidates and their shares of new traffic.

    >>> shares_text([{"candidate": "sonnet", "share": 0.25, "dropped": False}])
    'sonnet 25%'
    """
    if not isinstance(shares, Sequence):
        return "-"
    return ", ".join(
        f"{each['candidate']} " + ("dropped" if each["dropped"] else f"{100 * each['share']:.3g}%")
        for each in shares
    )


def experiments(ctx: typer.Context, form: Form = "text") -> None:
    """List all experiments, the newest first."""
    with target(ctx) as found:
        rows = found.experiments()
    show(rows, _COLUMNS, form, "no experiments yet; declare one in the configuration and apply it")


def start(ctx: typer.Context, name: Name, why: Why = "", form: Form = "text") -> None:
    """Start a draft, or resume a paused experiment."""
    _move(ctx, "start", name, why, form)


def pause(ctx: typer.Context, name: Name, why: Why = "", form: Form = "text") -> None:
    """Send the task's traffic to its champion until the experiment is started again."""
    _move(ctx, "pause", name, why, form)


def stop(ctx: typer.Context, name: Name, why: Why = "", form: Form = "text") -> None:
    """End an experiment without promotion."""
    _move(ctx, "stop", name, why, form)


def report(
    ctx: typer.Context,
    name: Name,
    form: Annotated[ReportForm, typer.Option("--format", help="text, json, html or csv.")] = "text",
) -> None:
    """Print an experiment's report: verdict, evidence, costs, health."""
    with target(ctx) as found:
        body = found.report(name, form)
    if form == "text":
        say(body.rstrip("\n"))
    else:
        typer.echo(body.rstrip("\n"))


def promote(
    ctx: typer.Context,
    name: Name,
    why: Annotated[str, typer.Option("--why", help="Reason, for the audit record.")],
    candidate: Annotated[
        str | None,
        typer.Argument(
            metavar="[CANDIDATE]", help="Who is promoted; by default the one that the verdict names."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Promote against the evidence.")] = False,
    form: Form = "text",
) -> None:
    """Make a candidate the task's champion; exit code 3 if the evidence does not support it."""
    with target(ctx) as found:
        done = found.promote(name, why, candidate, force)
    show_one(done, _promotion_text(done), form)


def _promotion_text(done: Fields) -> str:
    lines = [f"{done['task']}: {done['old']} -> {done['new']}" + (" (forced)" if done["forced"] else "")]
    if done["successor"]:
        lines.append(f"{done['successor']} keeps some traffic on {done['old']} and watches")
    lines.append(f"evidence {done['digest']} is frozen with the report")
    lines.append("now edit this line of your configuration, so that file and store agree:")
    return "\n".join([*lines, _line_to_edit(str(done["task"]), str(done["new"]))])


def _line_to_edit(task: str, model: str) -> str:
    """The champion as the configuration file writes it."""
    return f"default: {model}" if task == "default" else f"tasks:\n  {task}:\n    default: {model}"


def _move(ctx: typer.Context, move: Move, name: str, why: str, form: Form) -> None:
    with target(ctx) as found:
        row = found.move(move, name, why)
    show_one(row, f"{row['name']} is {row['state']}: {shares_text(row['shares'])}", form)
