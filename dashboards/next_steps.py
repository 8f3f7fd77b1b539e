"""Next steps: the commands that follow from a report, ready to copy."""

from dataclasses import dataclass
from shlex import quote

from dashboards.wording import watches
from experiments.report.document import Report

LIVE = frozenset({"running", "paused"})
WHY = "--why 'your reason'"


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what it does."""

    does: str
    command: str


def next_steps(report: Report) -> tuple[Step, ...]:
    """What the reader can do now, the likeliest first."""
    name, task = quote(report.experiment), quote(report.task)
    if report.state == "draft":
        return (Step("Start it", f"pointsman start {name}"),)
    if report.state == "promoted":
        return (Step("Give the task its earlier champion back", f"pointsman rollback {task} {WHY}"),)
    if report.state not in LIVE:
        return (Step("See what else runs", "pointsman experiments"),)
    steps = _by_verdict(report, name, task)
    if report.state == "paused":
        return (*steps, Step("Resume it", f"pointsman start {name}"))
    return steps


def _by_verdict(report: Report, name: str, task: str) -> tuple[Step, ...]:
    kind, candidate = report.verdict.kind, report.verdict.candidate
    stop = Step("End it, the champion stays", f"pointsman stop {name} {WHY}")
    if watches(report.experiment):
        return _of_a_watch(kind, stop, name, task)
    if kind == "promote":
        chosen = f" {quote(candidate)}" if candidate else ""
        return (Step("Make it the champion", f"pointsman promote {name}{chosen} {WHY}"), stop)
    if kind == "fit":
        end = Step("End it, and name an experiment in mode ab or earn in the configuration", stop.command)
        return (end, Step("Read the report again later", f"pointsman report {name}"))
    if kind == "needs_review" and candidate:
        forced = f"pointsman promote {name} {quote(candidate)} --force {WHY}"
        return (stop, Step("Promote it all the same, once you know that the doubt is unfounded", forced))
    if kind in ("keep_running", "not_ready"):
        return (Step("Read it again later", f"pointsman report {name}"),)
    return (stop,)


def _of_a_watch(kind: str, stop: Step, name: str, task: str) -> tuple[Step, ...]:
    """In a holdback nothing is to be promoted: the watch goes on, ends, or gives the earlier champion back."""
    back = Step("Give the task its earlier champion back", f"pointsman rollback {task} {WHY}")
    if kind == "roll_back":
        return (back,)
    if kind in ("promote", "keep_running", "not_ready"):
        return (Step("Read it again later; it ends by itself", f"pointsman report {name}"),)
    return (Step("End the watch, the champion stays", stop.command), back)
