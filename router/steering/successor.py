"""The successor of a promotion: a holdback that keeps a little traffic on the old champion and watches."""

from dataclasses import replace

from experiments.definition.bandit import Bandit
from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from router.steering.drafts import new_experiment
from storage.records import ExperimentRow

RAMP = (0.5, 0.25)
"""Control shares of the first epochs: the new champion takes over in steps."""
SUFFIX = "~holdback"


def holdback(row: ExperimentRow, old: str, new: str, now_ms: int) -> ExperimentRow | None:
    """The running holdback that follows a promotion, or None where none is wanted or nothing changed.

    Control is the old champion, the new one its only rival; the salt is new, so units are split afresh.
    Harm on a guardrail, or a reward that is worse by the margin, rolls the promotion back by itself.
    """
    share = row.definition.decision.holdback
    if share == 0 or old == new or row.name.count(SUFFIX) >= 3:
        return None
    definition = _definition(row.definition, row.name + SUFFIX, old, new, share)
    draft = new_experiment(definition, now_ms, row.name)
    return replace(draft, state=ExperimentState.RUNNING, started_at_ms=now_ms)


def _definition(parent: Experiment, name: str, old: str, new: str, share: float) -> Experiment:
    ramp = (*(step for step in RAMP if step > share), share)
    return parent.model_copy(
        update={
            "name": name,
            "hypothesis": f"{new} keeps what it showed when it replaced {old}",
            "candidates": (old, new),
            "mode": "ab",
            "shares": None,
            "ramp": ramp,
            "traffic": 1.0,
            "bandit": Bandit(),
            "decision": parent.decision.model_copy(update={"alpha": max(parent.decision.alpha / 2, 1e-6)}),
        }
    )
