"""Pairs: the moments of several arms beside those of the arm they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells, Floats, Z


@dataclass(frozen=True)
class Pairs:
    """One metric's cells, arranged as (2, arms, epochs): first the arm compared against, then the other.

    An epoch counts for a pair only where both arms have enough units; elsewhere every moment is zero.
    """

    cells: Cells
    rows: NDArray[np.intp]
    """Arms of the cells; shape (2, arms)."""
    kept: NDArray[np.bool_]
    """Which epochs count; shape (arms, epochs)."""
    n: Floats
    divisor: Floats
    """`n`, or one where an epoch does not count."""

    @classmethod
    def of(cls, cells: Cells, against: int, arms: Sequence[int], smallest: int) -> "Pairs":
        """Pairs of `against` with each of `arms`, in epochs where both have `smallest` units."""
        rows = np.stack([np.full(len(arms), against, dtype=np.intp), np.array(arms, dtype=np.intp)])
        n = cells.by_arm(Z.UNIT, Z.UNIT)[rows]
        kept: NDArray[np.bool_] = np.all(n >= smallest, axis=0)
        return cls(cells, rows, kept, n * kept, np.where(kept, n, 1.0))

    def moment(self, one: Z, other: Z) -> Floats:
        """Sums of the product of two components; shape (2, arms, epochs)."""
        sums: Floats = self.cells.by_arm(one, other)[self.rows] * self.kept
        return sums

    @property
    def units(self) -> Floats:
        """Units that count; shape (2, arms)."""
        return np.asarray(self.n.sum(axis=-1), dtype=np.float64)

    @property
    def freedom(self) -> Floats:
        """Degrees of freedom of a variance within epochs; shape (2, arms)."""
        spent: Floats = np.asarray(self.kept.sum(axis=-1), dtype=np.float64)
        return self.units - spent
