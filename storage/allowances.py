"""Allowances: how much of something may be used in a period, given out in slices, the same for every store."""

from typing import NamedTuple


class Allowance(NamedTuple):
    """What is given out of one allowance in its newest period."""

    period: int
    """Running number of the period; an allowance begins anew with each."""
    given: float


def given_out(stored: Allowance | None, period: int, wanted: float, most: float) -> tuple[Allowance, float]:
    """The allowance after somebody asked for a slice, and the slice: what is left of `most`, up to `wanted`.

    Whoever asks for a period that is over, by a clock that is behind, asks for the newest one.

    >>> given_out(Allowance(7, 80.0), 7, 30.0, 100.0)
    (Allowance(period=7, given=100.0), 20.0)
    """
    if not (wanted >= 0 and most >= 0):
        raise ValueError(f"wanted == {wanted}, most == {most}: both must be at least 0")
    before = stored if stored is not None and stored.period >= period else Allowance(period, 0.0)
    slice_ = max(0.0, min(wanted, most - before.given))
    return Allowance(before.period, before.given + slice_), slice_
