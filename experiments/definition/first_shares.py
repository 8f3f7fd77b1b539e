"""First shares: the split that an experiment starts with, before any outcome is known.

Plain arithmetic on the definition and the price list: the process that starts an experiment may be a serving worker,
which has no numpy. From the second epoch on the shares follow from evidence (experiments.verdict.next_shares).
"""

from collections.abc import Sequence

from experiments.definition.experiment import Experiment

RESERVE = 1.56
"""Requests are planned to cost this much more than listed: one standard deviation of a price list on its own, as in
bandit.costs (variation 1, weight of 5 requests)."""


def first_shares(definition: Experiment, list_costs_usd: Sequence[float]) -> tuple[float, ...]:
    """The declared or equal shares; under a budget no more of the dear candidates than it pays for.

    `list_costs_usd` is the expected cost per request of each candidate.
    """
    shares, budget_usd = definition.starting_shares, definition.objective.budget_usd
    if budget_usd is None or definition.mode in ("ab", "shadow"):
        return shares
    costs = [cost * RESERVE for cost in list_costs_usd]
    caps = [1.0 if arm == 0 or not definition.bandit.ramp else share for arm, share in enumerate(shares)]
    return affordable(shares, costs, caps, budget_usd)


def affordable(
    shares: Sequence[float], costs_usd: Sequence[float], caps: Sequence[float], budget_usd: float
) -> tuple[float, ...]:
    """The shares, mixed with the cheapest split that the caps allow until they cost no more than the budget.

    >>> affordable((0.5, 0.5), (0.04, 0.01), (1.0, 1.0), budget_usd=0.02)
    (0.3333333333333333, 0.6666666666666667)
    """
    planned = _cost(shares, costs_usd)
    if planned <= budget_usd:
        return tuple(shares)
    cheapest = _cheapest(costs_usd, caps)
    least = _cost(cheapest, costs_usd)
    part = max(budget_usd - least, 0.0) / (planned - least) if planned > least else 1.0
    mixed = [part * one + (1 - part) * other for one, other in zip(shares, cheapest, strict=True)]
    return tuple(share / sum(mixed) for share in mixed)


def _cheapest(costs_usd: Sequence[float], caps: Sequence[float]) -> list[float]:
    """As much as each cap allows, cheapest first."""
    shares, left = [0.0] * len(caps), 1.0
    for arm in sorted(range(len(caps)), key=lambda each: costs_usd[each]):
        shares[arm] = min(caps[arm], left)
        left -= shares[arm]
    return shares


def _cost(shares: Sequence[float], costs_usd: Sequence[float]) -> float:
    return sum(share * cost for share, cost in zip(shares, costs_usd, strict=True))
