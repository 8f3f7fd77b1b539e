"""Counters of the serving workers: plain integers while serving, text only when somebody asks.

Each worker adds to its own list and copies it into its part of one shared memory page, from which any worker
renders the sums of all; a worker that is started again goes on from its part, so counters never step back.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from experiments.definition.lifecycle import ExperimentState
from router.availability.fleet import Kind
from router.deciding.policy import By
from router.deciding.tasks import TaskReason
from router.engine import TIERS
from router.recording.pairs import Fate
from storage.records import ExperimentRow, FeedbackState, TrafficCount

ENDPOINTS = ("chat", "embeddings", "responses", "models", "route", "feedback", "other")
TIMED = ("chat", "embeddings", "responses", "route", "feedback")
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_WORD_BYTES = 8


def _layout() -> tuple[Mapping[tuple[str, ...], int], int]:
    """Position of each counter in the list, and how many there are."""
    names: list[tuple[str, ...]] = []
    names += [("requests", endpoint, status) for endpoint in ENDPOINTS for status in STATUS_CLASSES]
    for endpoint in TIMED:
        names += [("seconds", endpoint, str(position)) for position in range(len(BOUNDS_S) + 1)]
        names.append(("microseconds", endpoint))
    names += [("feedback", state) for state in FeedbackState]
    names += [("found_by", reason) for reason in get_args(TaskReason)]
    names += [("tier", str(tier)) for tier in range(TIERS)]
    names += [("availability", kind) for kind in get_args(Kind)]
    names += [("copies", fate) for fate in get_args(Fate)]
    names += [("policy", by) for by in get_args(By)]
    names += [("policy_unusable",), ("connections",), ("connections_refused",), ("rows_lost",)]
    return {name: position for position, name in enumerate(names)}, len(names)


POSITIONS, COUNTERS = _layout()
_REQUESTS = {endpoint: POSITIONS["requests", endpoint, "2xx"] for endpoint in ENDPOINTS}
_SECONDS = {endpoint: POSITIONS["seconds", endpoint, "0"] for endpoint in TIMED}
_FEEDBACK = {state: POSITIONS["feedback", state] for state in FeedbackState}
_GAUGES = ("connections",)


def page_bytes(workers: int) -> int:
    """Size of the shared page of this many workers."""
    return workers * COUNTERS * _WORD_BYTES


class Counters:
    """One worker's counters, and its view of all workers'."""

    def __init__(self, file_descriptor: int | None = None, slot: int = 0, workers: int = 1) -> None:
        size = page_bytes(workers)
        self._page = mmap.mmap(-1 if file_descriptor is None else file_descriptor, size)
        self._words = memoryview(self._page).cast("q")
        self._slot = slot
        start = slot * COUNTERS
        self.values: list[int] = self._words[start : start + COUNTERS].tolist()
        self._set_gauges_to_zero()

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answer of the gateway or the API."""
        values = self.values
        values[_REQUESTS[endpoint] + status // 100 - 2] += 1
        first = _SECONDS.get(endpoint)
        if first is not None:
            values[first + bisect_left(BOUNDS_S, seconds)] += 1
            values[first + len(BOUNDS_S) + 1] += int(seconds * 1e6)

    def feedback(self, state: FeedbackState) -> None:
        """Count one feedback item."""
        self.values[_FEEDBACK[state]] += 1

    def copied(self, fate: Fate) -> None:
        """Count one copy of a request, mode shadow, by what became of it."""
        self.values[POSITIONS["copies", fate]] += 1

    def set(self, name: str, value: int) -> None:
        """State a gauge."""
        self.values[POSITIONS[name,]] = value

    def add(self, name: str, count: int = 1) -> None:
        """Raise a counter without labels."""
        self.values[POSITIONS[name,]] += count

    def tasks_found(self, by: Mapping[TaskReason, int]) -> None:
        """Count requests by what named their task."""
        for reason, count in by.items():
            self.values[POSITIONS["found_by", reason]] += count

    def happened(self, counts: Mapping[Kind, int]) -> None:
        """Count what kept models available."""
        for kind, count in counts.items():
            self.values[POSITIONS["availability", kind]] += count

    def tiers_served(self, by: Sequence[int]) -> None:
        """Count decisions by the tier of their model."""
        for tier, count in enumerate(by):
            self.values[POSITIONS["tier", str(tier)]] += count

    def policies_chose(self, by: Mapping[By, int]) -> None:
        """Count decisions that policies served, by what named the model."""
        for kind, count in by.items():
            self.values[POSITIONS["policy", kind]] += count

    def publish(self) -> None:
        """Show this worker's counters to the others."""
        start = self._slot * COUNTERS
        for position, value in enumerate(self.values):
            self._words[start + position] = value

    def totals(self) -> list[int]:
        """Sums over all workers."""
        self.publish()
        words = self._words.tolist()
        return [sum(words[position::COUNTERS]) for position in range(COUNTERS)]

    def _set_gauges_to_zero(self) -> None:
        for name in _GAUGES:
            self.set(name, 0)


def tiers_of(totals: Sequence[int]) -> list[int]:
    """Decisions of all workers by tier."""
    return [totals[POSITIONS["tier", str(tier)]] for tier in range(TIERS)]


def render(totals: list[int], traffic: list[TrafficCount], experiments: tuple[ExperimentRow, ...]) -> str:
    """All metrics in Prometheus' text format."""
    lines = [*_request_lines(totals), *_state_lines(totals), *_ledger_lines(traffic, experiments)]
    return "\n".join(lines) + "\n"


def _request_lines(totals: list[int]) -> Iterator[str]:
    yield from _head("pointsman_requests_total", "counter", "Answers by endpoint and status class.")
    for endpoint in ENDPOINTS:
        for status in STATUS_CLASSES:
            count = totals[POSITIONS["requests", endpoint, status]]
            yield f'pointsman_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}'
    yield from _head("pointsman_request_seconds", "histogram", "Time to the end of the answer.")
    for endpoint in TIMED:
        yield from _histogram(totals, endpoint)


def _histogram(totals: list[int], endpoint: str) -> Iterator[str]:
    first, below = POSITIONS["seconds", endpoint, "0"], 0
    name = "pointsman_request_seconds"
    for position, bound in enumerate((*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")):
        below += totals[first + position]
        yield f'{name}_bucket{{endpoint="{endpoint}",le="{bound}"}} {below}'
    yield f'{name}_sum{{endpoint="{endpoint}"}} {totals[POSITIONS["microseconds", endpoint]] / 1e6:.6f}'
    yield f'{name}_count{{endpoint="{endpoint}"}} {below}'


def _state_lines(totals: list[int]) -> Iterator[str]:
    yield from _head("pointsman_feedback_total", "counter", "Feedback items by what became of them.")
    for state in FeedbackState:
        yield f'pointsman_feedback_total{{state="{state}"}} {totals[POSITIONS["feedback", state]]}'
    yield from _head("pointsman_tasks_found_total", "counter", "Requests by what named their task.")
    for reason in get_args(TaskReason):
        yield f'pointsman_tasks_found_total{{by="{reason}"}} {totals[POSITIONS["found_by", reason]]}'
    yield from _head(
        "pointsman_availability_total", "counter", "Retries, fallbacks and what else kept answers coming."
    )
    for each in get_args(Kind):
        yield f'pointsman_availability_total{{event="{each}"}} {totals[POSITIONS["availability", each]]}'
    yield from _head(
        "pointsman_copies_total", "counter", "Copies of requests (mode shadow) by what became of them."
    )
    for fate in get_args(Fate):
        yield f'pointsman_copies_total{{fate="{fate}"}} {totals[POSITIONS["copies", fate]]}'
    yield from _head("pointsman_tier_decisions_total", "counter", "Decisions by tier; 0 is none.")
    for tier, decisions in enumerate(tiers_of(totals)):
        yield f'pointsman_tier_decisions_total{{tier="{tier}"}} {decisions}'
    yield from _head(
        "pointsman_policy_choices_total", "counter", "Decisions of policies by what named the model."
    )
    for by in get_args(By):
        yield f'pointsman_policy_choices_total{{by="{by}"}} {totals[POSITIONS["policy", by]]}'
    for name, kind, text in (
        ("policy_unusable", "counter", "Replies of policy servers that were no answer."),
        ("connections", "gauge", "Open client connections."),
        ("connections_refused", "counter", "Connections refused because too many were open."),
        ("rows_lost", "counter", "Decision and call rows dropped while the store was away."),
    ):
        metric = f"pointsman_{name}" + ("_total" if kind == "counter" else "")
        yield from _head(metric, kind, text)
        yield f"{metric} {totals[POSITIONS[name,]]}"


def _ledger_lines(traffic: list[TrafficCount], experiments: tuple[ExperimentRow, ...]) -> Iterator[str]:
    """What the ledger holds: the same from every worker."""
    names = {row.id: row.name for row in experiments}
    yield from _head("pointsman_decisions_total", "counter", "Recorded decisions.")
    for count in traffic:
        experiment = names.get(count.experiment_id, "")
        labels = f'task="{count.task}",experiment="{experiment}",reason="{count.reason}"'
        yield f"pointsman_decisions_total{{{labels}}} {count.decisions}"
    yield from _head("pointsman_experiments", "gauge", "Experiments by state.")
    for state in ExperimentState:
        count_of_state = sum(row.state is state for row in experiments)
        yield f'pointsman_experiments{{state="{state}"}} {count_of_state}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
