"""Histograms: the latencies of all epochs and arms as one array, for tests of their quantiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import log

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from experiments.evidence.latency import BASE, SMALLEST_MS


@dataclass(frozen=True)
class Histograms:
    """Histograms of all epochs and arms as one array; shape (epochs, arms, buckets)."""

    counts: Floats
    first: int
    """Number of the first bucket in the array."""

    @classmethod
    def of(cls, latency: Sequence[Sequence[Mapping[int, int]]], arms: int) -> "Histograms":
        """From one mapping per epoch and arm; the array spans the buckets that occur."""
        cells = [cell for epoch in latency for cell in epoch]
        sizes = np.array([len(cell) for cell in cells], dtype=np.intp)
        total = int(sizes.sum())
        if total == 0:
            return cls(np.zeros((len(latency), arms, 1)), 0)
        buckets = np.fromiter(chain.from_iterable(cells), np.intp, total)
        requests = np.fromiter(chain.from_iterable(cell.values() for cell in cells), np.float64, total)
        first, width = int(buckets.min()), int(np.ptp(buckets)) + 1
        places = np.repeat(np.arange(len(cells)) * width, sizes) + buckets - first
        counts = np.bincount(places, requests, len(cells) * width)
        return cls(counts.astype(np.float64).reshape(len(latency), arms, width), first)

    def where(self, keep: NDArray[np.bool_]) -> "Histograms":
        """The epochs where `keep` is true."""
        return self if keep.all() else Histograms(self.counts[keep], self.first)

    def of_arm(self, arm: int) -> Mapping[int, int]:
        """Requests of one arm by bucket, over all epochs."""
        counts = self.counts[:, arm].sum(axis=0)
        return {self.first + index: int(counts[index]) for index in np.flatnonzero(counts).tolist()}

    @property
    def log_edges(self) -> Floats:
        """ln of the ends of the buckets in milliseconds, one more than there are buckets.

        The smallest bucket holds everything from zero on; it is taken to be as wide as the others.
        """
        numbers = np.arange(self.first - 1, self.first + self.counts.shape[-1])
        edges: Floats = log(SMALLEST_MS) + numbers * BASE
        return edges
