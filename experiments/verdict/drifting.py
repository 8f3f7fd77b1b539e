"""Drift alerts: candidates whose reward has changed against the others, in words.

A provider may put another model behind a name. The older evidence then speaks of a model that is gone: tests and
shares average over both. An alert asks for a decision and blocks nothing by itself; common trends raise none.
"""

from dataclasses import dataclass

from bandit.cells import Cells
from bandit.drift import Drift, drifts
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import PRIMARY
from experiments.evidence.volume import DAY_MS


@dataclass(frozen=True, slots=True)
class DriftAlert:
    """One change, with the candidates that it may be of: one, or both of two."""

    candidates: tuple[str, ...]
    drift: Drift
    sentence: str


def drift_alerts(definition: Experiment, mature: Evidence) -> tuple[DriftAlert, ...]:
    """The clearest change first; each further one is looked for among the other candidates alone.

    A candidate that changed makes the others look changed against it, so it is left out before they are judged.
    """
    rewards, alerts = mature.metric(PRIMARY), list[DriftAlert]()
    arms = list(range(len(definition.candidates)))
    while len(arms) > 1:
        found = _clearest(rewards if not alerts else rewards.arms(*arms), definition.reward.width)
        if not found.alarm:
            break
        changed = arms if len(arms) == 2 else [arms[found.arm]]
        names = tuple(definition.candidates[arm] for arm in changed)
        alerts.append(DriftAlert(names, found, _sentence(definition, mature, names, found)))
        arms = [arm for arm in arms if arm not in changed]
    return tuple(alerts)


def _clearest(rewards: Cells, width: float) -> Drift:
    return min(drifts(rewards, width), key=lambda each: each.p_value)


def _sentence(definition: Experiment, mature: Evidence, names: tuple[str, ...], found: Drift) -> str:
    first = mature.epochs[-found.recent_epochs].opened_at_ms
    last = mature.epochs[-1]
    days = ((last.closed_at_ms or last.opened_at_ms) - first) / DAY_MS
    span = f"in the newest {found.recent_epochs:,} epochs ({days:.1f} days)"
    size = f"{found.change:+.3f} +- {found.error:.3f} of reward"
    if len(names) == 2:
        moved = names[found.arm]
        return (
            f"{names[0]} or {names[1]} changed: {moved} moved by {size} against the other {span}; "
            + _remedy(definition)
        )
    return f"{names[0]} changed by {size} against the other candidates {span}; {_remedy(definition)}"


def _remedy(definition: Experiment) -> str:
    restart = "to judge what it is now, restart the experiment under another name"
    if definition.mode == "ab" or definition.bandit.drift == "follow":
        return restart
    return f"{restart}; bandit.drift: follow lets the shares follow such changes"
