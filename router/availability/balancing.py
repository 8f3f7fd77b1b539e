"""Balancing: which site of a model gets the next request."""

from collections.abc import Sequence
from typing import NamedTuple

from router.availability.health import Draw, Health
from router.availability.sites import Site
from router.config.availability import Balance

EXPLORED = 0.05
"""Part of the requests that go to any site under `lowest_latency`, so that one that became faster is noticed."""
UNKNOWN_USD = float("inf")


class Stand(NamedTuple):
    """A site and how it does."""

    site: Site
    health: Health


def picked(stands: Sequence[Stand], balance: Balance, turn: int, streamed: bool, draw: Draw) -> Stand:
    """One of several open sites. `turn` counts the model's requests."""
    if len(stands) == 1:
        return stands[0]
    if balance == "weighted":
        return _weighted(stands, draw())
    if balance == "round_robin":
        return _in_turn(stands, turn)
    if balance == "least_busy":
        return min(stands, key=lambda stand: (stand.health.in_flight + 1) / stand.site.weight)
    if balance == "cheapest":
        return min(stands, key=_cheapness)
    if draw() < EXPLORED:
        return stands[int(draw() * len(stands))]
    return min(stands, key=lambda stand: stand.health.speed_s.get(streamed, 0.0))


def _weighted(stands: Sequence[Stand], drawn: float) -> Stand:
    """By weight; the shares of sites that rest go to the others."""
    left = drawn * sum(stand.site.weight for stand in stands)
    for stand in stands:
        left -= stand.site.weight
        if left < 0:
            return stand
    return stands[-1]


def _in_turn(stands: Sequence[Stand], turn: int) -> Stand:
    """One after another; over any long run each gets its weight's part of the turns.

    The turn's place in a sequence of low discrepancy takes the place of chance.
    """
    if all(stand.site.weight == stands[0].site.weight for stand in stands):
        return stands[turn % len(stands)]
    return _weighted(stands, (turn * 0.6180339887498949) % 1.0)


def usual_usd(site: Site) -> float:
    """Price of a usual answer, four tokens in for one out."""
    usd = None if site.price is None else site.price.cost_usd(400, 100)
    return UNKNOWN_USD if usd is None else usd


def _cheapness(stand: Stand) -> tuple[float, float]:
    """The cheapest, and the less busy of equals."""
    return usual_usd(stand.site), stand.health.in_flight / stand.site.weight
