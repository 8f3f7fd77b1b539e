"""The hedger: when and where one request's second attempt begins beside a slow first one.

Only where nothing speaks against it: not at a person, not for a copy or a batch request, not at a site that rests,
not beyond a limit, the task's budget or the share of requests that may be hedged, and once a request.
"""

from collections.abc import Collection
from typing import NamedTuple

from router.availability.balancing import Stand
from router.availability.chain import Chain
from router.availability.fleet import Fleet
from router.availability.quotas import UNUSED, Quotas, Ticket, budget_rule
from router.availability.sites import Served, Site
from router.availability.terms import Terms
from router.config.availability import Hedge
from router.deciding.eligibility import lacking
from router.deciding.needs import Needs
from router.upstream.account import Account
from router.upstream.attempt import Monotonic

LEAST_LEFT_S = 0.05
"""Time that must be left for a second attempt to be worth it."""


class Second(NamedTuple):
    """Where the second attempt goes."""

    model: Served
    stand: Stand
    ticket: Ticket | None

    def give_back(self) -> None:
        """It does not begin after all."""
        if self.ticket is not None:
            self.ticket.settle(UNUSED)


class Hedger:
    """The hedging of one request."""

    __slots__ = (
        "_account", "_begun", "_chain", "_fleet", "_hedge", "_monotonic", "_needs", "_purse", "_quotas", "_streamed",
        "_terms",
    )  # fmt: skip

    def __init__(
        self,
        hedge: Hedge,
        terms: Terms,
        account: Account,
        fleet: Fleet,
        quotas: Quotas,
        chain: Chain,
        streamed: bool,
        needs: Needs | None,
        monotonic: Monotonic,
    ) -> None:
        self._hedge = hedge
        self._terms = terms
        self._account = account
        self._fleet = fleet
        self._quotas = quotas
        self._chain = chain
        self._streamed = streamed
        self._needs = needs
        self._monotonic = monotonic
        self._begun = False
        self._purse = fleet.hedge_purse(account.decision.task)
        self._purse.earn(hedge.share)

    def after_s(self, site: Site) -> float | None:
        """How long an attempt at this site may take before a second one begins; None where none may."""
        if self._begun or site.model.kind == "human":
            return None
        hedge = self._hedge
        usual_s = None if hedge.after is None else self._fleet.usual_s(site, hedge.after, self._streamed)
        return hedge.after_s if usual_s is None else usual_s

    async def second(self, model: Served, left_out: Collection[str]) -> Second | None:
        """Where a second attempt begins now, with all that it needs reserved; None if it may not."""
        if self._account.left or self._account.remaining_s() < LEAST_LEFT_S:
            return None
        found = self._elsewhere(model, left_out)
        if found is None or not self._purse.spend():
            return None
        other, stand = found
        try:
            ticket = await self._admitted(stand.site)
        except BaseException:  # the first attempt answered meanwhile, or the client left
            self._purse.give_back()
            raise
        if isinstance(ticket, float):
            self._purse.give_back()
            return None
        if other is not model:
            self._chain.next()
        self._begun = True
        self._fleet.count("hedges")
        return Second(other, stand, ticket)

    def _elsewhere(self, model: Served, left_out: Collection[str]) -> tuple[Served, Stand] | None:
        """Another deployment of the model, or the next model if that can serve the request; neither at rest."""
        other: Served | None = model
        if self._hedge.to == "fallback":
            name, left_out = self._chain.following, ()
            other = None if name is None else self._able(name)
        if other is None:
            return None
        stand = self._fleet.pick(other, left_out, self._monotonic(), self._streamed)
        return None if stand is None else (other, stand)

    def _able(self, name: str) -> Served | None:
        model = self._fleet.served(name)
        if model is None or model.sites[0].model.kind == "human":
            return None
        site = model.sites[0]
        return None if self._needs is not None and lacking(site.model, site.price, self._needs) else model

    async def _admitted(self, site: Site) -> Ticket | float | None:
        """Room within the task's budget and the site's limits; None where nothing limits it."""
        need, budget = self._account.need(site.price), self._terms.budget
        if budget is not None:
            granted = await self._quotas.admit([budget_rule(self._terms.budget_of, budget)], need)
            if not isinstance(granted, Ticket):
                return granted
            self._account.reserve(granted)
        return await self._quotas.admit(site.rules, need) if site.rules else None
