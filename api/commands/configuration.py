"""validate, plan, apply: a configuration file on its way into the store."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.errors import FAILED, fail
from api.commands.opening import open_local
from api.commands.options import actor
from api.commands.output import Form, counted, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.applying.file import ConfigFile
    from router.applying.plan import Plan
    from router.errors import Problem

File = Annotated[str, typer.Argument(metavar="FILE", help="The configuration, YAML or JSON.")]
Reset = Annotated[
    bool, typer.Option("--reset-champions", help="Move champions that were promoted or set by hand, too.")
]


def validate(file: File, form: Form = "text") -> None:
    """Check a configuration file; every problem is named by line and field."""
    from router.applying.file import read_config
    from router.errors import ConfigInvalid

    try:
        loaded = read_config(file)
    except ConfigInvalid as error:
        if form == "text" or not error.problems:
            raise
        _say_problems(error.problems)
        raise typer.Exit(FAILED) from None
    if form == "json":
        _say_problems(loaded.warnings)
        return
    _warn(loaded)
    document = loaded.document
    parts = (
        counted(len(document.models), "model"),
        counted(len(document.tasks), "task"),
        counted(len(document.experiments), "experiment"),
    )
    say(f"{file} is valid: {', '.join(parts)}")


def plan(ctx: typer.Context, file: File, reset_champions: Reset = False, form: Form = "text") -> None:
    """Show what `apply` would change, and change nothing."""
    from router.applying.plan import plan_changes
    from router.clock import machine_clock

    loaded = _read(file)
    with open_local(ctx) as store:
        found = plan_changes(loaded.document, store.state(), machine_clock(), actor(), reset_champions)
    _show(found, form)
    if found.refused:
        fail(f"{len(found.refused)} of these cannot be applied (marked !)")
        raise typer.Exit(FAILED)


def apply(
    ctx: typer.Context,
    file: File,
    reset_champions: Reset = False,
    why: Annotated[str, typer.Option("--why", help="Reason, for the audit record.")] = "",
    form: Form = "text",
) -> None:
    """Make a file the configuration: all of it at once, or nothing."""
    from router.applying import plan as plans
    from router.clock import machine_clock

    loaded = _read(file)
    with open_local(ctx) as store:
        done = plans.apply(store, loaded.document, machine_clock, actor(), reset_champions, why)
    _show(done, form)
    if form == "text" and done.changes:
        say("applied; running servers follow within two seconds")


def _read(file: str) -> "ConfigFile":
    from router.applying.file import read_config

    loaded = read_config(file)
    _warn(loaded)
    return loaded


def _warn(loaded: "ConfigFile") -> None:
    for warning in loaded.warnings:
        typer.echo(str(warning), err=True)


def _say_problems(problems: "Sequence[Problem]") -> None:
    typer.echo(json.dumps([asdict(problem) for problem in problems], indent=2, ensure_ascii=False))


def _show(plan: "Plan", form: str) -> None:
    if form == "text":
        say(plan.text)
        return
    items = [asdict(item) for item in plan.items]
    typer.echo(json.dumps({"digest": plan.digest, "items": items}, indent=2, ensure_ascii=False))
