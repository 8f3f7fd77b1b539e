"""Reading evidence: the cells and epochs of an experiment, with those of final epochs read only once."""

from dataclasses import dataclass, field

from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.units import CellRow
from storage.records import ExperimentRow
from storage.store import Store


@dataclass
class CellCache:
    """Cells of final epochs, which never change; only younger ones are read again."""

    rows: list[CellRow] = field(default_factory=list)
    final_below: int = 0
    """All epochs below this number are in `rows`."""


def read_evidence(store: Store, row: ExperimentRow, now_ms: int, cache: CellCache) -> Evidence:
    """The experiment's evidence; moves epochs that became final into the cache."""
    epochs = store.epochs(row.id)
    fresh = store.cells(row.id, cache.final_below)
    window = row.definition.reward.window_ms
    open_from = next(
        (epoch.number for epoch in epochs if epoch.number > 0 and not epoch.mature(window, now_ms)),
        epochs[-1].number + 1 if epochs else 0,
    )
    evidence = gather(epochs, [*cache.rows, *fresh], len(row.definition.candidates))
    # Epoch 0 collects degraded decisions at any time, so it is read anew with every look.
    settled = [cell for cell in fresh if 0 < cell.epoch < open_from]
    if cache.final_below == 0:
        cache.rows = settled
    else:
        cache.rows += settled
    cache.final_below = max(open_from, 0)
    return evidence
