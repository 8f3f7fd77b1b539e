"""Evidence: what an experiment knows, as arrays over its epochs and arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells, Floats
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import COST, COUNTS, ERROR, MOMENTS, PRIMARY, CellRow

_EMPTY: Mapping[int, int] = {}


@dataclass(frozen=True)
class Evidence:
    """Epochs 1, 2, ... with their counts and cells; rows of every array are epochs, columns arms."""

    epochs: tuple[Epoch, ...]
    counts: Mapping[str, NDArray[np.int64]]
    """Units by kind (experiments.evidence.units.COUNTS)."""
    cells: Mapping[str, Cells]
    """Cells by metric: `reward`, `cost_usd`, `error` and further metrics."""
    latency: tuple[tuple[Mapping[int, int], ...], ...]
    """Latency histogram per epoch and arm."""
    degraded: tuple[int, ...]
    """Decisions per arm that were taken while degraded; no test reads them."""

    @cached_property
    def shares(self) -> Floats:
        """Frozen shares; shape (epochs, arms)."""
        return np.array([epoch.shares for epoch in self.epochs]).reshape(len(self.epochs), self.arms)

    @property
    def arms(self) -> int:
        """Number of arms."""
        return int(self.counts["assigned"].shape[1])

    def metric(self, name: str) -> Cells:
        """Cells of one metric; empty where nothing was reported."""
        return self.cells.get(name) or Cells.empty(len(self.epochs), self.arms)

    def where(self, keep: NDArray[np.bool_]) -> "Evidence":
        """The epochs where `keep` is true."""
        kept = np.flatnonzero(keep).tolist()
        if len(kept) == len(self.epochs):
            return self
        span = slice(kept[0], kept[-1] + 1) if kept else slice(0)
        together = len(kept) == span.stop - (span.start or 0)
        rows = span if together else kept  # a slice is a view, and mature epochs stand together
        return replace(
            self,
            epochs=tuple(self.epochs[index] for index in kept),
            counts={name: counts[rows] for name, counts in self.counts.items()},
            cells={name: Cells(cells.sums[rows]) for name, cells in self.cells.items()},
            latency=tuple(self.latency[index] for index in kept),
        )

    def final(self, definition: Experiment, now_ms: int) -> NDArray[np.bool_]:
        """Which epochs are mature: every outcome that may count has arrived."""
        window = definition.reward.window_ms
        return np.array([epoch.mature(window, now_ms) for epoch in self.epochs], dtype=bool)

    def mature(self, definition: Experiment, now_ms: int) -> "Evidence":
        """The mature epochs, with silence counted as `reward.missing` says; what tests may read."""
        final = self.final(definition, now_ms)
        return self._with_silence(definition, final).where(final)

    def arrived(self, definition: Experiment, now_ms: int) -> "Evidence":
        """All epochs with what arrived so far; in open windows silence is pending, not an answer."""
        return self._with_silence(definition, self.final(definition, now_ms))

    def in_series(self, series: int) -> "Evidence":
        """Epochs of one cost series, for cost and ratio tests."""
        return self.where(np.array([epoch.cost_series == series for epoch in self.epochs], dtype=bool))

    def _with_silence(self, definition: Experiment, final: NDArray[np.bool_]) -> "Evidence":
        """Count called units without any feedback at the declared value, in epochs whose window is over.

        Every entry of their moments follows from cells: N, C and X are the difference between the metric
        that knows all called units (those with a cost, if the objective needs it) and the reward; R is
        value * N.
        """
        value = definition.reward.missing
        called = COST if definition.objective.needs_cost else ERROR
        if value == "drop" or called not in self.cells:
            return self
        primary = self.metric(PRIMARY)
        silent = (self.cells[called].sums - primary.sums) * final[:, None, None, None]
        silent[..., 2, :] = value * silent[..., 1, :]
        silent[..., :, 2] = silent[..., 2, :]
        silent[..., 2, 2] = value**2 * silent[..., 1, 1]
        return replace(self, cells={**self.cells, PRIMARY: primary + Cells(silent)})


def gather(epochs: Sequence[Epoch], rows: Sequence[CellRow], arms: int) -> Evidence:
    """Arrays from stored epochs and cells; epoch 0 only gives its count of degraded decisions."""
    numbered = tuple(epoch for epoch in epochs if epoch.number > 0)
    place = {epoch.number: index for index, epoch in enumerate(numbered)}
    counts = np.zeros((len(numbered), arms, len(COUNTS)), dtype=np.int64)
    triangles: dict[str, Floats] = {}
    latency: list[list[Mapping[int, int]]] = [[_EMPTY] * arms for _ in numbered]
    degraded = [0] * arms
    for row in rows:
        degraded[row.arm] += row.counts[COUNTS.index("degraded")]
        index = place.get(row.epoch)
        if index is None:
            continue
        counts[index, row.arm] = row.counts
        latency[index][row.arm] = row.latency
        for metric, moments in row.moments.items():
            if metric not in triangles:
                triangles[metric] = np.zeros((len(numbered), arms, len(MOMENTS)))
            triangles[metric][index, row.arm] = moments
    return Evidence(
        epochs=numbered,
        counts={name: counts[..., index] for index, name in enumerate(COUNTS)},
        cells={metric: Cells.from_triangles(sums) for metric, sums in triangles.items()},
        latency=tuple(tuple(histograms) for histograms in latency),
        degraded=tuple(degraded),
    )
