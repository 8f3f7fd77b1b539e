"""Cells: additive sums per (epoch, arm), enough for every posterior, share and test.

A unit contributes z = (1, N, R, C, X): itself, its requests, its metric total (reward), its cost in US
dollars and a covariate. A cell is the sum of z z' over its units, so cells of workers, nodes or days add.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Z(IntEnum):
    """Components of a unit's vector z."""

    UNIT = 0
    REQUESTS = 1
    TOTAL = 2
    COST = 3
    COVARIATE = 4


SIZE = len(Z)
UPPER = np.triu_indices(SIZE)


@dataclass(frozen=True)
class Cells:
    """Sums of one metric over epochs and arms; shape (epochs, arms, 5, 5), symmetric in the last two."""

    sums: Floats

    @classmethod
    def empty(cls, epochs: int, arms: int) -> "Cells":
        """Cells without any unit."""
        return cls(np.zeros((epochs, arms, SIZE, SIZE)))

    @classmethod
    def from_triangles(cls, triangles: Floats) -> "Cells":
        """Cells from upper triangles, shape (epochs, arms, 15), in row order."""
        epochs, arms, _ = triangles.shape
        by_component = np.empty((SIZE, SIZE, arms, epochs))
        by_component[UPPER] = by_component[UPPER[::-1]] = triangles.T
        return cls(by_component.T)

    @classmethod
    def of_units(cls, z: Floats) -> "Cells":
        """Cells of individual units, shape (epochs, arms, units, 5)."""
        return cls(np.einsum("ekui,ekuj->ekij", z, z))

    def __add__(self, other: "Cells") -> "Cells":
        return Cells(self.sums + other.sums)

    def followed_by(self, later: "Cells") -> "Cells":
        """The epochs of both, one after the other."""
        return Cells(np.concatenate([self.sums.T, later.sums.T], axis=-1).T)

    def __getitem__(self, epochs: slice | NDArray[np.bool_]) -> "Cells":
        """The same arms in some of the epochs."""
        return Cells(self.sums[epochs])

    def arms(self, *arms: int) -> "Cells":
        """Some of the arms, in the order given."""
        return Cells(self.sums[:, list(arms)])

    @property
    def n(self) -> Floats:
        """Units; shape (epochs, arms)."""
        return self.sums[..., Z.UNIT, Z.UNIT]

    def total(self, component: Z) -> Floats:
        """Sum of one component; shape (epochs, arms)."""
        return self.sums[..., Z.UNIT, component]

    def product(self, one: Z, other: Z) -> Floats:
        """Sum of the product of two components; shape (epochs, arms)."""
        return self.sums[..., one, other]

    def by_arm(self, one: Z, other: Z) -> Floats:
        """The same with arms as rows, each arm's epochs side by side in memory; kept, as every test reads a few."""
        place = (min(one, other), max(one, other))
        if place not in self._by_arm:
            arranged = np.ascontiguousarray(self.sums[..., place[0], place[1]].T)
            arranged.flags.writeable = False
            self._by_arm[place] = arranged
        return self._by_arm[place]

    @cached_property
    def _by_arm(self) -> dict[tuple[Z, Z], Floats]:
        return {}

    def mapped(self, matrix: Floats) -> "Cells":
        """Cells of the units' vectors M z, where they were of z: sums of M z (M z)' = M S M'.

        Only components that M changes are computed, which for one of them is fifty times faster than products.
        """
        if matrix.shape != (SIZE, SIZE) or not np.isfinite(matrix).all():
            raise ValueError(f"a map of z of shape {matrix.shape}, must be finite and {SIZE} by {SIZE}")
        changed = np.flatnonzero((matrix != np.eye(SIZE)).any(axis=1)).tolist()
        left = self.sums.copy()
        for row in changed:
            left[..., row, :] = sum(
                matrix[row, part] * self.sums[..., part, :] for part in range(SIZE) if matrix[row, part]
            )
        both = left.copy()
        for row in changed:
            both[..., :, row] = sum(
                matrix[row, part] * left[..., :, part] for part in range(SIZE) if matrix[row, part]
            )
        return Cells(both)

    def pooled(self) -> Floats:
        """Sums over all epochs; shape (arms, 5, 5). Kept, as every part of a report reads them."""
        return self._pooled

    @cached_property
    def _pooled(self) -> Floats:
        pooled = np.asarray(self.sums.sum(axis=0), dtype=np.float64)
        pooled.flags.writeable = False
        return pooled
