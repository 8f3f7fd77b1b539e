"""Versions: which prices and models the evidence is about."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import Evidence


def current_versions(everything: Evidence, cost_series: int, model_series: int) -> Evidence:
    """The epochs under the prices and models in force."""
    return everything.where(
        np.array(
            [
                epoch.cost_series == cost_series and epoch.model_series == model_series
                for epoch in everything.epochs
            ],
            dtype=bool,
        )
    )


def other_models(definition: Experiment, epochs: Sequence[Epoch]) -> tuple[str, ...]:
    """A sentence for each candidate that means another model than before, with the epoch of its newest change."""
    changed: dict[int, int] = {}
    for before, after in pairwise(epochs):
        if after.model_version != before.model_version:
            pairs = zip(before.model_version.split("/"), after.model_version.split("/"), strict=False)
            changed |= {arm: after.number for arm, (old, new) in enumerate(pairs) if old != new}
    return tuple(
        f"{definition.candidates[arm]} means another model since epoch {number}, so the evidence is about two"
        for arm, number in sorted(changed.items())
    )
