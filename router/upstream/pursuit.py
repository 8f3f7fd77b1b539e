"""The pursuit of an answer: one request's way through sites, retries and models, until one answers.

At each model: its sites one after another, then retries at them, then the next model of the chain. At a limit
of its decided model a batch request may wait for room first (router.upstream.patience). A model
whose sites all rest is passed over; if that leaves nobody at all, the decided model is asked in spite of it.
While something else is left to try, an attempt may use two thirds of the remaining time. Where the task says so,
a slow attempt gets another one beside it (router.upstream.hedger says which, router.upstream.race who wins).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic

from router.availability.balancing import Stand
from router.availability.chain import Chain
from router.availability.fleet import Fleet
from router.availability.lines import Lines
from router.availability.quotas import Quotas, Ticket, budget_rule
from router.availability.retrying import PATIENCE_S, SHORT_PATIENCE_S, wait_s
from router.availability.sites import Served, Site
from router.availability.terms import Terms
from router.availability.waits import Waits, waits_of
from router.config.availability import Budget
from router.deciding.eligibility import lacking
from router.deciding.needs import Needs, within_ceiling
from router.upstream.account import Account
from router.upstream.attempt import Attempt, Monotonic
from router.upstream.attempts import (
    AGAIN,
    ELSEWHERE,
    INELIGIBLE,
    AttemptFailed,
    ineligible,
    not_configured,
    over_budget,
    over_quota,
    resting,
    timed_out,
)
from router.upstream.hedger import LEAST_LEFT_S, Hedger
from router.upstream.patience import Patience, queue_of
from router.upstream.race import Got, Race
from router.upstream.trail import HEDGED, REFUSED


class Refused(AttemptFailed, Generic[Got]):
    """A model refused in an answer, and another one is named for that case; the answer may still have to do."""

    def __init__(self, failure: AttemptFailed, spare: Got) -> None:
        super().__init__(failure.code, failure.error, failure.another)
        self.spare = spare


class Pursuit(Generic[Got]):
    """The way of one request."""

    def __init__(
        self,
        account: Account,
        fleet: Fleet,
        quotas: Quotas,
        usual: Waits,
        share: float,
        streamed: bool,
        needs: Needs | None,
        monotonic: Monotonic,
        lines: Lines,
    ) -> None:
        decision = account.decision
        self._account = account
        self._fleet = fleet
        self._quotas = quotas
        self._usual = usual
        self._share = share
        self._streamed = streamed
        self._monotonic = monotonic
        self._terms: Terms = fleet.terms(decision.task)
        self._needs = within_ceiling(needs, self._terms.max_cost_usd, self._terms.ceiling_of)
        pinned = decision.reason in ("override", "shadow")
        self.chain = Chain(decision.model, decision.fallbacks, self._terms.fallbacks_on, pinned)
        self._batch = needs is not None and needs.latency == "batch"
        queue = queue_of(self._terms, decision, needs)
        self._patience = None if queue is None else Patience(account, fleet, lines, queue)
        self._failure: AttemptFailed | None = None
        self._spare: tuple[Got, Attempt] | None = None
        self._rested = False
        """The decided model was passed over because its sites rest."""
        self._hedger: Hedger | None = None
        if self._terms.hedge is not None and decision.reason != "shadow" and not self._batch:
            self._hedger = Hedger(
                self._terms.hedge,
                self._terms,
                account,
                fleet,
                quotas,
                self.chain,
                streamed,
                self._needs,
                monotonic,
            )

    async def run(self, call: Callable[[Attempt, Waits], Awaitable[Got]]) -> Got:
        """Whatever answers first; raises UpstreamFailed, with the account settled, where nobody does.

        `call` makes one attempt within waits.
        """
        self._call = call
        self._fleet.purse.earn()
        account, model = self._account, self._account.decision.model
        if self._terms.budget is not None and account.decision.reason != "shadow":
            await self._within_budget(self._terms.budget)
        while self._goes_on() and (name := self.chain.next()) is not None:
            try:
                return await self._at_model(name)
            except AttemptFailed as error:
                self._note(error)
        if account.attempts == 0 and self._rested:
            try:
                return await self._at_model(model, forced=True)
            except AttemptFailed as error:
                self._note(error)
        if self._spare is not None:
            answer, account.attempt = self._spare
            account.passed(account.model, REFUSED)
            return answer
        failure = self._failure or timed_out(model)
        account.settle(failure.code)
        raise failure.error

    async def _within_budget(self, budget: Budget) -> None:
        """Reserve money for the request; without any left the cheapest model goes first, or nobody does.

        Whichever of its sites will serve, the dearest is reserved. A copy (mode shadow) has money of its own.
        """
        account, served = self._account, self._fleet.served(self._account.decision.model)
        prices = served.prices if served is not None else (None,)
        need = max(map(account.need, prices), key=lambda each: each.usd)
        granted = await self._quotas.admit([budget_rule(self._terms.budget_of, budget)], need)
        if isinstance(granted, Ticket):
            account.reserve(granted)
            return
        self._fleet.count("over_budget")
        pinned = account.decision.reason == "override"
        if budget.then == "refuse" or pinned:
            account.passed(account.decision.model, "over_budget")
            account.settle("over_budget")
            raise over_budget(self._terms.budget_of, granted).error
        self.chain.reorder(self._fleet.cheapness)

    def _note(self, error: AttemptFailed) -> None:
        """The last failure is what the client sees, unless nothing but a word was amiss, or nobody was asked."""
        if self._failure is None or error.code not in (INELIGIBLE, "resting"):
            self._failure = error
        self.chain.failed(error.cause, error.another)
        if not self.chain.last:
            self._fleet.count("fallbacks")

    def _goes_on(self) -> bool:
        return self._account.remaining_s() > 0 and not self._account.left

    async def _at_model(self, name: str, forced: bool = False) -> Got:
        """All that is tried at one model; raises the last AttemptFailed.

        The model is looked up for each attempt: the configuration may have changed meanwhile.
        """
        patience = self._patience if name == self._account.decision.model and not forced else None
        if patience is None:
            return await self._at_sites(name, forced, None)
        try:
            await patience.behind_others()
            return await self._at_sites(name, forced, patience)
        finally:
            patience.leave()

    async def _at_sites(self, name: str, forced: bool, patience: Patience | None) -> Got:
        """Its sites one after another, and again; at a limit after a wait for room, where the request may wait."""
        tried: set[str] = set()
        failure: AttemptFailed | None = None
        retries = 0
        while self._goes_on():
            model = self._declared(name)
            stand = self._fleet.pick(model, tried, self._monotonic(), self._streamed, forced)
            if stand is not None:
                try:
                    return await self._at_site(model, stand, tried)
                except AttemptFailed as error:
                    failure = error
                    if error.code not in ELSEWHERE:
                        raise
            elif failure is None:
                raise self._resting(model)
            elif patience is not None and failure.code == "over_quota" and await patience.waited(failure):
                tried.clear()
                failure = None
            elif tried and await self._waited(failure, retries):
                retries += 1
                tried.clear()
            else:
                raise failure
        if patience is not None and patience.waiting:
            await patience.waited(failure)  # the client has just left
        raise failure or timed_out(name)

    async def _at_site(self, model: Served, stand: Stand, tried: set[str]) -> Got:
        """One attempt, unless a limit holds it back; and perhaps another one beside it."""
        account, site = self._account, stand.site
        again = bool(tried)
        tried.add(site.id)
        ticket = await self._admitted(site) if site.rules else None
        if isinstance(ticket, float):
            if self._patience is None or not self._patience.waiting:  # else it is told once that it waits
                account.passed(site.id, "over_quota")
                self._fleet.count("over_quota")
            raise over_quota(model.name, ticket)
        if self._patience is not None:
            self._patience.let_in()
        if again:
            self._fleet.count("moves")
        attempt = self._begin(stand, ticket)
        waits = self._waits(model, len(tried))
        if self._hedger is None or (after_s := self._hedger.after_s(site)) is None:
            return await self._outcome(attempt, waits)
        race: Race[Got] = Race(attempt, self._won)
        return await race.run(
            self._outcome(attempt, waits), after_s, lambda: self._beside(race, attempt, model, tried)
        )

    def _begin(self, stand: Stand, ticket: Ticket | None) -> Attempt:
        return self._account.begin(self._fleet.visit(stand, self._monotonic(), self._streamed, ticket))

    async def _outcome(self, attempt: Attempt, waits: Waits) -> Got:
        """What comes of an attempt; a failure is noted.

        A refusal is one where another model is named for it, and where another one has refused already.
        """
        attempt.holds = self._spare is not None or self.chain.has("refusal")
        try:
            return await self._call(attempt, waits)
        except AttemptFailed as error:
            attempt.failed(error.code, error.error.retry_after_s)
            if isinstance(error, Refused) and self._spare is None:
                self._spare = (error.spare, attempt)
            raise

    async def _beside(self, race: Race[Got], slow: Attempt, model: Served, tried: set[str]) -> Got | None:
        """The attempt beside a slow one, if there is to be one."""
        assert self._hedger is not None
        second = await self._hedger.second(model, tried)
        if second is None:
            return None
        if (
            race.over
        ):  # asyncio.wait_for of Python 3.11 may swallow the cancellation of who waited for a limit
            second.give_back()
            return None
        self._account.passed(slow.site.id, HEDGED)
        attempt = self._begin(second.stand, second.ticket)
        race.enter(attempt)
        nth = 1
        if second.model is model:
            tried.add(second.stand.site.id)
            nth = len(tried)
        return await self._outcome(attempt, self._waits(second.model, nth))

    def _won(self, attempt: Attempt, second: bool) -> None:
        """One of the attempts of a race answered."""
        self._account.attempt = attempt
        if second:
            self._fleet.count("hedges_won")

    def _declared(self, name: str) -> Served:
        """The model, if it may be called for this request."""
        model = self._fleet.served(name)
        if model is None:
            self._account.passed(name, "not_configured")
            raise not_configured(name, "it is no longer declared")
        self._check_able(name, model)
        return model

    def _resting(self, model: Served) -> AttemptFailed:
        self._account.passed(model.name, "resting")
        self._rested |= model.name == self._account.decision.model
        return resting(model.name, self._fleet.rest_s(model, self._monotonic()))

    def _check_able(self, name: str, model: Served) -> None:
        """Hold models that only a cause named against what the request needs; the others were, before the draw."""
        needs, site = self._needs, model.sites[0]
        if needs is None or name == self._account.decision.model:
            return
        missing = lacking(site.model, site.price, needs)
        if missing:
            self._account.passed(name, INELIGIBLE)
            raise ineligible(name, f"it lacks {missing}")

    async def _admitted(self, site: Site) -> Ticket | float:
        """Room within the site's limits, or the seconds until there may be some."""
        return await self._quotas.admit(site.rules, self._account.need(site.price), self._batch)

    async def _waited(self, failure: AttemptFailed, retries: int) -> bool:
        """Wait for a retry; False where none is worth it, allowed, or left."""
        if failure.code not in AGAIN or retries >= self._terms.retries:
            return False
        patience_s = PATIENCE_S if self.chain.last else SHORT_PATIENCE_S
        pause_s = wait_s(retries, failure.error.retry_after_s, patience_s, self._fleet.draw)
        if pause_s is None or pause_s + LEAST_LEFT_S > self._account.remaining_s():
            return False
        if not self._fleet.purse.spend():
            return False
        self._fleet.count("retries")
        await asyncio.sleep(pause_s)
        return self._goes_on()

    def _waits(self, model: Served, nth: int) -> Waits:
        """Waits of an attempt; one that has something behind it leaves time for that."""
        waits = waits_of(self._usual, self._terms.timeouts, model.timeouts)
        remaining_s = self._account.remaining_s()
        alone = self.chain.last and nth >= len(model.sites)
        limit_s = remaining_s if alone else remaining_s * self._share
        return Waits(waits.connect_s, waits.first_token_s, waits.idle_s, min(waits.attempt_s, limit_s))
