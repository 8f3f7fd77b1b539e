"""How far a long run is: a bar on a terminal, and a line for each twentieth of it in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINES = 20

Advance = Callable[[int], None]


@contextmanager
def shown(total: int, out: TextIO) -> Iterator[Advance]:
    """Gives the function that is told of every replication that is done."""
    if not out.isatty():
        yield lines(total, out)
        return
    columns = (
        TextColumn("calibration"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=out)) as progress:
        bar = progress.add_task("", total=total)
        yield lambda done: progress.advance(bar, done)


def lines(total: int, out: TextIO) -> Advance:
    """Writes a line whenever a further twentieth is done."""
    begun, ready = perf_counter(), 0

    def advance(done: int) -> None:
        nonlocal ready
        before, ready = LINES * ready // total, ready + done
        if LINES * ready // total > before:
            minutes = (perf_counter() - begun) / 60
            out.write(f"calibration: {ready:,} of {total:,} replications after {minutes:.1f} minutes\n")
            out.flush()

    return advance
