"""import: the configuration of another gateway, read into one of ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.output import counted, plain

if TYPE_CHECKING:
    from router.importing.source import Source

Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="File to write, a new one; by default to stdout.")
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env", metavar="NAME=URL", help="Address that the file takes from a variable; may be repeated."
    ),
]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Read another gateway's configuration into one of ours."
)


@app.command("litellm")
def litellm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="LiteLLM's proxy configuration (YAML).")],
    out: Out = None,
    env: Env = None,
) -> None:
    """Models, deployments, prices, limits and fallbacks of LiteLLM's proxy."""
    from router.importing.litellm import from_litellm
    from router.importing.source import read_source
    from router.importing.written import write

    source = read_source(file)
    draft = from_litellm(source, _variables(env or []))
    _deliver(write(draft, source, "pointsman import litellm"), source, out)


@app.command("portkey")
def portkey(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Portkey's gateway configuration (JSON).")],
    out: Out = None,
    env: Env = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model of targets that leave it to the client.")
    ] = None,
) -> None:
    """Targets, fallbacks, weighted splits and conditions of Portkey's gateway."""
    from router.importing.portkey import from_portkey
    from router.importing.source import read_source
    from router.importing.written import write

    source = read_source(file)
    draft = from_portkey(source, _variables(env or []), model)
    _deliver(write(draft, source, "pointsman import portkey"), source, out)


def _variables(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name or not value:
            raise typer.BadParameter(f"--env {name!r} must be NAME=URL")
        found[name] = value
    return found


def _deliver(text: str, source: "Source", out: Path | None) -> None:
    """The file where it is wanted; what is not carried over to stderr too."""
    if out is None:
        typer.echo(text, nl=False)
    else:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    for remark in sorted(source.remarks, key=lambda each: (each.line, each.column)):
        typer.echo(plain(str(remark)), err=True)
    if out is not None:
        said = counted(len(source.remarks), "thing") if source.remarks else "nothing"
        typer.echo(f"{out} written; {said} not carried over as it stood, listed at its top", err=True)
