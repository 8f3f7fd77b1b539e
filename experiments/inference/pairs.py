"""Pairs: arms beside the arm that they are compared with, and the epochs that count for each pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Cells, Floats, Z


@dataclass(frozen=True)
class Pairs:
    """One metric's cells and the pairs of arms that read them.

    An epoch counts for a pair only where both arms have enough units. What is known of a cell by itself has the
    shape (all arms, epochs), so that the arm in every pair is worked out once; sums over the epochs that count
    have the shape (2, arms), first the arm compared against, then the other.
    """

    cells: Cells
    against: int
    arms: NDArray[np.intp] | slice
    """Of the others; a slice where they stand side by side, as rows are then read in place."""
    kept: Floats
    """One where an epoch counts for a pair, else zero; shape (arms, epochs)."""
    n: Floats
    """Units of a cell, or one where it has none; shape (all arms, epochs)."""

    @classmethod
    def of(cls, cells: Cells, against: int, arms: Sequence[int], smallest: int) -> "Pairs":
        """Pairs of `against` with each of `arms`, in epochs where both have `smallest` units."""
        n, side_by_side = cells.by_arm(Z.UNIT, Z.UNIT), isinstance(arms, range) and arms.step == 1
        others = slice(arms[0], arms[-1] + 1) if side_by_side and arms else np.array(arms, dtype=np.intp)
        enough = n >= smallest
        kept = (enough[against] & enough[others]).astype(np.float64)
        return cls(cells, against, others, kept, np.where(n > 0, n, 1.0))

    def moment(self, one: Z, other: Z) -> Floats:
        """Sums of the product of two components over the units of each cell; shape (all arms, epochs)."""
        return self.cells.by_arm(one, other)

    def sums(self, values: Floats, weights: Floats, of_against: Floats | None = None) -> Floats:
        """Sums of values under weights of the epochs; of the arm compared against under its own ones, if given."""
        both = np.empty((2, len(self.kept)))
        np.vecdot(values[self.against], weights if of_against is None else of_against, out=both[0])
        np.vecdot(values[self.arms], weights, out=both[1])
        return both

    def counted(self, one: Z, other: Z) -> Floats:
        """A moment over the epochs that count; shape (2, arms)."""
        return self.sums(self.moment(one, other), self.kept)

    def precision(self, variance: Floats) -> Floats:
        """1 / (u_a / n_ea + u_b / n_eb), where units have the variances u of shape (2, arms); zero in other epochs."""
        first, second = variance[:, :, None]
        weights: Floats = self.kept / (first / self.n[self.against] + second / self.n[self.arms])
        return weights

    @cached_property
    def units(self) -> Floats:
        """Units that count; shape (2, arms)."""
        return self.sums(self.n, self.kept)

    @cached_property
    def freedom(self) -> Floats:
        """Degrees of freedom of a variance within epochs; shape (2, arms)."""
        spent: Floats = self.kept.sum(axis=-1)
        return self.units - spent
