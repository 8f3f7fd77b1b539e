"""`pointsman demo`: the whole loop on real servers - define, send traffic, read the reports, promote.

Local servers imitate four models as they were measured (docs/demo.md); everything else is the product as a
user runs it: `pointsman apply`, `pointsman serve`, and its HTTP API.
"""

import asyncio
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import aiohttp
from rich.console import Console

from examples.demo_client import Api
from examples.demo_config import configuration
from examples.demo_display import Display
from examples.demo_processes import DemoFailed, pointsman, simulated_models
from examples.demo_report import say, show_change, show_counts, show_decision, show_reports
from examples.demo_traffic import Tally, Traffic
from examples.figures import CONTROL, Figures, read_figures
from experiments.evidence.epochs import GRACE_MS
from experiments.report.document import Report

REQUESTS = 3_000
"""Of each subject."""
DONE, ERROR, USAGE, INTERRUPTED = 0, 1, 2, 130
LOOK_S = 0.5
FOLLOW_S = 1.0
"""Time in which the server takes over that experiments were started."""
SETTLE_S = GRACE_MS / 1_000 + 1.0 + 1.5
"""Reward window and grace of the last closed epoch, and a tick after them."""
WHY = "the demo's evidence supports it"
MOST_REQUESTS = 100_000
LARGEST_SEED = 2**63
WIDE = 118


@dataclass(frozen=True)
class Outcome:
    """What a demo did, for its exit code and for tests."""

    tally: Tally
    seen: Mapping[str, int]
    """Requests that each simulated model counted."""
    reports: Sequence[Report]
    promoted: Mapping[str, str]
    """New champions by subject."""
    champions: Mapping[str, str]
    """Of every subject at the end."""

    @property
    def whole(self) -> bool:
        """Whether both sides count the same requests and every reward was acknowledged."""
        tally = self.tally
        return (
            not tally.failures
            and tally.asked == tally.answered == sum(self.seen.values()) == tally.feedback_sent
            and tally.acknowledged == tally.feedback_sent
        )


def run(
    *,
    keep: bool = False,
    seed: int = 1,
    requests: int = REQUESTS,
    port: int = 0,
    workers: int = 1,
    subjects: Sequence[str] = (),
    console: Console | None = None,
) -> int:
    """Run the demo; returns the exit code. Nothing is left running or on disk, however it ends."""
    console = console or _console()
    figures = read_figures()
    chosen = tuple(subjects) or tuple(figures.subjects)
    unknown = [subject for subject in chosen if subject not in figures.subjects]
    if unknown or not 1 <= requests <= MOST_REQUESTS or not 0 <= seed < LARGEST_SEED:
        say(
            console,
            f"subjects are {', '.join(figures.subjects)}; requests 1 to {MOST_REQUESTS:,}; seed from 0",
        )
        return USAGE
    try:
        with _ended_by_signals():
            outcome = perform(console, figures, chosen, requests, seed, port, workers, keep)
    except KeyboardInterrupt:
        say(console, "Interrupted; everything is stopped.")
        return INTERRUPTED
    except DemoFailed as error:
        say(console, str(error))
        return ERROR
    return DONE if outcome.whole else ERROR


def perform(
    console: Console,
    figures: Figures,
    subjects: Sequence[str],
    requests: int,
    seed: int,
    port: int = 0,
    workers: int = 1,
    keep: bool = False,
) -> Outcome:
    """Start everything, run the loop, end everything."""
    say(console, f"Figures: {figures.source}")
    say(console, "Starting the simulated models and Pointsman ...")
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-demo-") as directory,
        simulated_models(seed) as urls,
        pointsman(Path(directory), configuration(figures, urls, subjects), port, workers) as url,
    ):
        say(console, f"Pointsman serves at {url}; {CONTROL} against {len(figures.models) - 1} candidates, "
                     f"{requests:,} requests for each of {len(subjects)} subjects")  # fmt: skip
        outcome = asyncio.run(_loop(console, figures, subjects, requests, seed, url, urls))
        if keep:
            say(console, f"It keeps running at {url} until Ctrl-C.")
            _wait_for_ever()
    return outcome


async def _loop(
    console: Console, figures: Figures, subjects: Sequence[str], requests: int, seed: int, url: str,
    urls: Mapping[str, str],
) -> Outcome:  # fmt: skip
    """Start the experiments, send traffic, read the reports, promote what the evidence supports."""
    api = Api(url)
    try:
        for subject in subjects:
            await api.start(subject)
        await asyncio.sleep(FOLLOW_S)
        tally = await _traffic(console, figures, api, Traffic(url, seed, subjects, requests), requests)
        say(console, "Waiting for the last rewards to mature ...")
        await asyncio.sleep(SETTLE_S)
        answered = {subject: one.answered for subject, one in tally.subjects.items()}
        reports = await asyncio.gather(*(api.report(subject, answered[subject]) for subject in subjects))
        show_reports(console, reports)
        promoted = {}
        say(console, "Promote what the evidence supports:")
        for report in reports:
            supported = report.verdict.kind == "promote"
            champion = await api.promote(report.experiment, WHY) if supported else None
            if champion is not None:
                promoted[report.experiment] = champion
            show_decision(console, report, champion)
        say(console, "")
        tasks = await api.champions()
        outcome = Outcome(
            tally, await _seen(urls), reports, promoted, {name: tasks[name] for name in subjects}
        )
    finally:
        await api.close()
    show_change(console, figures, outcome.champions, tally)
    show_counts(console, tally, outcome.seen)
    return outcome


async def _traffic(console: Console, figures: Figures, api: Api, traffic: Traffic, requests: int) -> Tally:
    """Send all requests while the display follows."""
    candidates = (CONTROL, *(name for name in figures.models if name != CONTROL))
    display = Display(console, candidates, requests)
    begun_s = time.monotonic()
    sending = asyncio.create_task(traffic.run())
    try:
        with display.shown():
            while not sending.done():
                standings = await api.standings(tuple(traffic.tally.subjects))
                display.update(time.monotonic() - begun_s, traffic.tally, standings)
                await asyncio.wait([sending], timeout=LOOK_S)
        await sending
    finally:
        sending.cancel()
    elapsed_s = time.monotonic() - begun_s
    answered = traffic.tally.answered
    say(console, f"{answered:,} answers in {elapsed_s:.1f} s ({answered / elapsed_s:,.0f} a second)")
    return traffic.tally


async def _seen(urls: Mapping[str, str]) -> dict[str, int]:
    """What the simulated models counted."""
    root = next(iter(urls.values())).removesuffix("/v1")
    async with aiohttp.ClientSession() as session, session.get(root + "/counts") as reply:
        counts: dict[str, int] = await reply.json()
        return counts


def _wait_for_ever() -> None:
    while True:
        time.sleep(3_600)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does, through every clean-up on the way."""

    def as_interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, as_interrupt),
        signal.SIGHUP: signal.signal(signal.SIGHUP, as_interrupt),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _console() -> Console:
    """Standard output, with room for tables where it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    return console
