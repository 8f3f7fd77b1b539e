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
WATCHES: Mapping[str, Wording] = {
    **VERDICTS,
    "promote": Wording("Holds", "good", "check"),
    "roll_back": Wording("Regression, roll back", "bad", "back"),
    "keep_running": Wording("Keep watching", "info", "clock"),
    "stop_futile": Wording("No gain left to keep", "warn", "stop"),
    "inconclusive": Wording("No regression seen", "quiet", "equal"),
}
"""The same in a holdback, whose candidate serves already."""
HOLDBACK = "~holdback"
"""Ending of the experiments that watch a promotion."""
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


def watches(experiment: str) -> bool:
    """Whether an experiment of this name watches a promotion: there is nothing to promote."""
    return HOLDBACK in experiment


def verdict_wording(kind: str, experiment: str) -> Wording:
    """How a verdict is shown.

    >>> verdict_wording("promote", "faq").words, verdict_wording("promote", "faq~holdback").words
    ('Promote', 'Holds')
    """
    return wording(WATCHES if watches(experiment) else VERDICTS, kind)


def verdict_title(kind: str, candidate: str | None, experiment: str = "") -> str:
    """The heading of a verdict.

    >>> verdict_title("promote", "haiku"), verdict_title("keep_running", "haiku"), verdict_title("unhealthy", None)
    ('Promote haiku', 'Keep running: haiku', 'Unhealthy data')
    >>> verdict_title("promote", "haiku", "faq~holdback")
    'Holds: haiku'
    """
    words = verdict_wording(kind, experiment).words
    if candidate is None or kind not in NAMED:
        return words
    return (
        f"{words} {candidate}" if kind == "promote" and not watches(experiment) else f"{words}: {candidate}"
    )


def rules_title(report: Report) -> str:
    """What the rules of a report are for."""
    if report.shadow:
        return "Bounds to be fit"
    return "What the new champion must keep" if watches(report.experiment) else "Rules of promotion"


def rules_lead(report: Report) -> str:
    """What follows from the rules."""
    if report.shadow:
        return "A candidate is fit when every one of its bounds is shown to hold. Nothing is promoted from copies."
    if watches(report.experiment):
        return (
            "It holds while every one of these does. A bound of the reward or of a guardrail that is shown to be "
            "broken brings the earlier champion back."
        )
    return "A candidate is promoted when every one of its rules holds."


def saved_title(report: Report) -> str:
    """What the money of a report is compared with."""
    return (
        f"Saved per day against {report.control}"
        if watches(report.experiment)
        else "Saved per day if promoted"
    )


def risk_title(report: Report) -> str:
    """What alpha bounds."""
    return "Risk of a wrong roll-back" if watches(report.experiment) else "Risk of a wrong promotion"


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
