"""Evidence: what an experiment knows, as arrays over its epochs and arms.

Planners look every second, while most of what they read changes only when an epoch matures. So the epochs in which
nothing changes any more may be one object that stays from look to look, the `head` of all that is known; what tests
read of it alone is kept with it. Evidence derived in any other way has neither head nor memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells, Floats
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import CALL_WINDOW_MS, GRACE_MS, NEVER, Epoch
from experiments.evidence.histograms import Histograms
from experiments.evidence.units import (
    COST,
    COUNTS,
    ERROR,
    MOMENTS,
    PRIMARY,
    UNCLIPPED,
    UNCOSTED,
    CellRow,
)

COSTED = "reward_costed"
"""Rewards of units whose cost is known, where some rated unit has none (`Evidence.joint`)."""
SETTLED_CALLS = 0.99
"""Share of an arm's units whose call must be known before an epoch counts as settled."""
_EMPTY: Mapping[int, int] = {}
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Evidence:
    """Epochs 1, 2, ... with their counts and cells; rows of every array are epochs, columns arms."""

    epochs: tuple[Epoch, ...]
    counts: Mapping[str, NDArray[np.int64]]
    """Units by kind (experiments.evidence.units.COUNTS)."""
    cells: Mapping[str, Cells]
    """Cells by metric: `reward` of every rated unit, `cost_usd`, `error` and further metrics."""
    latency: tuple[tuple[Mapping[int, int], ...], ...]
    """Latency histogram per epoch and arm."""
    degraded: tuple[int, ...]
    """Decisions per arm that were taken while degraded; no test reads them."""
    shares: Floats
    """Frozen shares; shape (epochs, arms)."""
    head: "Evidence | None" = field(init=False, default=None, repr=False, compare=False)
    """The first epochs as an object that stays, if there is one; a `replace` does not carry it on."""
    _memory: dict[str, tuple[tuple[object, ...], object]] | None = field(
        init=False, default=None, repr=False, compare=False
    )
    """What was read of evidence that stays, by name, with what it was read for."""

    def lasting(self) -> "Evidence":
        """The same as evidence that stays: answers are kept with it. Nothing may be written into its arrays."""
        stays = replace(self)
        object.__setattr__(stays, "_memory", {})
        return stays

    def beginning_with(self, head: "Evidence") -> "Evidence":
        """The same, knowing that its first epochs are those of `head`, with nothing in them that differs."""
        known = replace(self)
        object.__setattr__(known, "head", head)
        return known

    def once(self, name: str, given: tuple[object, ...], read: Callable[[], _Read]) -> _Read:
        """What `read` finds in this evidence and `given` alone; of evidence that stays it is worked out once."""
        if self._memory is None:
            return read()
        kept = self._memory.get(name)
        if kept is None or kept[0] != given:
            kept = self._memory[name] = (given, read())
        return cast(_Read, kept[1])

    @property
    def arms(self) -> int:
        """Number of arms."""
        return int(self.counts["assigned"].shape[1])

    @cached_property
    def histograms(self) -> Histograms:
        """Latencies as one array; made when a guardrail first asks for it."""
        return Histograms.of(self.latency, self.arms)

    def metric(self, name: str) -> Cells:
        """Cells of one metric; empty where nothing was reported."""
        return self.cells.get(name) or Cells.empty(len(self.epochs), self.arms)

    @property
    def joint(self) -> Cells:
        """Rewards beside their costs: rated units whose cost is known, where the objective needs it.

        Ratios read these. Differences of rewards read `metric(PRIMARY)`, every rated unit: a cost that is unknown
        because of the outcome would otherwise pick which rewards are compared.
        """
        return self.cells[COSTED] if COSTED in self.cells else self.metric(PRIMARY)

    def where(self, keep: NDArray[np.bool_]) -> "Evidence":
        """The epochs where `keep` is true."""
        if keep.all():
            return self
        kept = np.flatnonzero(keep).tolist()
        span = slice(kept[0], kept[-1] + 1) if kept else slice(0)
        if len(kept) == span.stop - (span.start or 0):
            return self._span(span)
        return replace(
            self,
            epochs=tuple(self.epochs[index] for index in kept),
            counts={name: counts[kept] for name, counts in self.counts.items()},
            cells={name: Cells(cells.sums[kept]) for name, cells in self.cells.items()},
            latency=tuple(self.latency[index] for index in kept),
            shares=self.shares[kept],
        )

    def _span(self, span: slice) -> "Evidence":
        """Epochs that stand together, as mature ones do: views of the same arrays."""
        return replace(
            self,
            epochs=self.epochs[span],
            counts={name: counts[span] for name, counts in self.counts.items()},
            cells={name: cells[span] for name, cells in self.cells.items()},
            latency=self.latency[span],
            shares=self.shares[span],
        )

    def first(self, epochs: int) -> "Evidence":
        """The first so many epochs, with the degraded decisions that are counted in them."""
        part = self._span(slice(epochs))
        return replace(part, degraded=tuple(part.counts["degraded"].sum(axis=0).tolist()))

    def followed_by(self, later: "Evidence") -> "Evidence":
        """This evidence and that of the epochs after it, as `gather` makes it of the rows of both."""
        one, other = _costed_apart(self, later), _costed_apart(later, self)
        names = [*one, *(name for name in other if name not in one)]
        empty, none = Cells.empty(len(self.epochs), self.arms), Cells.empty(len(later.epochs), self.arms)
        return Evidence(
            epochs=self.epochs + later.epochs,
            counts={
                name: np.concatenate([counts, later.counts[name]]) for name, counts in self.counts.items()
            },
            cells={name: one.get(name, empty).followed_by(other.get(name, none)) for name in names},
            latency=self.latency + later.latency,
            degraded=tuple(sum(both) for both in zip(self.degraded, later.degraded, strict=True)),
            shares=np.concatenate([self.shares, later.shares]),
        )

    @cached_property
    def closed_at_ms(self) -> NDArray[np.int64]:
        """When each epoch closed; NEVER where it is open. Shape (epochs,)."""
        closings = (NEVER if epoch.closed_at_ms is None else epoch.closed_at_ms for epoch in self.epochs)
        return np.fromiter(closings, dtype=np.int64, count=len(self.epochs))

    @cached_property
    def _opened_at_ms(self) -> NDArray[np.int64]:
        openings = (epoch.opened_at_ms for epoch in self.epochs)
        return np.fromiter(openings, dtype=np.int64, count=len(self.epochs))

    @cached_property
    def _cost_series(self) -> NDArray[np.int64]:
        series = (epoch.cost_series for epoch in self.epochs)
        return np.fromiter(series, dtype=np.int64, count=len(self.epochs))

    def running_ms(self, now_ms: int) -> int:
        """How long it took traffic until now: epochs end at a pause and go on with the next start."""
        return int(np.maximum(np.minimum(self.closed_at_ms, now_ms) - self._opened_at_ms, 0).sum())

    def final(self, definition: Experiment, now_ms: int) -> NDArray[np.bool_]:
        """Which epochs are mature (Epoch.mature): every outcome that may count has arrived."""
        final: NDArray[np.bool_] = self.closed_at_ms <= now_ms - definition.reward.window_ms - GRACE_MS
        return final

    def mature(self, definition: Experiment, now_ms: int) -> "Evidence":
        """The mature epochs, with silence counted as `reward.missing` says; what tests may read."""
        final = self.final(definition, now_ms)
        head = self.head
        if head is None or not _first(final, len(head.epochs)):
            return self._with_silence(definition, final).where(final)
        return head.once("mature", (definition,), lambda: head._all_final(definition))

    def _all_final(self, definition: Experiment) -> "Evidence":
        """The same with silence counted in every epoch, as evidence that stays."""
        return self._with_silence(definition, np.ones(len(self.epochs), dtype=bool)).lasting()

    def settled(self, definition: Experiment, now_ms: int) -> "Evidence":
        """The mature epochs and those whose calls have ended; what harm to errors, costs and latency may read.

        Where outcomes of calls come in by feedback, failures may be reported before successes, so an epoch
        is taken in only once nearly every unit of each arm has its call.
        """
        settled = self.final(definition, now_ms)
        young = np.flatnonzero(~settled & (self.closed_at_ms <= now_ms - CALL_WINDOW_MS))
        called, recovered, assigned = (
            self.counts[kind][young] for kind in ("called", "recovered", "assigned")
        )
        settled[young] = (called - recovered >= SETTLED_CALLS * assigned).all(axis=1)
        return self.where(settled)

    def arrived(self, definition: Experiment, now_ms: int) -> "Evidence":
        """All epochs with what arrived so far; in open windows silence is pending, not an answer."""
        return self._with_silence(definition, self.final(definition, now_ms))

    def in_series(self, series: int) -> "Evidence":
        """Epochs of one cost series, for cost and ratio tests."""
        return self.where(self._cost_series == series)

    def _with_silence(self, definition: Experiment, final: NDArray[np.bool_]) -> "Evidence":
        """Count called units without any feedback at the declared value, in epochs whose window is over."""
        value = definition.reward.missing
        if value == "drop" or ERROR not in self.cells:
            return self
        called, cells = self.metric(ERROR), dict(self.cells)
        cells[PRIMARY] = _spoken(self.metric(PRIMARY), called, value, final)
        if definition.objective.needs_cost:
            cells[COSTED] = _spoken(self.joint, self.metric(COST), value, final)
        if definition.reward.outside == "clip":
            cells[UNCLIPPED] = _spoken(self.metric(UNCLIPPED), called, value, final)
        return replace(self, cells=cells)


def _first(keep: NDArray[np.bool_], epochs: int) -> bool:
    """Whether just the first so many epochs are kept."""
    return bool(np.count_nonzero(keep) == epochs and keep[:epochs].all())


def _costed_apart(some: Evidence, beside: Evidence) -> Mapping[str, Cells]:
    """Cells by metric, rewards with a known cost among them wherever they are apart `beside`: else all have one."""
    if COSTED not in beside.cells or COSTED in some.cells:
        return some.cells
    return {**some.cells, COSTED: some.metric(PRIMARY)}


def _spoken(rewards: Cells, called: Cells, value: float, final: NDArray[np.bool_]) -> Cells:
    """Rewards with those of the units in `called` that have none at `value`, in the epochs that are final.

    Every entry of the silent units' moments follows from cells: N, C and X are the difference between the metric
    that knows all of them and the reward; R is value * N.
    """
    silent = (called.sums - rewards.sums) * final[:, None, None, None]
    silent[..., 2, :] = value * silent[..., 1, :]
    silent[..., :, 2] = silent[..., 2, :]
    silent[..., 2, 2] = value**2 * silent[..., 1, 1]
    return rewards + Cells(silent)


def gather(epochs: Sequence[Epoch], rows: Sequence[CellRow], arms: int) -> Evidence:
    """Arrays from stored epochs and cells; epoch 0 only gives its count of degraded decisions.

    The ledger keeps rewards of units without a cost apart, as there are few; here `reward` is every rated unit.
    """
    numbered = tuple(epoch for epoch in epochs if epoch.number > 0)
    place = {epoch.number: index for index, epoch in enumerate(numbered)}
    counts = np.zeros((len(COUNTS), len(numbered), arms), dtype=np.int64)
    triangles: dict[str, Floats] = {}
    latency: list[list[Mapping[int, int]]] = [[_EMPTY] * arms for _ in numbered]
    degraded = [0] * arms
    for row in rows:
        degraded[row.arm] += row.counts[COUNTS.index("degraded")]
        index = place.get(row.epoch)
        if index is None:
            continue
        counts[:, index, row.arm] = row.counts
        latency[index][row.arm] = row.latency
        for metric, moments in row.moments.items():
            if metric not in triangles:
                triangles[metric] = np.zeros((len(numbered), arms, len(MOMENTS)))
            triangles[metric][index, row.arm] = moments
    if UNCOSTED in triangles:
        triangles[COSTED] = triangles.get(PRIMARY, np.zeros_like(triangles[UNCOSTED]))
        triangles[PRIMARY] = triangles[COSTED] + triangles[UNCOSTED]
    return Evidence(
        epochs=numbered,
        counts=dict(zip(COUNTS, counts, strict=True)),
        cells={metric: Cells.from_triangles(sums) for metric, sums in triangles.items()},
        latency=tuple(tuple(histograms) for histograms in latency),
        degraded=tuple(degraded),
        shares=_shares(numbered, arms),
    )


def _shares(epochs: Sequence[Epoch], arms: int) -> Floats:
    every = chain.from_iterable(epoch.shares for epoch in epochs)
    return np.fromiter(every, dtype=np.float64).reshape(len(epochs), arms)
