"""What a report without mature data waits for, and which of its sections have nothing to say until then.

Tables of dashes would hide the one thing such a report can tell: when there will be figures.
"""

from dashboards import figures
from dashboards.next_steps import LIVE
from experiments.evidence.epochs import GRACE_MS, LONGEST_MS, smallest_size
from experiments.report.document import CandidatePart, Report

SHORTEST_PACED_MS = 3_600_000
"""A run this short says nothing of a day: seconds of traffic would read as millions of units."""
DAY_MS = 86_400_000
TOO_SHORT = "too short to tell a pace"


def awaits(report: Report) -> bool:
    """Whether no unit is mature yet, so that effects, money and other read-outs are unknown."""
    return report.mature_units == 0 and not report.shadow


def awaited(report: Report) -> str:
    """What is awaited and when; empty where there is mature data. Mode shadow counts pairs and waits for nothing."""
    if not awaits(report):
        return ""
    if report.started_at_ms is None or report.state == "draft":
        return f"{_LEFT_OUT} once it has started and rewards are mature."
    if report.state not in LIVE:
        return (
            "It ended before any reward was mature: there are no effects, money or other read-outs to show."
        )
    window = figures.duration(report.window_ms)
    if report.state == "running" and max(report.shares.numbers, default=0) <= 1:
        size = figures.units(smallest_size(len(report.candidates), 1))
        return (
            f"{_LEFT_OUT} with the first mature epoch: it closes at {size} units or after "
            f"{figures.duration(LONGEST_MS)}, and its rewards are mature once the window of {window} after that "
            "is over."
        )
    return (
        f"{_LEFT_OUT} with the first mature epoch: rewards are mature once the window of {window} after an "
        f"epoch's end is over{_first_at(report)}."
    )


_LEFT_OUT = "Effects, money and other read-outs follow"


def _first_at(report: Report) -> str:
    """When the first epoch is mature at the latest, while that lies ahead: it closed before the second opened."""
    if 2 not in report.shares.numbers:
        return ""
    opened_ms = report.shares.opened_at_ms[report.shares.numbers.index(2)]
    mature_ms = opened_ms + report.window_ms + GRACE_MS
    return f", for the first by {figures.moment(mature_ms)}" if mature_ms > report.rendered_at_ms else ""


def guards_silent(report: Report) -> bool:
    """Whether no guardrail has a figure; harm to errors, costs and latencies shows before rewards are mature."""
    parts = [part for candidate in report.candidates for part in candidate.guardrails]
    return awaits(report) and all(
        part.state == "open" and part.value is None and part.low is None and part.high is None
        for part in parts
    )


def service_silent(report: Report) -> bool:
    """Whether no call was measured, so that errors, latencies and shares served are all unknown."""
    return awaits(report) and not any(map(_measured, report.candidates))


def _measured(row: CandidatePart) -> bool:
    return row.error_rate is not None or row.latency_p50_ms is not None or row.latency_p95_ms is not None


def paced(report: Report) -> bool:
    """Whether it took traffic for long enough to speak of units a day."""
    if report.units_per_day > 0:
        return round(report.units * DAY_MS / report.units_per_day) >= SHORTEST_PACED_MS
    end_ms = report.rendered_at_ms if report.ended_at_ms is None else report.ended_at_ms
    return report.started_at_ms is not None and end_ms - report.started_at_ms >= SHORTEST_PACED_MS
