"""keys list, add, revoke: bearer keys of the HTTP API."""

from typing import Annotated

import typer

from api.commands.errors import Guarded
from api.commands.opening import target
from api.commands.output import Columns, Form, show, show_one, time_text

app = typer.Typer(cls=Guarded, no_args_is_help=True, help="Bearer keys of the HTTP API.")
Id = Annotated[str, typer.Argument(metavar="ID", help="Name of the key, as the audit record shows it.")]
_COLUMNS: Columns = {
    "key": lambda row: row["id"],
    "scopes": lambda row: ", ".join(map(str, row["scopes"])) if isinstance(row["scopes"], list) else "-",
    "created (UTC)": lambda row: time_text(row["created_at_ms"]),
    "revoked (UTC)": lambda row: time_text(row["revoked_at_ms"]),
}


@app.command("list")
def list_keys(ctx: typer.Context, form: Form = "text") -> None:
    """List all keys, revoked ones too; secrets are never shown."""
    with target(ctx) as found:
        rows = found.keys()
    show(rows, _COLUMNS, form, "no keys: only this machine may use the server")


@app.command("add")
def add(
    ctx: typer.Context,
    key_id: Id,
    scopes: Annotated[
        list[str],
        typer.Option("--scope", help="traffic, feedback, view or admin; repeat it for several."),
    ],
    form: Form = "text",
) -> None:
    """Make a key and print it, this once: only its hash is stored."""
    with target(ctx) as found:
        secret = found.add_key(key_id, scopes)
    show_one({"id": key_id, "scopes": scopes, "key": secret}, secret, form)


@app.command("revoke")
def revoke(ctx: typer.Context, key_id: Id) -> None:
    """End a key; servers refuse it within two seconds."""
    with target(ctx) as found:
        found.revoke_key(key_id)
    typer.echo(f"key {key_id} is revoked")
