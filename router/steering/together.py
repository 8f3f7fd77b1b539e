"""Experiments together: which of those that run now are discoveries, whatever their number.

With many experiments some look like winners by chance. e-BH (Wang and Ramdas, arXiv 2009.02824) on the
deciding e-values keeps the share of false ones among the discoveries at alpha. It is advice: each experiment's
own promotion rule decides for itself.
"""

from collections.abc import Mapping, Sequence
from math import inf, log

from experiments.definition.lifecycle import ExperimentState
from experiments.inference.ebh import discoveries
from experiments.verdict.progress import Progress
from storage.records import ExperimentRow
from storage.store import Store


def e_values(store: Store, rows: Sequence[ExperimentRow]) -> Mapping[str, float]:
    """Deciding e-values of the running experiments by name, 1 before their first look; a holdback searches nothing."""
    return {
        row.name: Progress.loads(store.progress(row.id)).e_value
        for row in rows
        if row.state is ExperimentState.RUNNING and row.predecessor is None
    }


def peers_of(store: Store, rows: Sequence[ExperimentRow], name: str) -> Mapping[str, float]:
    """The e-values of all running experiments but the named one."""
    return {other: value for other, value in e_values(store, rows).items() if other != name}


def discovered(store: Store, rows: Sequence[ExperimentRow]) -> Mapping[str, bool]:
    """Whether each running experiment is a discovery at its own alpha, among all that run."""
    values = e_values(store, rows)
    logs = [log(value) if value > 0 else -inf for value in values.values()]
    alphas = {row.name: row.definition.decision.alpha for row in rows}
    found = {alpha: discoveries(logs, alpha).found for alpha in {alphas[name] for name in values}}
    return {name: found[alphas[name]][place] for place, name in enumerate(values)}
