"""Cells as sums: recomputed from unit rows, and put together from what a store keeps."""

from collections.abc import Iterable, Mapping, Sequence
from operator import add

from experiments.definition.experiment import Experiment
from experiments.evidence.units import CellRow, Contribution, Counts, Triangle, UnitRow, contribution
from storage.records import CellDelta


def recounted(units: Iterable[UnitRow], definition: Experiment) -> list[CellRow]:
    """Cells by rising (epoch, arm), summed over `units`; what the kept cells must equal."""
    sums: dict[tuple[int, int], CellDelta] = {}
    for unit in units:
        add_all(sums.setdefault((unit.epoch, unit.arm), CellDelta()), [contribution(unit, definition)])
    return [cell_row(epoch, arm, cell) for (epoch, arm), cell in sorted(sums.items())]


def add_all(cell: CellDelta, parts: Sequence[Contribution]) -> None:
    """Add what some units bring to `cell`, column by column where they are many."""
    if len(parts) == 1:
        _add(cell, parts[0].counts, parts[0].moments)
        return
    cell.counts = list(map(sum, zip(cell.counts, *[part.counts for part in parts], strict=True)))
    triangles: dict[str, list[Sequence[float]]] = {metric: [sums] for metric, sums in cell.moments.items()}
    for part in parts:
        for metric, triangle in part.moments.items():
            triangles.setdefault(metric, []).append(triangle)
    for metric, rows in triangles.items():
        cell.moments[metric] = list(map(sum, zip(*rows, strict=True)) if len(rows) > 1 else rows[0])


def merge(cell: CellDelta, delta: CellDelta) -> None:
    """Add `delta` to `cell`."""
    _add(cell, delta.counts, delta.moments)
    for index, requests in delta.latency.items():
        cell.latency[index] = cell.latency.get(index, 0) + requests


def _add(cell: CellDelta, counts: Sequence[int], moments: Mapping[str, Sequence[float]]) -> None:
    cell.counts = list(map(add, cell.counts, counts))
    for metric, sums in moments.items():
        kept = cell.moments.get(metric)
        cell.moments[metric] = list(map(add, kept, sums)) if kept else list(sums)


def cell_row(epoch: int, arm: int, cell: CellDelta) -> CellRow:
    """A cell as stores return it: metrics without units and empty latency buckets are left out."""
    return CellRow(
        epoch=epoch,
        arm=arm,
        counts=_counts(cell.counts),
        moments=_with_units(cell.moments),
        latency={index: requests for index, requests in sorted(cell.latency.items()) if requests},
    )


def _with_units(moments: Mapping[str, Sequence[float]]) -> dict[str, Triangle]:
    """Sums over no units are round-off: the number of units is exact, and decides."""
    return {metric: tuple(sums) for metric, sums in sorted(moments.items()) if sums[0]}


def _counts(counts: Sequence[int]) -> Counts:
    assigned, called, served, errored, feedback, recovered, degraded = counts
    return assigned, called, served, errored, feedback, recovered, degraded
