"""Split: whether units arrived in the shares that were decided, by a test that may be read every second.

The e-process (experiments.inference.sample_ratio_sequence) decides. The chi-square test of the same counts stands
beside it, for people who know it: read every second it would alarm on 3% of healthy experiments within a
thousand looks.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from experiments.inference.sample_ratio import SampleRatio, sample_ratio
from experiments.inference.sample_ratio_sequence import SampleRatioSequence, sample_ratio_sequence

KEPT = 24
"""Splits whose answers are kept, three for each experiment: at most some ten megabytes."""


@dataclass(frozen=True)
class Split:
    """The counts of one kind against the frozen shares."""

    classical: SampleRatio
    sequence: SampleRatioSequence

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

    Planners look every second and epochs close every few minutes, so the newest answers are kept.
    """
    if counts.ndim != 2 or counts.shape != shares.shape:
        raise ValueError(f"counts {counts.shape} and shares {shares.shape} must both be epochs by arms")
    return _checked(_Table(counts.astype(np.int64), shares.astype(np.float64)))


def forget() -> None:
    """Drop the answers that are kept; nothing but time is lost."""
    _checked.cache_clear()


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


@lru_cache(maxsize=KEPT)
def _checked(table: _Table) -> Split:
    return Split(sample_ratio(table.counts, table.shares), sample_ratio_sequence(table.counts, table.shares))
