"""e-BH: which of many experiments to believe, with the false discovery rate held at alpha.

Wang and Ramdas (arXiv 2009.02824), Definition 2 and Theorem 1: with e-values e_(1) >= ... >= e_(K) let k be the
largest number for which k e_(k) / K >= 1 / alpha; the k largest are discoveries. That holds whatever the
dependence between the experiments: they may share users, models and hours.

An e-value is E at the look at which an experiment was stopped or is read now. The largest E of all looks is
none; nor is the inverse of a p-value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, log


@dataclass(frozen=True)
class Discoveries:
    """Which experiments show an effect, in the order given."""

    found: tuple[bool, ...]
    log_threshold: float
    """ln of the e-value that each of them reached: K / (alpha * their number), or of one alone if none."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.found)


def discoveries(log_e: Sequence[float], alpha: float = 0.05) -> Discoveries:
    """The discoveries among the e-values of all experiments, given as logarithms; -inf is an e-value of 0.

    All experiments count, also those that show nothing: leaving them out would be choosing after the fact.

    >>> discoveries([log(100), log(45), log(1), log(0.5)]).found
    (True, True, False, False)
    >>> discoveries([log(70), log(1), log(1), log(1)]).found
    (False, False, False, False)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha == {alpha:g}, must be between 0 and 1")
    if any(isnan(value) for value in log_e):
        raise ValueError("log_e holds NaN; give 0 for an experiment without data, as its e-value is 1")
    ranked, size = sorted(log_e, reverse=True), max(len(log_e), 1)
    reached = [k for k, value in enumerate(ranked, 1) if value >= log(size / (alpha * k)) - 1e-12]
    threshold = log(size / (alpha * max(reached, default=1)))
    return Discoveries(tuple(value >= threshold - 1e-12 for value in log_e), threshold)
