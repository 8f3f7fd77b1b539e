"""Split: whether units arrived in the shares that were decided, by a test that may be read every second.

The e-process (experiments.inference.sample_ratio_sequence) decides. The chi-square test of the same counts stands
beside it, for people who know it: read every second it would alarm on 3% of healthy experiments within a
thousand looks.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from experiments.inference.sample_ratio import SampleRatio, sample_ratio
from experiments.inference.sample_ratio_sequence import SampleRatioSequence, sample_ratio_sequence

KEPT_BYTES = 2**26
"""Of counts and shares whose answers are kept: the three splits of some 170 experiments, 20 arms x 200 epochs each."""


@dataclass(frozen=True)
class Split:
    """The counts of one kind against the frozen shares, both of shape (epochs, arms)."""

    sequence: SampleRatioSequence
    counts: NDArray[np.int64] = field(repr=False, compare=False)
    shares: Floats = field(repr=False, compare=False)

    @cached_property
    def classical(self) -> SampleRatio:
        """The chi-square test at this look; worked out where somebody reads it."""
        return sample_ratio(self.counts, self.shares)

    @property
    def alarm(self) -> bool:
        """Whether the split is broken, at an error rate of 1/1000 over all looks together."""
        return self.sequence.alarm

    @property
    def p(self) -> float:
        """Always-valid p of the split as decided."""
        return self.sequence.p_value

    @property
    def sentence(self) -> str:
        """The finding in plain words, arm by arm in the order of the candidates."""
        counts = self.classical
        if counts.impossible:
            return f"{counts.impossible:,} units on candidates whose share was zero"
        if not counts.enough_data:
            return f"not enough units to compare: {counts.units:,}"
        expected = " / ".join(f"{count:,.0f}" for count in counts.expected)
        observed = " / ".join(f"{count:,}" for count in counts.observed)
        return (
            f"expected {expected} units, got {observed}, always-valid p = {self.p:.2g} "
            f"(chi-square at this look {counts.p_value:.2g})"
        )


def check_split(counts: NDArray[np.int64], shares: Floats) -> Split:
    """Test counts per epoch and arm; each epoch must be complete when it first enters.

    Planners look every second and epochs close every few minutes, so the newest answers are kept; one for all
    epochs but the newest is gone on with.
    """
    if counts.ndim != 2 or counts.shape != shares.shape:
        raise ValueError(f"counts {counts.shape} and shares {shares.shape} must both be epochs by arms")
    table = _Table(counts.astype(np.int64), shares.astype(np.float64))
    return Split(_KEPT.sequence(table), table.counts, table.shares)


def forget() -> None:
    """Drop the answers that are kept; nothing but time is lost."""
    _KEPT.clear()


class _Table:
    """Counts and shares, equal to another pair of the same numbers.

    The newest epoch tells most of them apart, so the hash need not read all numbers at every look.
    """

    def __init__(self, counts: NDArray[np.int64], shares: Floats) -> None:
        self.counts, self.shares = counts, shares
        self._hash = hash((counts.shape, counts[-1:].tobytes(), shares[-1:].tobytes()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Table)
            and np.array_equal(self.counts, other.counts)
            and np.array_equal(self.shares, other.shares)
        )

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.counts.nbytes + self.shares.nbytes

    def without_newest(self) -> "_Table":
        """All epochs but the last."""
        return _Table(self.counts[:-1], self.shares[:-1])


class _Kept:
    """The newest answers, the one asked for longest ago first; planners of one process share them.

    Each step is one operation of a dict, so threads that look at once lose time at most.
    """

    def __init__(self) -> None:
        self._answers: dict[_Table, SampleRatioSequence] = {}

    def sequence(self, table: _Table) -> SampleRatioSequence:
        """The answer that is kept, or goes on from the one for all epochs but the newest, or a new one."""
        found = self._answers.pop(table, None)
        if found is None:
            found = _found(table, self._answers.get(table.without_newest()))
            self._make_room(table.bytes)
        self._answers[table] = found
        return found

    def clear(self) -> None:
        """Keep nothing."""
        self._answers.clear()

    def _make_room(self, needed: int) -> None:
        kept = list(self._answers)
        left = sum(each.bytes for each in kept) + needed
        for oldest in kept:
            if left <= KEPT_BYTES:
                return
            self._answers.pop(oldest, None)
            left -= oldest.bytes


def _found(table: _Table, before: SampleRatioSequence | None) -> SampleRatioSequence:
    if before is None:
        return sample_ratio_sequence(table.counts, table.shares)
    return before.followed_by(table.counts[-1:], table.shares[-1:])


_KEPT = _Kept()
