"""Sample ratio as a sequence: a broken split is seen as it happens, and looking every second costs nothing.

Dirichlet-multinomial e-process (Lindon and Malek, arXiv 2011.03567), carried over epochs with frozen shares p_e:
the counts O_e of an epoch multiply the e-value by the ratio of their probabilities under a split drawn from
Dirichlet(a_e) and under p_e. With constant shares and a_e = c p + all earlier counts that is the paper's test:

    ln E += ln G(A) - ln G(A + N_e) + sum_k [ln G(a_k + O_ek) - ln G(a_k)] - sum_k O_ek ln p_ek,  A = sum_k a_k

Where shares move, earlier epochs say by which factor each arm gets more or less than decided,

    a_e = (c + N) * normalised(p_ek * (c p_ek + O_k) / (c p_ek + sum_{earlier} N_j p_jk)),  N, O over earlier epochs

which is the same a_e while shares are constant. It is fixed when an epoch opens, so E is an e-process whatever
moves the shares, also in the middle of an epoch: the last row may be the open one.

Sums over earlier epochs are all that a_e reads, so an answer goes on with the epochs that follow it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from bandit.cells import Floats

CONCENTRATIONS = (100.0, 10_000.0)
"""Units that the prior of a broken split weighs. E is the mean of both: the one is quick to see an arm that fails
altogether, the other sees losses of a few percent."""
ALARM_E = 1_000.0
"""E-value that alarms: a healthy split ever reaches it with probability 1/1000 at most."""


@dataclass(frozen=True)
class _Past:
    """What all epochs so far leave to those that follow."""

    concentrations: tuple[float, ...]
    seen: Floats
    """Units on each arm; shape (arms,)."""
    expected: Floats
    """The same by the frozen shares."""
    size: float
    """Units on all arms."""
    grown: Floats
    """ln E of each concentration."""
    impossible: bool
    """Whether a unit went to an arm whose share was zero."""

    @classmethod
    def nothing(cls, arms: int, concentrations: Sequence[float]) -> "_Past":
        """Before the first epoch."""
        zeros = np.zeros(arms)
        return cls(tuple(concentrations), zeros, zeros, 0.0, np.zeros(len(concentrations)), False)


@dataclass(frozen=True)
class SampleRatioSequence:
    """The e-process of one kind of count."""

    log_e: tuple[float, ...]
    """ln E after each epoch; infinite from the first unit on an arm whose share was zero."""
    units: int
    past: _Past = field(repr=False, compare=False)

    @property
    def largest_e(self) -> float:
        """Largest E so far, at least one."""
        return float(np.exp(min(max((0.0, *self.log_e)), 700.0)))

    @property
    def p_value(self) -> float:
        """Always-valid p of "the split is as decided"."""
        return 1 / self.largest_e

    @property
    def alarm(self) -> bool:
        """Whether E ever reached 1,000."""
        return max((0.0, *self.log_e)) >= log(ALARM_E)

    def followed_by(self, counts: NDArray[np.int64], shares: Floats) -> "SampleRatioSequence":
        """The answer for the epochs so far and these after them, to the last bit as if all were given at once."""
        _check(counts, shares)
        if shares.shape[1] != self.past.seen.size:
            raise ValueError(f"{shares.shape[1]} arms after {self.past.seen.size}; they stay the same")
        log_e, past = _extended(self.past, counts, shares)
        return SampleRatioSequence((*self.log_e, *log_e), self.units + int(counts.sum()), past)


def sample_ratio_sequence(
    counts: NDArray[np.int64], shares: Floats, concentrations: Sequence[float] = CONCENTRATIONS
) -> SampleRatioSequence:
    """The e-process of units per epoch and arm, both of shape (epochs, arms), against the frozen shares.

    Assigned units may be read at any time. Counts of calls or feedback still change in young epochs: give
    the mature ones only, so that an epoch enters once.
    """
    _check(counts, shares)
    if not concentrations or not all(0 < c < inf for c in concentrations):
        raise ValueError(f"concentrations == {tuple(concentrations)}, must be finite and above 0 units")
    nothing = _Past.nothing(shares.shape[1], concentrations)
    return SampleRatioSequence((), 0, nothing).followed_by(counts, shares)


def _extended(past: _Past, counts: NDArray[np.int64], shares: Floats) -> tuple[list[float], _Past]:
    """ln E after each further epoch, and what they leave behind."""
    possible = np.where(shares > 0, counts, 0).astype(np.float64)
    sizes = possible.sum(axis=1)
    seen, expected = _sums(past.seen, possible), _sums(past.expected, sizes[:, None] * shares)
    units = _sums(np.array(past.size), sizes)
    each = []
    for concentration, grown in zip(past.concentrations, past.grown, strict=True):
        beliefs = _beliefs(seen[:-1], expected[:-1], units[:-1], shares, concentration)
        each.append(_sums(grown, _growth(possible, shares, beliefs)))
    log_e = np.logaddexp.reduce([sums[1:] for sums in each], axis=0) - log(len(each))
    impossible = past.impossible | np.logical_or.accumulate((possible != counts).any(axis=1))
    log_e[impossible] = inf
    newest = np.array([sums[-1] for sums in each])
    broken = bool(impossible[-1]) if impossible.size else past.impossible
    left = _Past(past.concentrations, seen[-1], expected[-1], float(units[-1]), newest, broken)
    return log_e.tolist(), left


def _sums(before: Floats, rows: Floats) -> Floats:
    """Sums before the first row and after each one, added in their order."""
    result: Floats = np.cumsum(np.concatenate([np.asarray(before)[None], rows]), axis=0)
    return result


def _beliefs(seen: Floats, expected: Floats, units: Floats, shares: Floats, concentration: float) -> Floats:
    """Dirichlet parameters of each epoch, made from earlier epochs only; zero where the share is zero."""
    base = concentration * shares
    factor = (base + seen) / np.where(shares > 0, base + expected, 1.0)
    tilted = shares * factor
    result: Floats = (concentration + units)[:, None] * tilted / tilted.sum(axis=1, keepdims=True)
    return result


def _growth(counts: Floats, shares: Floats, beliefs: Floats) -> Floats:
    """ln of the Dirichlet-multinomial over the multinomial probability of each epoch's counts."""
    live = np.where(shares > 0, beliefs, 1.0)
    arms = np.where(shares > 0, gammaln(live + counts) - gammaln(live) - xlogy(counts, shares), 0.0)
    total = beliefs.sum(axis=1)
    result: Floats = gammaln(total) - gammaln(total + counts.sum(axis=1)) + arms.sum(axis=1)
    return result


def _check(counts: NDArray[np.int64], shares: Floats) -> None:
    if counts.ndim != 2 or counts.shape != shares.shape:
        raise ValueError(f"counts {counts.shape} and shares {shares.shape} must both be epochs by arms")
    if (counts < 0).any():
        raise ValueError("counts must be >= 0 in every epoch and arm")
    if not (shares >= 0).all() or not np.allclose(shares.sum(axis=1), 1, atol=1e-9):
        raise ValueError("shares of every epoch must be >= 0 and sum to 1")
