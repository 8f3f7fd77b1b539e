"""Sample ratio: whether units arrived in the split that was frozen for them.

A broken split (units lost, logged twice, kept from one candidate) spoils every comparison, so it is tested
first. The counts of each epoch are compared with the shares of that same epoch: a test against the latest
shares alarms on almost every healthy bandit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from experiments.inference.laws import chi_square_above

ALARM_P = 0.001
LEAST_EXPECTED = 5.0
"""Expected units below which an arm is merged with others: the chi-square law needs them."""
SMALLEST_EIGENVALUE = 1e-12
"""Relative size below which a direction of the covariance counts as impossible."""


@dataclass(frozen=True)
class SampleRatio:
    """Test of one kind of count over epochs."""

    units: int
    statistic: float
    freedom: int
    """Degrees of freedom; 0 while there is nothing to compare, which never alarms."""
    p_value: float
    expected: tuple[float, ...]
    """Units expected on each arm."""
    observed: tuple[int, ...]
    impossible: int
    """Units on arms whose share was zero in their epoch; any such unit is an alarm by itself."""

    @property
    def alarm(self) -> bool:
        """Whether the split is broken at p < .001."""
        return self.impossible > 0 or (self.freedom > 0 and self.p_value < ALARM_P)

    @property
    def enough_data(self) -> bool:
        """Whether at least two arms expect enough units for the test."""
        return self.freedom > 0

    @property
    def sentence(self) -> str:
        """The finding in plain words, arm by arm in the order of the candidates."""
        if self.impossible:
            return f"{self.impossible:,} units on candidates whose share was zero"
        if not self.enough_data:
            return f"not enough units to compare: {self.units:,}"
        expected = " / ".join(f"{count:,.0f}" for count in self.expected)
        observed = " / ".join(f"{count:,}" for count in self.observed)
        return f"expected {expected} units, got {observed}, p = {self.p_value:.2g}"


def sample_ratio(counts: NDArray[np.int64], shares: Floats) -> SampleRatio:
    """Stratified chi-square test of units per epoch and arm against the epochs' frozen shares.

    d = sum_e (O_e - N_e p_e), V = sum_e N_e (diag p_e - p_e p_e'), X = d' V^+ d with rank V degrees of freedom
    after merging arms that expect fewer than 5 units. Given N_e, the counts of an epoch are multinomial
    with its shares, whatever the epochs before; so the sums are valid however a bandit moves the shares.

    The same statistic serves units assigned, units served as assigned, and units with feedback; N_e is
    then the epoch's total of that kind, so a common loss does not alarm and a lopsided one does.
    """
    _check(counts, shares)
    possible = np.where(shares > 0, counts, 0)
    sizes = possible.sum(axis=1).astype(np.float64)
    impossible = int((counts - possible).sum())
    expected = sizes @ shares
    groups = _groups(expected)
    split = shares @ groups.T
    difference = groups @ (possible.sum(axis=0) - expected)
    covariance = np.diag(sizes @ split) - (split * sizes[:, None]).T @ split
    statistic, freedom = _quadratic_form(difference, covariance)
    p_value = chi_square_above(statistic, freedom) if freedom else 1.0
    return SampleRatio(
        units=int(counts.sum()),
        statistic=statistic,
        freedom=freedom,
        p_value=0.0 if impossible else p_value,
        expected=tuple(expected.tolist()),
        observed=tuple(counts.sum(axis=0).tolist()),
        impossible=impossible,
    )


def _groups(expected: Floats) -> Floats:
    """Rows are groups of arms: large arms alone, small ones together, with the smallest large one if need be.

    Arms that expect nothing belong to no group.
    """
    order = [arm for arm in np.argsort(expected, kind="stable") if expected[arm] > 0]
    small = [arm for arm in order if expected[arm] < LEAST_EXPECTED]
    large = [arm for arm in order if expected[arm] >= LEAST_EXPECTED]
    if small and large and expected[small].sum() < LEAST_EXPECTED:
        small.append(large.pop(0))
    members = [[arm] for arm in large] + ([small] if small else [])
    groups = np.zeros((len(members), expected.size))
    for row, arms in enumerate(members):
        groups[row, arms] = 1.0
    return groups


def _quadratic_form(difference: Floats, covariance: Floats) -> tuple[float, int]:
    """d' V^+ d and rank V; directions in which the counts cannot vary are left out of both."""
    if difference.size < 2:
        return 0.0, 0
    values, vectors = np.linalg.eigh(covariance)
    varies = values > SMALLEST_EIGENVALUE * max(values[-1], 1.0)
    parts = (difference @ vectors)[varies] ** 2 / values[varies]
    return float(parts.sum()), int(varies.sum())


def _check(counts: NDArray[np.int64], shares: Floats) -> None:
    if counts.ndim != 2 or counts.shape != shares.shape:
        raise ValueError(f"counts {counts.shape} and shares {shares.shape} must both be epochs by arms")
    if (counts < 0).any():
        raise ValueError("counts must be >= 0 in every epoch and arm")
    if not (shares >= 0).all() or not np.allclose(shares.sum(axis=1), 1, atol=1e-9):
        raise ValueError("shares of every epoch must be >= 0 and sum to 1")
