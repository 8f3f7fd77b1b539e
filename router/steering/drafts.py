"""Drafts: how a definition becomes an experiment's row."""

from hashlib import blake2b

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from storage.records import ExperimentRow


def new_experiment(definition: Experiment, now_ms: int, predecessor: str | None = None) -> ExperimentRow:
    """A draft's row; id and salt come from name and time, so that every experiment hashes its units anew."""
    digest = blake2b(f"{definition.name}\x1f{now_ms}".encode(), digest_size=4).digest()
    experiment_id = int.from_bytes(digest, "big") or 1
    return ExperimentRow(
        id=experiment_id,
        name=definition.name,
        definition=definition,
        state=ExperimentState.DRAFT,
        version=0,
        salt=f"{definition.name}:{experiment_id:08x}",
        created_at_ms=now_ms,
        predecessor=predecessor,
    )
