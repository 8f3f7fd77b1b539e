"""The demo end to end: real servers, every request by TCP, both sides counted."""

import io
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from rich.console import Console

from examples.demo import Outcome, perform, run
from examples.demo_client import Standing
from examples.demo_config import configuration
from examples.demo_display import Display
from examples.demo_traffic import SubjectTally, Tally
from examples.figures import CONTROL, read_figures
from router.applying.file import read_document

FIGURES = read_figures()
ROOT = Path(__file__).parents[2]
SUBJECTS = ("physics", "law")
REQUESTS = 150
TALLY = Tally({"computer_science": SubjectTally(asked=60, answered=50, correct=20, cost_usd=0.01)})
STANDINGS = {
    "computer_science": Standing("computer_science", "running", 3, "keep_running", None, (0.1, 0.6, 0.2, 0.1))
}


def printed(console: Console) -> str:
    """What a console over a string holds."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def performed() -> tuple[Outcome, str]:
    """One small demo and what it printed."""
    console = Console(file=io.StringIO(), width=120)
    outcome = perform(console, FIGURES, SUBJECTS, REQUESTS, seed=4)
    return outcome, printed(console)


@pytest.mark.process
def test_every_request_reaches_a_model_and_every_reward_is_acknowledged(
    performed: tuple[Outcome, str],
) -> None:
    """Counted on both sides: what the client sent, and what the simulated servers saw."""
    outcome, text = performed
    sent = REQUESTS * len(SUBJECTS)
    assert outcome.whole
    assert outcome.tally.asked == outcome.tally.answered == sent
    assert sum(outcome.seen.values()) == sent
    by_model = {
        model: sum(subject.models[model] for subject in outcome.tally.subjects.values())
        for model in outcome.seen
    }
    assert by_model == outcome.seen
    assert outcome.tally.feedback_states == {"applied": sent}
    assert f"{sent:,} requests sent, {sent:,} answered, {sent:,} seen by the models" in text


@pytest.mark.process
def test_the_reports_count_every_unit_and_only_evidence_promotes(performed: tuple[Outcome, str]) -> None:
    """A demo that promoted by itself would show the opposite of the product."""
    outcome, text = performed
    assert [report.experiment for report in outcome.reports] == list(SUBJECTS)
    for report in outcome.reports:
        assert report.units == REQUESTS
        subject = report.experiment
        if report.verdict.kind == "promote":
            assert outcome.promoted[subject] == outcome.champions[subject] == report.verdict.candidate
        else:
            assert subject not in outcome.promoted
            assert outcome.champions[subject] == CONTROL
            assert re.search(rf"{subject}: (undecided|rolled back)", text)
    assert "before: jamba-1.5-large everywhere" in text


def test_the_configuration_is_valid_and_prices_every_model(tmp_path: Path) -> None:
    """`pointsman apply` must take it without a warning."""
    file = tmp_path / "pointsman.yaml"
    urls = {model: f"http://127.0.0.1:{9_000 + place}/v1" for place, model in enumerate(FIGURES.models)}
    file.write_text(configuration(FIGURES, urls, tuple(FIGURES.subjects)))
    document = read_document(file)
    assert document.models.keys() == set(FIGURES.models)
    for name, model in document.models.items():
        assert model.price is not None
        assert model.base_url == urls[name]
        assert model.price.output == FIGURES.prices_usd_per_mtok[name].output
    assert document.experiments.keys() == FIGURES.subjects.keys()
    for experiment in document.experiments.values():
        assert experiment.control == CONTROL
        assert experiment.objective.reward_margin == 0.05


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_sees_a_table(width: int) -> None:
    """Subjects, shares and verdicts must be readable on a small terminal, the rest on a wide one."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    display = Display(console, FIGURES.models, requests=100)
    with display.shown():
        display.update(1.0, TALLY, STANDINGS)
    shown = printed(console)
    for wanted in ("computer_science", "DeepSeek", "60%", "keep_running"):
        assert wanted in shown
    assert ("0.400" in shown) == (width == 120)


def test_a_log_sees_a_line_every_five_seconds() -> None:
    """Where nobody looks at a screen, the same figures must not flood the log."""
    console = Console(file=io.StringIO(), width=80)
    display = Display(console, FIGURES.models, requests=100)
    with display.shown():
        for elapsed_s in (0.0, 1.0, 6.0):
            display.update(elapsed_s, TALLY, STANDINGS)
    lines = printed(console).splitlines()
    assert len(lines) == 2
    assert "50 of 100 answered; shares on average: jamba-1.5-large 10%, gemini-1.5-flash-002 60%" in lines[1]


def test_wrong_options_are_refused_before_anything_starts() -> None:
    """Exit code 2, and no process."""
    console = Console(file=io.StringIO(), width=120)
    assert run(subjects=["alchemy"], console=console) == 2
    assert run(requests=0, console=console) == 2
    assert run(seed=2**64, console=console) == 2
    assert "subjects are computer_science, economics" in printed(console)


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "awaited", "number"),
    [
        ("requests=90_000", "of 90,000 answered", signal.SIGTERM),
        ("requests=5, keep=True", "keeps running at", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, options: str, awaited: str, number: signal.Signals
) -> None:
    """In the middle of traffic, or kept running and ended by Ctrl-C: no process, no port, no file stays."""
    with demo_process(tmp_path, options) as (process, scratch, errors):
        url = wait_for(process, awaited, within_s=90)
        assert healthy(url)
        children = descendants(process.pid)
        assert len(children) >= 4
        process.send_signal(number)
        assert process.wait(20) == 130
        assert errors.read_text() == ""
        assert not healthy(url)
        assert not left_running(children, within_s=5)
        assert list(scratch.iterdir()) == []


@pytest.mark.process
def test_a_killed_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    """Nobody could tidy up, so the servers themselves notice that the demo is gone."""
    with demo_process(tmp_path, "requests=5, keep=True") as (process, _, _):
        url = wait_for(process, "keeps running at", within_s=90)
        children = descendants(process.pid)
        assert len(children) >= 4
        process.kill()
        assert not left_running(children, within_s=20)
        assert not healthy(url)


@contextmanager
def demo_process(tmp_path: Path, options: str) -> Iterator[tuple["subprocess.Popen[str]", Path, Path]]:
    """A demo of one subject as a process, its scratch folder and what it writes to stderr."""
    program = f"import sys; from examples.demo import run; sys.exit(run(subjects=['law'], {options}))"
    scratch, errors = tmp_path / "scratch", tmp_path / "stderr.txt"
    scratch.mkdir()
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT, env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        yield process, scratch, errors
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def left_running(children: Mapping[int, str], within_s: float) -> list[str]:
    """Commands of those processes that still run after a while."""
    deadline = time.monotonic() + within_s
    while any(alive(pid, command) for pid, command in children.items()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [command for pid, command in children.items() if alive(pid, command)]


def wait_for(process: "subprocess.Popen[str]", awaited: str, within_s: float) -> str:
    """The server's URL, once the awaited words are printed."""
    said, deadline = "", time.monotonic() + within_s
    assert process.stdout is not None
    while awaited not in said:
        assert time.monotonic() < deadline, f"the demo did not print {awaited!r}: {said}"
        if select.select([process.stdout], [], [], 0.2)[0]:
            piece = os.read(
                process.stdout.fileno(), 65_536
            )  # a buffering reader would hide lines from select
            assert piece, f"the demo ended: {said}"
            said += piece.decode()
    found = re.search(r"serves at (http://[\d.:]+\d)", said)
    assert found is not None
    return found[1]


def healthy(url: str) -> bool:
    """Whether the server answers."""
    try:
        with urlopen(url + "/healthz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def descendants(pid: int) -> Mapping[int, str]:
    """Command lines of all processes below one."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            parents[int(status.parent.name)] = int(fields[1])
        except OSError:
            continue  # it ended meanwhile
    below, found = {pid}, dict[int, str]()
    while fresh := {child for child, parent in parents.items() if parent in below} - below:
        below |= fresh
        found |= {child: command_of(child) for child in fresh}
    return found


def command_of(pid: int) -> str:
    """A process's command line, "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def alive(pid: int, command: str) -> bool:
    """Whether the very process still runs."""
    return command != "" and command_of(pid) == command
