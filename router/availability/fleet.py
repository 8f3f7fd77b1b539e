"""The fleet: all sites of a configuration, and how each of them does as this worker sees it.

What is known of a site stays while its name and address stay, over every change of the configuration. It is
kept in memory: each worker learns for itself, from its own requests, which sites are down.
"""

from collections.abc import Collection
from secrets import SystemRandom
from typing import Literal, get_args

from router.availability.balancing import UNKNOWN_USD, Stand, picked, usual_usd
from router.availability.health import Draw, Health
from router.availability.hedging import HedgePurse
from router.availability.quotas import NOTHING, Need, Ticket
from router.availability.retrying import RetryPurse
from router.availability.sites import Served, Site, served
from router.availability.terms import Terms, terms_of
from router.config.availability import Cooldown, Usual
from router.deciding.snapshot import Snapshot

Kind = Literal[
    "retries", "moves", "fallbacks", "pauses", "over_quota", "over_budget", "shed", "hedges", "hedges_won", "queued",
    "queue_full", "queue_expired",
]  # fmt: skip
"""What is counted: retries at a model, moves to another deployment, fallbacks to another model, pauses begun,
models passed over for a quota, requests that found a budget spent, requests refused because too many ran, second
attempts beside slow ones, those of them that answered first, batch requests that waited at a limit, found the line
full, or waited in vain."""
NOT_THEIR_FAULT = frozenset(
    {
        "not_configured",
        "ineligible",
        "upstream_refused",
        "context_overflow",
        "content_refused",
        "internal_error",
    }
)
"""Failures that say nothing about a site's health."""


class Visit:
    """One attempt at one site, from its start to its end."""

    __slots__ = ("_fleet", "_stand", "_ticket", "_used", "began_s", "site", "streamed")

    def __init__(
        self, fleet: "Fleet", stand: Stand, began_s: float, streamed: bool, ticket: Ticket | None = None
    ) -> None:
        self._ticket = ticket
        self._used = NOTHING
        self.site = stand.site
        self.began_s = began_s
        self.streamed = streamed
        self._stand = stand
        self._fleet = fleet
        stand.health.begin(self)

    def answered(self, now_s: float) -> None:
        """The answer, or its first piece, is there."""
        self._stand.health.answered(now_s, now_s - self.began_s, self.streamed)

    def failed(self, code: str, now_s: float, retry_after_s: float | None = None) -> None:
        """It gave no answer."""
        if code not in NOT_THEIR_FAULT:
            self._fleet.blame(self._stand.health, now_s, retry_after_s)

    def outrun(self, now_s: float) -> None:
        """An attempt beside it answered first."""
        self._stand.health.outrun(now_s - self.began_s, self.streamed)

    def used(self, tokens: int, usd: float | None) -> None:
        """What it used, as far as it is known."""
        self._used = Need(tokens, usd or 0.0)

    def end(self) -> None:
        """It is over."""
        self._stand.health.end(self)
        if self._ticket is not None:
            self._ticket.settle(self._used)


class Fleet:
    """Sites of one worker; used from one event loop."""

    def __init__(self, draw: Draw | None = None) -> None:
        self.draw = draw or SystemRandom().random
        self.purse = RetryPurse()
        self._hedges: dict[str, HedgePurse] = {}
        self.counts: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
        self._snapshot: Snapshot | None = None
        self._served: dict[str, Served] = {}
        self._stands: dict[str, tuple[Stand, ...]] = {}
        self._terms: dict[str, Terms] = {}
        self._health: dict[tuple[str, str], Health] = {}
        self._turns: dict[str, int] = {}
        self._rule = Cooldown()

    def follow(self, snapshot: Snapshot) -> None:
        """Take over a configuration; what is not in it any more is forgotten."""
        if snapshot is self._snapshot:
            return
        self._snapshot = snapshot
        self._served, self._stands, self._terms = {}, {}, {}
        self._rule = snapshot.document.cooldown
        self._hedges = {task: purse for task, purse in self._hedges.items() if task in snapshot.tasks}
        self._turns = {name: turn for name, turn in self._turns.items() if name in snapshot.models}
        places = {name.partition("#")[0] for name, _ in self._health} & snapshot.models.keys()
        self._health = {
            place: health for place, health in self._health.items() if place[0].partition("#")[0] in places
        }

    def served(self, name: str) -> Served | None:
        """A model and its sites, or None if it is not declared."""
        found = self._served.get(name)
        if (
            found is None
            and self._snapshot is not None
            and (model := self._snapshot.models.get(name)) is not None
        ):
            found = self._served[name] = served(name, model)
            self._stands[name] = tuple(Stand(site, self._health_of(site)) for site in found.sites)
        return found

    def places(self, site: Site) -> bool:
        """Whether the configuration has this site still at its address, with the same key."""
        model = self.served(site.name)
        return model is not None and any(
            each is site
            or (each.id, each.model.base_url, each.model.api_key_env, each.model.secrets_env)
            == (site.id, site.model.base_url, site.model.api_key_env, site.model.secrets_env)
            for each in model.sites
        )

    def terms(self, task: str) -> Terms:
        """What a task asks of availability."""
        found = self._terms.get(task)
        if found is None:
            assert self._snapshot is not None
            found = self._terms[task] = terms_of(task, self._snapshot.document)
        return found

    def hedge_purse(self, task: str) -> HedgePurse:
        """The second attempts that a task has left."""
        return self._hedges.setdefault(task, HedgePurse())

    def usual_s(self, site: Site, usual: Usual, streamed: bool) -> float | None:
        """The time within which so many of a site's answers came of late; None while too few are known."""
        return self._health_of(site).within_s(usual, streamed)

    def pick(
        self, model: Served, left_out: Collection[str], now_s: float, streamed: bool, forced: bool = False
    ) -> Stand | None:
        """The site for the next attempt; None if all others rest, unless one is `forced`."""
        stands = self._stands[model.name]
        if len(stands) == 1 and not left_out and stands[0].health.open(now_s):
            return stands[0]
        able = [
            stand
            for stand in stands
            if stand.site.id not in left_out and (forced or stand.health.open(now_s))
        ]
        if not able:
            return None
        turn = self._turns.get(model.name, -1) + (not left_out)
        self._turns[model.name] = turn
        return picked(able, model.balance, turn, streamed, self.draw)

    def visit(self, stand: Stand, now_s: float, streamed: bool, ticket: Ticket | None = None) -> Visit:
        """Begin an attempt."""
        return Visit(self, stand, now_s, streamed, ticket)

    def cheapness(self, name: str) -> float:
        """What a usual answer of a model costs at its cheapest site; unknown prices come last."""
        model = self.served(name)
        return min((usual_usd(site) for site in model.sites), default=UNKNOWN_USD) if model else UNKNOWN_USD

    def rest_s(self, model: Served, now_s: float) -> float:
        """Seconds until the first site of a model may be probed."""
        return max(0.0, min(stand.health.resting_until_s for stand in self._stands[model.name]) - now_s)

    def blame(self, health: Health, now_s: float, retry_after_s: float | None) -> None:
        """Note a failure of a site."""
        if health.failed(now_s, self._rule, self.draw, retry_after_s):
            self.counts["pauses"] += 1

    def count(self, kind: Kind) -> None:
        """Something happened that is counted."""
        self.counts[kind] += 1

    def _health_of(self, site: Site) -> Health:
        return self._health.setdefault((site.id, site.model.base_url), Health())
