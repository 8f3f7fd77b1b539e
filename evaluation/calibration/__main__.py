"""`python -m evaluation.calibration`: run the full calibration and write docs/calibration.md."""

import argparse
import os
import platform
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from evaluation.calibration.bars import bars
from evaluation.calibration.document import Circumstances, document
from evaluation.calibration.run import Plan, Results, calibrate, pieces


def main(arguments: list[str]) -> int:
    """Exit code 1 where a bar is missed; the document is written either way."""
    asked = _parser().parse_args(arguments)
    plan = Plan.full(asked.nulls, asked.powers, asked.regret, asked.seed)
    begun = perf_counter()
    results = _shown(plan, asked.jobs)
    judged = bars(results)
    circumstances = Circumstances(
        perf_counter() - begun, asked.jobs, platform.python_version(), np.__version__
    )
    asked.out.write_text(document(results, judged, circumstances), encoding="utf-8")
    out = Console()
    for bar in judged:
        out.print(
            f"{bar.state:>20}  {bar.name}: {bar.measured}, promised {bar.promised}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return int(any(bar.missed for bar in judged))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="calibration", description="Run the calibration and write its document."
    )
    parser.add_argument("--nulls", type=_replications, default=400, help="replications of each null scenario")
    parser.add_argument(
        "--powers", type=_replications, default=200, help="replications of each power scenario"
    )
    parser.add_argument(
        "--regret", type=_replications, default=100, help="replications of each regret setting"
    )
    parser.add_argument("--seed", type=int, default=20_261_120)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("docs/calibration.md"))
    return parser


def _replications(text: str) -> int:
    """A number from which a mean and its error can be told."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} replications; give a whole number of at least 2")
    return int(text)


def _shown(plan: Plan, jobs: int) -> Results:
    """The run under a progress bar that counts replications."""
    columns = (
        TextColumn("calibration"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=sum(len(piece.seeds) for piece in pieces(plan)))
        return calibrate(plan, jobs, lambda done: progress.advance(bar, done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
