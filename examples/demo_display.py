"""What the demo shows while traffic runs: a live table on a terminal, a line every few seconds elsewhere."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from examples.demo_client import Standing
from examples.demo_traffic import SubjectTally, Tally

LINE_EVERY_S = 5.0
NARROW = (0, 1, 0, 0)
"""Padding of cells with which the tables fit 80 columns."""
_BAR_WIDTH = 10
_ROOMY = 100
"""Columns of a terminal from which quality and cost so far are shown as well."""


class Display:
    """Shows subjects, shares and verdicts as they change."""

    def __init__(self, console: Console, candidates: Sequence[str], requests: int) -> None:
        self._console = console
        self._candidates = candidates
        self._requests = requests
        """Of each subject."""
        self._live: Live | None = None
        self._next_line_s = 0.0

    def shown(self) -> AbstractContextManager[object]:
        """While this is entered, `update` shows."""
        if not self._console.is_terminal:
            return nullcontext()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        return self._live

    def update(self, elapsed_s: float, tally: Tally, standings: Mapping[str, Standing]) -> None:
        """Show how things stand."""
        if self._live is not None:
            self._live.update(self._table(elapsed_s, tally, standings), refresh=True)
        elif elapsed_s >= self._next_line_s:
            self._next_line_s = elapsed_s + LINE_EVERY_S
            line = self._line(elapsed_s, tally, standings)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, elapsed_s: float, tally: Tally, standings: Mapping[str, Standing]) -> str:
        total = self._requests * len(tally.subjects)
        shares = [standing.shares for standing in standings.values() if standing.shares]
        means = [sum(each) / len(each) for each in zip(*shares, strict=True)]
        split = ", ".join(f"{name} {share:.0%}" for name, share in zip(self._candidates, means, strict=False))
        ready = sum(standing.verdict == "promote" for standing in standings.values())
        return (
            f"{elapsed_s:5.1f} s  {tally.answered:,} of {total:,} answered; "
            f"shares on average: {split}; {ready} to promote"
        )

    def _table(self, elapsed_s: float, tally: Tally, standings: Mapping[str, Standing]) -> Table:
        title = f"{tally.answered:,} answers in {elapsed_s:.0f} s; shares of new traffic:"
        table = Table(box=SIMPLE_HEAD, padding=NARROW, title=title, title_justify="left")
        roomy = self._console.width >= _ROOMY
        table.add_column("subject", no_wrap=True)
        table.add_column("requests", width=_BAR_WIDTH)
        for name in (*map(short, self._candidates), *(("right", "$/1,000") if roomy else ())):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for subject, one in tally.subjects.items():
            standing = standings.get(subject)
            shares = (
                [f"{share:.0%}" for share in standing.shares] if standing else [""] * len(self._candidates)
            )
            bar = ProgressBar(total=self._requests, completed=one.answered, width=_BAR_WIDTH)
            verdict = standing.verdict if standing else ""
            table.add_row(subject, bar, *shares, *(_so_far(one) if roomy else ()), verdict)
        return table


def short(model: str) -> str:
    """A model's name in a narrow column.

    >>> short("Meta-Llama-3.1-70B-Instruct"), short("gemini-1.5-flash-002")
    ('Llama', 'gemini')
    """
    return model.removeprefix("Meta-").split("-")[0]


def _so_far(one: SubjectTally) -> tuple[str, str]:
    if not one.answered:
        return "", ""
    return f"{one.correct / one.answered:.3f}", f"{1000 * one.cost_usd / one.answered:.3f}"
