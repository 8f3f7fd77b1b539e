"""Equivalence and families of fixed-horizon tests: TOST, Holm and Benjamini-Hochberg.

Read-outs for people who know them, under the conditions of experiments.inference.fixed_horizon.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Literal

from experiments.inference.fixed_horizon import Sums, variance_of_mean, welch_freedom
from experiments.inference.laws import student_above
from experiments.inference.not_enough import NotEnoughData

Correction = Literal["holm", "benjamini_hochberg"]


def equivalence_p(control: Sums, candidate: Sums, margin: float) -> float | NotEnoughData:
    """p of "the rewards differ by the margin or more": two one-sided Welch tests, the larger p (Schuirmann 1987)."""
    if not margin > 0:
        raise ValueError(f"margin == {margin:g}, must be above 0")
    if min(control.units, candidate.units) < 2 or min(control.x, candidate.x) <= 0:
        return NotEnoughData("fewer than two units in an arm")
    a, b = variance_of_mean(control), variance_of_mean(candidate)
    if a + b <= 0:
        return NotEnoughData("no variation: all outcomes of both arms are the same")
    freedom = welch_freedom(a, b, control.units, candidate.units)
    difference, error = candidate.y / candidate.x - control.y / control.x, sqrt(a + b)
    above = student_above((difference + margin) / error, freedom)
    below = student_above((margin - difference) / error, freedom)
    return max(above, below)


def corrected(p_values: Sequence[float | None], how: Correction) -> tuple[float | None, ...]:
    """p-values of several candidates corrected for their number; those that are not known stay unknown.

    Holm (1979) bounds the chance of any wrong rejection, Benjamini and Hochberg (1995) the share of wrong ones.

    >>> corrected([0.01, None, 0.04], "holm")
    (0.02, None, 0.04)
    """
    places = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    result: list[float | None] = [None] * len(p_values)
    for p, place in _holm(places) if how == "holm" else _benjamini_hochberg(places):
        result[place] = min(p, 1.0)
    return tuple(result)


def _holm(ranked: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """Each p times the number of hypotheses that are left, never below an earlier one."""
    largest = 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, p * (len(ranked) - rank))
        yield largest, place


def _benjamini_hochberg(ranked: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """Each p times number over rank, never above a later one."""
    smallest = 1.0
    for rank, (p, place) in reversed(list(enumerate(ranked, start=1))):
        smallest = min(smallest, p * len(ranked) / rank)
        yield smallest, place
