"""Trials: long runs of one experiment, for promises about decisions, money and rewards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from evaluation.calibration.scenarios import declared
from evaluation.calibration.serving import EPOCH, Served, decide, serve

LONGEST_MEDIAN = 22_000
"""Requests within which mode learn decides between ten arms in half of the runs."""
RATES = (0.55, 0.70, 0.78, 0.84, 0.88)
COSTS_USD = (0.0005, 0.002, 0.006, 0.015, 0.03)
"""Of the arms under a budget: sixtyfold from the cheapest to the dearest."""
WRONG_LIST = (1.0, 1.0, 0.5, 0.5, 0.5)
"""What the price list says of them, as a part of what they cost."""
STEEP_RATES = (0.70, 0.72, 0.74, 0.75, 0.76)
STEEP_COSTS_USD = (1e-4, 3e-4, 1e-3, 3e-3, 6e-3)
SETTLED = 50
"""Epochs of a run under a budget that are left out of its reward, as it still learns."""


@dataclass(frozen=True)
class Tried:
    """What one run brought; a field is None where the trial does not ask for it."""

    requests: int | None = None
    """Until the decision."""
    wrong: bool | None = None
    """Decided otherwise than for the best arm."""
    shortfall: float | None = None
    """Part of the best possible reward, or reward per cost, that was missed."""
    spend: float | None = None
    """Mean cost per request in multiples of the budget."""


@dataclass(frozen=True)
class Trial:
    """One kind of long run."""

    name: str
    title: str
    replications: int
    run: Callable[[np.random.SeedSequence], Tried]
    """A function of this module, so that it travels between processes."""
    shortfall: float | None = None
    """Largest mean shortfall that is promised."""
    spend: float | None = None
    """Largest mean spend that is promised."""


def trials(replications: int) -> tuple[Trial, ...]:
    """All of them."""
    return (
        Trial("learn", "ten arms .60 .57 .55 ... in mode learn", 2 * replications, learned),
        Trial("tight", "objective budget, .4 cents a request", replications, tight, 0.01, 1.03),
        Trial("wide", "objective budget, 2 cents a request", replications, wide, 0.01, 1.03),
        Trial("open", "floors over costs 1 to 60, test open", replications, while_open, 0.10),
        Trial("after", "floors over costs 1 to 60, after the verdict", replications, after_verdict, 0.10),
    )


def learned(seed: np.random.SeedSequence) -> Tried:
    """Mode learn until it decides."""
    found = decide(seed)
    return Tried(requests=found.requests, wrong=not found.right)


def tight(seed: np.random.SeedSequence) -> Tried:
    """A budget that pays for the middle arm at most."""
    return _budgeted(seed, 0.004)


def wide(seed: np.random.SeedSequence) -> Tried:
    """A budget between the two dearest arms."""
    return _budgeted(seed, 0.02)


def while_open(seed: np.random.SeedSequence) -> Tried:
    """The control is the cheapest and best value; the others' floors cost what the test may cost."""
    return _per_cost(seed, range(len(STEEP_RATES)), skip=20)


def after_verdict(seed: np.random.SeedSequence) -> Tried:
    """The control is the dearest; the cheapest is promoted early, and what counts is the time after it."""
    return _per_cost(seed, range(len(STEEP_RATES))[::-1], skip=100)


def best_under(budget_usd: float, rates: Sequence[float], costs_usd: Sequence[float]) -> float:
    """The most reward that a split can bring whose expected cost is the budget: a linear programme.

    >>> round(best_under(0.02, (0.5, 0.7), (0.01, 0.03)), 6)
    0.6
    """
    found = linprog(
        [-rate for rate in rates], A_ub=[list(costs_usd)], b_ub=[budget_usd], A_eq=[[1.0] * len(rates)], b_eq=[1.0]
    )  # fmt: skip
    return -float(found.fun)


def _budgeted(seed: np.random.SeedSequence, budget_usd: float) -> Tried:
    definition = declared(len(RATES), 0.5, objective={"kind": "budget", "budget_usd": budget_usd})
    listed = [cost * part for cost, part in zip(COSTS_USD, WRONG_LIST, strict=True)]
    served = serve(definition, RATES, COSTS_USD, seed, epochs=250, list_costs_usd=listed)
    best = best_under(budget_usd, RATES, COSTS_USD)
    return Tried(shortfall=1 - served.reward(SETTLED) / best, spend=served.spend() / budget_usd)


def _per_cost(seed: np.random.SeedSequence, order: Sequence[int], skip: int) -> Tried:
    rates, costs_usd = ([values[arm] for arm in order] for values in (STEEP_RATES, STEEP_COSTS_USD))
    definition = declared(len(rates), 0.2, objective={"kind": "reward_per_cost"})
    served = serve(definition, rates, costs_usd, seed)
    best = max(rate / cost for rate, cost in zip(rates, costs_usd, strict=True))
    return Tried(shortfall=1 - _reward_per_usd(served, skip) / best)


def _reward_per_usd(served: Served, skip: int) -> float:
    spent = sum(served.spend_usd[skip:]) / (EPOCH * len(served.spend_usd[skip:]))
    return served.reward(skip) / spent
