"""Wording: the words, tone and icon that stand for the states a report names.

Tone colours a page, the icon and the word say the same without colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dashboards import figures
from experiments.report.document import Report

Tone = Literal["good", "bad", "warn", "info", "quiet"]
Icon = Literal["check", "cross", "back", "clock", "dots", "stop", "equal", "eye", "alert"]


@dataclass(frozen=True, slots=True)
class Wording:
    """How a state is shown."""

    words: str
    tone: Tone
    icon: Icon


VERDICTS: Mapping[str, Wording] = {
    "promote": Wording("Promote", "good", "check"),
    "roll_back": Wording("Roll back", "bad", "back"),
    "keep_running": Wording("Keep running", "info", "clock"),
    "not_ready": Wording("Not ready", "quiet", "dots"),
    "stop_futile": Wording("Stop, no gain left", "warn", "stop"),
    "inconclusive": Wording("Inconclusive", "warn", "equal"),
    "needs_review": Wording("Needs review", "warn", "eye"),
    "unhealthy": Wording("Unhealthy data", "bad", "alert"),
    "fit": Wording("Fit for real traffic", "good", "check"),
    "unfit": Wording("Unfit", "bad", "cross"),
}
RULE_STATES: Mapping[str, Wording] = {
    "holds": Wording("Holds", "good", "check"),
    "open": Wording("Open", "quiet", "dots"),
    "fails": Wording("Fails", "bad", "cross"),
}
STATES: Mapping[str, Wording] = {
    "draft": Wording("Draft", "quiet", "dots"),
    "running": Wording("Running", "info", "clock"),
    "paused": Wording("Paused", "warn", "equal"),
    "promoted": Wording("Promoted", "good", "check"),
    "rolled_back": Wording("Rolled back", "bad", "back"),
    "stopped": Wording("Stopped", "quiet", "stop"),
}
CHECKS: Mapping[bool, Wording] = {
    True: Wording("Alarm", "bad", "alert"),
    False: Wording("In order", "good", "check"),
}
"""By whether a check of the data alarms."""

_RULES: Mapping[str, str] = {
    "data": "Enough data",
    "costs": "Costs known",
    "not_worse": "Not worse than the control",
    "min_reward": "Reaches the minimum reward",
    "gain": "A gain worth the change",
    "budget": "Within the budget",
    "served": "Served as assigned",
}
_METRICS: Mapping[str, str] = {
    "error": "errors",
    "cost_usd": "cost",
    "latency_p50_ms": "latency p50",
    "latency_p95_ms": "latency p95",
    "latency_p99_ms": "latency p99",
    "feedback_rate": "share of units with feedback",
}
"""What Pointsman measures for guardrails."""
_COUNTS: Mapping[str, str] = {
    "assigned": "Units assigned",
    "called": "Units with a call",
    "feedback": "Units with feedback",
}
_METHODS: Mapping[str, str] = {
    "welch": "Welch's t-test",
    "pooled_z": "pooled z-test",
    "delta": "delta method",
    "fieller": "Fieller's interval",
}
NAMED = frozenset({"promote", "keep_running", "needs_review", "fit"})
"""Verdicts whose heading names their candidate."""


def verdict_title(kind: str, candidate: str | None) -> str:
    """The heading of a verdict.

    >>> verdict_title("promote", "haiku"), verdict_title("keep_running", "haiku"), verdict_title("unhealthy", None)
    ('Promote haiku', 'Keep running: haiku', 'Unhealthy data')
    """
    words = wording(VERDICTS, kind).words
    if candidate is None or kind not in NAMED:
        return words
    return f"{words} {candidate}" if kind == "promote" else f"{words}: {candidate}"


def wording(known: Mapping[str, Wording], name: str) -> Wording:
    """How a state is shown; a name nobody foresaw is shown as it is."""
    return known.get(name) or Wording(spaced(name), "quiet", "dots")


def rule_title(name: str) -> str:
    """The condition that a rule stands for; guardrails carry the name of their metric."""
    return _RULES.get(name) or f"Guardrail: {metric_title(name)}"


def metric_title(metric: str) -> str:
    """What a guardrail watches; a metric of feedback keeps its own name."""
    return _METRICS.get(metric) or spaced(metric)


def count_title(count: str) -> str:
    """What a sample-ratio test counted."""
    return _COUNTS.get(count, spaced(count))


def method_title(method: str) -> str:
    """The test behind a fixed-horizon read-out, or why there is none."""
    return _METHODS.get(method, method)


def objective_title(report: Report) -> str:
    """What the shares maximise, with the money that it is stated in."""
    words = spaced(report.objective)
    if report.value_usd is not None:
        return f"{words}, a unit of reward being worth {figures.money(report.value_usd)}"
    return (
        words if report.budget_usd is None else f"{words} of {figures.money(report.budget_usd)} per request"
    )


def spaced(name: str) -> str:
    """A name of the wire as words.

    >>> spaced("reward_per_cost")
    'reward per cost'
    """
    return name.replace("_", " ")


def already_said(report: Report) -> bool:
    """Whether the verdict gives the reason of the end word for word, so that saying it twice would bury the rest."""
    return report.ended_because.strip(". ") in report.verdict.sentence
