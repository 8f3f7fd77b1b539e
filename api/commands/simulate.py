"""simulate: an experiment tried out in a declared world before it meets users."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.output import Form, say

if TYPE_CHECKING:
    from evaluation.simulation.document import SimulationDocument
    from evaluation.simulation.spec import Spec

WIDE = 118
"""Columns where nobody's terminal says how many there are."""
Spec_ = Annotated[str, typer.Argument(metavar="SPEC", help="The specification, YAML or JSON.")]


def simulate(
    spec: Spec_,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=10_000, help="Runs, each with draws of its own.")
    ] = 1,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=256, help="Processes for several runs; default: cores.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=2**53, help="Seed in place of the specification's.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write the first run's report here.")
    ] = None,
    form: Form = "text",
) -> None:
    """Run an experiment in a simulated world through the real router, planner and tests."""
    from evaluation.simulation.document import document
    from evaluation.simulation.many import run_many
    from evaluation.simulation.spec_file import read_spec

    asked = read_spec(spec)
    if seed is not None:
        asked = asked.model_copy(update={"seed": seed})
    with _bar(asked, runs) as advance:
        trials = run_many(asked, runs, jobs or _cores(), advance)
    found = document(asked, trials)
    if report is not None:
        _write(report, found)
    if form == "json":
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show(found)


def _cores() -> int:
    import os

    return os.cpu_count() or 1


@contextmanager
def _bar(spec: "Spec", runs: int) -> Iterator[Callable[[int], object]]:
    """A progress bar on standard error, where a person looks at it: of requests, or of runs if there are several."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield int
        return
    what, total = ("requests", spec.requests) if runs == 1 else ("runs", runs)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


def _show(found: "SimulationDocument") -> None:
    """The report of one run as `pointsman report` prints it, then truth beside findings."""
    from rich.console import Console

    from api.commands.local import render_report_as
    from evaluation.simulation.text import show

    if len(found.runs) == 1:
        say(render_report_as(found.report.model_dump_json(), "text"))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    show(found, console)


def _write(path: Path, found: "SimulationDocument") -> None:
    from api.commands.local import render_report_as

    path.write_text(render_report_as(found.report.model_dump_json(), "html"), encoding="utf-8")
