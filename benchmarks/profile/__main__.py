"""Where the microseconds of a request go: `python -m benchmarks.profile`.

Three views of the same server: its steps alone in warm loops; a real worker under the gateway benchmark's load,
sampled; and the worker without one thing at a time. docs/hot-path.md says how to read them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gateway import feedback_bodies
from benchmarks.machine import cores
from benchmarks.profile import absent, sampled, steps
from benchmarks.profile.tables import table
from benchmarks.serving import upstream_port

VIEWS = ("steps", "samples", "absent")


def _steps(upstream: int) -> Iterator[str]:
    rows = [(name, f"{took_us:.2f}") for name, took_us in steps.steps(upstream)]
    yield table("Steps alone, warm", ("", "us"), rows)


def _samples(upstream: int, asked: argparse.Namespace) -> Iterator[str]:
    with sampled.sampled_server(upstream) as (found, path):
        for label, load in sampled.loads(found.store, asked.seconds, feedback_bodies):
            if label in asked.loads:
                yield from sampled.report(label, found, path, load, asked.flame)


def _absent(upstream: int, asked: argparse.Namespace) -> Iterator[str]:
    rows = [
        (name, f"{change_us:+.0f}", f"{ratio:.2f}")
        for name, change_us, ratio in absent.rows(upstream, asked.seconds / 4, asked.rounds)
    ]
    yield table("Chat with and without: median change of a pair of runs", ("", "us", "x usual"), rows)


def main() -> None:
    """Print all views, or those that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=VIEWS)
    parser.add_argument(
        "--loads", nargs="+", default=["chat", "stream", "route", "feedback"], help="of the view `samples`"
    )
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="of each load; a quarter of it for `absent`"
    )
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs of the view `absent`")
    parser.add_argument("--flame", type=Path, help="folder for icicle graphs (SVG)")
    asked = parser.parse_args()
    if asked.flame is not None:
        asked.flame.mkdir(parents=True, exist_ok=True)
    with upstream_port(cores()[1]) as upstream:
        if "steps" in asked.views:
            print(*_steps(upstream), sep="\n", flush=True)
        for view, lines in (("samples", _samples), ("absent", _absent)):
            if view in asked.views:
                for line in lines(upstream, asked):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
