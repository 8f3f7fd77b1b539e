"""Health: whether the data can be trusted, before anything is read from it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import NEVER
from experiments.evidence.evidence import Evidence
from experiments.inference.split import Split, check_split
from experiments.verdict.drifting import DriftAlert
from experiments.verdict.versions import other_models

DOUBTFUL_DEGRADED = 0.01
"""Share of degraded decisions beyond which a promotion needs a person's review."""


@dataclass(frozen=True)
class Health:
    """What was checked; `alarm` makes the experiment unhealthy, `doubt` asks for review of a promotion."""

    alarm: str | None
    doubt: str | None
    warnings: tuple[str, ...]
    assigned: Split
    """Units assigned against the frozen shares, over closed epochs."""
    called: Split
    """Units with a call, among mature epochs."""
    feedback: Split
    """Units with a known reward, among mature epochs."""
    missing_feedback: tuple[float, ...]
    """Share of assigned units without a known reward in mature epochs, by arm."""
    degraded: tuple[int, ...]
    """Decisions taken while degraded, by arm; left out of every statistic."""
    recovered: tuple[int, ...]
    """Units known only from their feedback, by arm; their assignment was lost with a process."""

    def with_drift(self, alerts: tuple[DriftAlert, ...]) -> "Health":
        """The same with warnings of drift, which raise no doubt; untrusted data has enough to explain."""
        if self.alarm is not None or not alerts:
            return self
        return replace(self, warnings=(*self.warnings, *(alert.sentence for alert in alerts)))


def check_health(definition: Experiment, everything: Evidence, mature: Evidence) -> Health:
    """Check sample ratios, missing feedback and degraded decisions."""
    closed = everything.closed_at_ms < NEVER
    assigned = check_split(everything.counts["assigned"][closed], everything.shares[closed])
    called = check_split(_called(mature), mature.shares)
    feedback = check_split(mature.counts["feedback"], mature.shares)
    units, rated = mature.counts["assigned"].sum(axis=0), mature.counts["feedback"].sum(axis=0)
    missing = np.where(units > 0, 1 - rated / np.maximum(units, 1), 0.0)
    degraded = sum(everything.degraded)
    total = degraded + int(everything.counts["assigned"].sum())
    alarm = f"traffic was not split as decided ({assigned.sentence})" if assigned.alarm else None
    warnings: tuple[str, ...] = ()
    if alarm is None:
        found = _warnings(definition, called, feedback, missing, (degraded, total))
        warnings = (*found, *other_models(definition, everything.epochs))
    return Health(
        alarm=alarm,
        doubt=warnings[0] if warnings else None,
        warnings=warnings,
        assigned=assigned,
        called=called,
        feedback=feedback,
        missing_feedback=tuple(missing.tolist()),
        degraded=everything.degraded,
        recovered=tuple(everything.counts["recovered"].sum(axis=0).tolist()),
    )


def _called(mature: Evidence) -> NDArray[np.int64]:
    """Units with a call, without the recreated ones: those are known by their outcome, which bends the split."""
    called: NDArray[np.int64] = np.maximum(mature.counts["called"] - mature.counts["recovered"], 0)
    return called


def _warnings(
    definition: Experiment,
    called: Split,
    feedback: Split,
    missing: Floats,
    decisions: tuple[int, int],
) -> list[str]:
    """What asks for a person; a split that is broken altogether explains itself and needs none of these."""
    found = []
    degraded, total = decisions
    if called.alarm:
        found.append(f"calls reached the candidates in other shares than decided ({called.sentence})")
    if feedback.alarm and definition.reward.missing == "drop":
        spread = ", ".join(
            f"{name} {share:.0%}" for name, share in zip(definition.candidates, missing, strict=True)
        )
        found.append(
            f"feedback is missing at different rates by candidate ({spread}), always-valid p = {feedback.p:.2g}"
        )
    if total and degraded > DOUBTFUL_DEGRADED * total:
        found.append(f"{degraded:,} of {total:,} decisions were taken while degraded")
    return found
