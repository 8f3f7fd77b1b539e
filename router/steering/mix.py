"""The mix of tiers: how traffic was expected to spread over small and large models, and how it does.

The declared mix is an expectation and no draw, so with enough traffic any of them is off by something. Drift is
therefore said only where chance does not explain the difference and the difference matters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALARM_P = 0.001
NOTABLE = 0.05
"""Difference of a tier's share that is worth a word."""


@dataclass(frozen=True, slots=True)
class TierShare:
    """One tier, as declared and as seen; 0 stands for models without a tier."""

    tier: int
    declared: float
    decisions: int
    share: float | None
    """None while nothing was served."""


@dataclass(frozen=True, slots=True)
class Mix:
    """The declared mix beside what was served."""

    tiers: tuple[TierShare, ...]
    decisions: int
    p_value: float | None
    """Of the chi-square test of the counts against the declared shares; None while nothing was served."""
    drift: bool
    sentence: str


def mix_of(declared: Mapping[str, float], counts: Sequence[int]) -> Mix | None:
    """The mix by decisions of each tier (`counts[0]`: no tier); None where none is declared."""
    if not declared:
        return None
    shares = {int(tier): share for tier, share in declared.items()}
    total = sum(counts)
    seen = sorted({*shares, *(tier for tier, count in enumerate(counts) if count)})
    tiers = tuple(
        TierShare(tier, shares.get(tier, 0.0), counts[tier], counts[tier] / total if total else None)
        for tier in seen
    )
    p_value = _p_value(tiers, total) if total else None
    furthest = max((abs(each.share - each.declared) for each in tiers if each.share is not None), default=0.0)
    drift = p_value is not None and p_value < ALARM_P and furthest >= NOTABLE
    return Mix(tiers, total, p_value, drift, _sentence(tiers, total, p_value, drift))


def _p_value(tiers: Sequence[TierShare], total: int) -> float:
    """Chi-square against the declared shares; a tier that was not declared and was served cannot be chance."""
    if any(each.declared == 0 and each.decisions for each in tiers):
        return 0.0
    expected = [(each.declared * total, each.decisions) for each in tiers if each.declared]
    statistic = sum((got - wanted) ** 2 / wanted for wanted, got in expected)
    return chi_square_tail(statistic, len(expected) - 1)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X > statistic) for a chi-square variable, in closed form (Abramowitz & Stegun 1964, 26.4.4 and 26.4.5).

    Here because the statistics library would take a serving worker's memory.

    >>> round(chi_square_tail(3.841459, 1), 6), round(chi_square_tail(5.991465, 2), 6)
    (0.05, 0.05)
    """
    if freedom < 1 or statistic <= 0:
        return 1.0
    half = statistic / 2
    if freedom % 2 == 0:
        tail, term, first = 0.0, math.exp(-half), 0
        terms = freedom // 2
    else:
        tail, first = math.erfc(math.sqrt(half)), 1
        term, terms = math.exp(-half) * math.sqrt(half) / math.gamma(1.5), (freedom - 1) // 2
    for index in range(terms):
        tail += term
        term *= half / (index + 1 + first / 2)
    return min(1.0, tail)


def _sentence(tiers: Sequence[TierShare], total: int, p_value: float | None, drift: bool) -> str:
    wanted = ", ".join(f"{_name(each.tier)} {each.declared:.0%}" for each in tiers)
    if p_value is None:
        return f"declared mix: {wanted}; nothing served since the server's start"
    got = ", ".join(f"{_name(each.tier)} {each.share or 0.0:.0%}" for each in tiers)
    word = "the mix has drifted" if drift else "the mix is as declared, within 5 points or chance"
    return f"declared mix: {wanted}; served: {got} of {total:,} decisions; {word}"


def _name(tier: int) -> str:
    return f"tier {tier}" if tier else "no tier"
