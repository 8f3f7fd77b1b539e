"""batch: submit files of requests to a running server, watch them, fetch what came of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import where_of
from api.commands.output import Columns, Form, counted, plain, show, show_one, time_text

if TYPE_CHECKING:
    from api.remote_batches import Json, RemoteBatches

app = typer.Typer(no_args_is_help=True, help="Overnight work on a running server (--url): files of requests.")
BatchId = Annotated[str, typer.Argument(metavar="ID", help="The batch, as `submit` or `list` names it.")]
POLL_S = 1.0
ENDED = ("completed", "failed", "expired", "cancelled")
_COLUMNS: Columns = {
    "batch": lambda row: row["id"],
    "status": lambda row: row["status"],
    "answered": lambda row: row["answered"],
    "failed": lambda row: row["failed"],
    "of": lambda row: row["total"],
    "created (UTC)": lambda row: time_text(row["created_at_ms"]),
}


@app.command("submit")
def submit(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="One request to a line.", exists=True, dir_okay=False)
    ],
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="Endpoint that every line names.")
    ] = "/v1/chat/completions",
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it has ended, with a progress bar.")
    ] = False,
    form: Form = "text",
) -> None:
    """Upload a file and open a batch of it."""
    server = _server(ctx)
    batch = server.create(server.upload(file), endpoint)
    if wait:
        _aside(f"batch {batch['id']} is open")
        batch = _waited(server, str(batch["id"]))
    show_one(batch, _line(batch), form)
    if wait and batch["status"] != "completed":
        raise typer.Exit(1)


@app.command("list")
def list_(ctx: typer.Context, form: Form = "text") -> None:
    """List the batches of your key, the newest first."""
    rows = _server(ctx).batches()
    show(rows if form == "json" else [_row(row) for row in rows], _COLUMNS, form, "no batches yet")


@app.command("show")
def show_batch(ctx: typer.Context, batch_id: BatchId, form: Form = "text") -> None:
    """Show one batch: its status, its counts, and what is wrong with its file."""
    batch = _server(ctx).batch(batch_id)
    show_one(batch, _line(batch), form)


@app.command("cancel")
def cancel(ctx: typer.Context, batch_id: BatchId, form: Form = "text") -> None:
    """Cancel a batch; what is answered already stays."""
    batch = _server(ctx).cancel(batch_id)
    show_one(batch, _line(batch), form)


@app.command("fetch")
def fetch(
    ctx: typer.Context,
    batch_id: BatchId,
    output: Annotated[
        Path | None, typer.Option("--output", help="File for the answers; standard output by default.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option("--errors", help="File for the lines that failed; left out by default.")
    ] = None,
) -> None:
    """Fetch the answers of a batch that has ended, and the lines that failed."""
    import sys

    server = _server(ctx)
    batch = server.batch(batch_id)
    if batch["status"] not in ENDED:
        from router.errors import Conflict

        raise Conflict(f"batch {batch_id} is {batch['status']}; its files are there once it has ended")
    if (answers := batch["output_file_id"]) is not None:
        if output is None:
            server.fetch(str(answers), sys.stdout.buffer)
        else:
            _fetched(server, str(answers), output)
    if errors is not None and batch["error_file_id"] is not None:
        _fetched(server, str(batch["error_file_id"]), errors)
    _aside(_line(batch))


def _server(ctx: typer.Context) -> "RemoteBatches":
    from api.commands.opening import key_of
    from api.remote_batches import connect_batches
    from router.errors import InvalidRequest

    where = where_of(ctx)
    if where.url is None:
        raise InvalidRequest("batches are worked on by a running server; name it with --url", "url")
    return connect_batches(where.url, key_of(where))


def _fetched(server: "RemoteBatches", file_id: str, path: Path) -> None:
    with path.open("wb") as file:
        server.fetch(file_id, file)


def _waited(server: "RemoteBatches", batch_id: str) -> "Json":
    """The batch once it has ended; the bar shows lines that have."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("validating", total=None)
        while True:
            batch = server.batch(batch_id)
            counts = batch["request_counts"]
            progress.update(
                bar, description=str(batch["status"]), total=counts["total"] or None,
                completed=counts["completed"] + counts["failed"],
            )  # fmt: skip
            if batch["status"] in ENDED:
                return batch
            time.sleep(POLL_S)


def _row(batch: "Json") -> "Json":
    """A row of the table."""
    counts = batch["request_counts"]
    return {
        **batch, "answered": counts["completed"], "failed": counts["failed"], "total": counts["total"],
        "created_at_ms": batch["created_at"] * 1_000,
    }  # fmt: skip


def _aside(text: str) -> None:
    """A line beside the output, for people."""
    typer.echo(plain(text), err=True)


def _line(batch: "Json") -> str:
    counts = batch["request_counts"]
    line = (
        f"batch {batch['id']} is {batch['status']}: {counts['completed']} of {counted(counts['total'], 'line')} "
        f"answered, {counts['failed']} failed"
    )
    problems = (batch["errors"] or {}).get("data", [])
    told = [f"\n  line {each.get('line') or '-'}: {each.get('message')}" for each in problems[:10]]
    return line + "".join(told)
