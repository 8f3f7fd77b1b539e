"""`python -m evaluation.calibration`: run the full calibration and write docs/calibration.md."""

import argparse
import os
import platform
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console

from evaluation.calibration.advance import shown
from evaluation.calibration.bars import Bar, bars
from evaluation.calibration.document import Circumstances, document
from evaluation.calibration.run import QUICK, Plan, calibrate, pieces
from evaluation.calibration.speed import measured

DOCUMENT = Path("docs/calibration.md")


def main(arguments: list[str]) -> int:
    """Exit code 1 where a bar is missed; the document is written either way, of a short run only where asked."""
    asked = _parser().parse_args(arguments)
    plan = Plan.full(QUICK if asked.quick else asked.part, asked.seed)
    begun = perf_counter()
    with shown(sum(len(piece.seeds) for piece in pieces(plan)), sys.stdout) as advance:
        results = calibrate(plan, asked.jobs, advance)
    judged, took = bars(results), perf_counter() - begun
    out = asked.out if asked.out or asked.quick else DOCUMENT
    if out is not None:
        run = Circumstances(took, asked.jobs, platform.python_version(), np.__version__, measured())
        out.write_text(document(results, judged, run), encoding="utf-8")
    _print(judged)
    return int(any(bar.missed for bar in judged))


def _print(judged: tuple[Bar, ...]) -> None:
    out = Console()
    for bar in judged:
        out.print(
            f"{bar.state:>20}  {bar.name}: {bar.measured}, promised {bar.promised}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="calibration", description="Run the calibration and write its document."
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK:.0%} of the replications, about a minute, no document"
    )
    parser.add_argument(
        "--part", type=_part, default=1.0, help="replications of each scenario as a part of the whole run's"
    )
    parser.add_argument("--seed", type=int, default=20_261_120)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, help=f"document to write; {DOCUMENT} for a whole run")
    return parser


def _part(text: str) -> float:
    """Positive and finite."""
    try:
        part = float(text)
    except ValueError:
        part = 0.0
    if not 0 < part <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} of the replications; give a number in (0, 100]")
    return part


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
