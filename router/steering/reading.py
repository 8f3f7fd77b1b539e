"""Reading evidence: the cells and epochs of an experiment, with those of final epochs read only once."""

from dataclasses import dataclass
from itertools import takewhile

from experiments.evidence.evidence import Evidence, gather
from storage.records import ExperimentRow
from storage.store import Store


@dataclass
class CellCache:
    """Evidence of final epochs, which never change; only younger ones are read again."""

    final: Evidence | None = None

    @property
    def newest(self) -> int:
        """Number of the newest epoch that need not be read again; 0 if there is none."""
        return self.final.epochs[-1].number if self.final is not None else 0


def read_evidence(store: Store, row: ExperimentRow, now_ms: int, cache: CellCache) -> Evidence:
    """The experiment's evidence; moves epochs that became final into the cache."""
    known, arms, window = cache.newest, len(row.definition.candidates), row.definition.reward.window_ms
    epochs = store.epochs(row.id)
    young = [epoch for epoch in epochs if epoch.number > known]
    # Epoch 0 collects degraded decisions at any time, so its cells are read anew with every look.
    evidence = gather(young, store.cells(row.id, known + 1), arms)
    if cache.final is not None:
        evidence = cache.final.followed_by(evidence)
    final = list(takewhile(lambda epoch: epoch.mature(window, now_ms), evidence.epochs))
    if final and final[-1].number > known:
        cache.final = evidence.first(len(final)).lasting()
    return evidence if cache.final is None else evidence.beginning_with(cache.final)
