"""Quotas: limits and budgets that all workers of a store share.

Each worker leases slices of an allowance from the store and spends them by itself, so the slices together
never exceed it, and a request waits for the store once in two hundred only. Tokens and money are known after
an answer: they are reserved by an estimate, and the difference is settled then. What requests under way use
beyond their estimates is the most by which a limit can be passed; it is taken off the next slice. While the
store does not answer, traffic flows, is not made to wait for it again for a while, and what it used is taken
off later in the same period: of a minute that is over no limit says anything.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ulp
from typing import Literal, NamedTuple

from router.clock import Clock
from router.config.availability import Budget, Limits
from storage.errors import StoreError
from storage.store import Store

MINUTE_MS, DAY_MS = 60_000, 86_400_000
SLICE = 1 / 200
"""Part of an allowance that a worker leases at once."""
LEASE_S = 0.25
"""Longest wait for the store."""
DRY_MS = 1_000
"""How long a worker believes that nothing is left before it asks again."""
BLIND_MS = 1_000
"""How long a store that did not answer is left alone; requests would wait for it one after another."""
AHEAD = 1 / 24
"""Part of a budget that pacing lets be spent before its time."""
Unit = Literal["attempts", "tokens", "usd"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit."""

    name: str
    """By which all workers know it."""
    unit: Unit
    span_ms: int
    most: float
    paced: bool = False
    reserve: float = 0.0
    """Part of it that batch requests leave to the others."""

    def for_batch(self) -> "Rule":
        """The same for batch requests.

        >>> Rule("model:a:rpm", "attempts", MINUTE_MS, 60.0, reserve=0.1).for_batch().most
        54.0
        """
        return replace(self, most=self.most * (1 - self.reserve))

    def most_at(self, now_ms: int) -> float:
        """What may have been given out by now.

        >>> Rule("budget:a", "usd", DAY_MS, 24.0, paced=True).most_at(DAY_MS + DAY_MS // 2)
        13.0
        """
        if not self.paced:
            return self.most
        return self.most * min(1.0, now_ms % self.span_ms / self.span_ms + AHEAD)


class Need(NamedTuple):
    """What an attempt is expected to use, or has used."""

    tokens: float
    usd: float
    attempts: float = 1.0

    def of(self, unit: Unit) -> float:
        """The amount in one unit."""
        amount: float = getattr(self, unit)
        return amount


NOTHING = Need(0.0, 0.0)
"""What an attempt used that reached nobody: it is an attempt all the same."""
UNUSED = Need(0.0, 0.0, 0.0)
"""Of what was reserved and did not begin."""


def limit_rules(owner: str, limits: Limits | None) -> tuple[Rule, ...]:
    """The rules of a model's or a deployment's limits."""
    if limits is None:
        return ()
    stated: tuple[tuple[str, Unit, int, float | None], ...] = (
        ("rpm", "attempts", MINUTE_MS, limits.rpm),
        ("tpm", "tokens", MINUTE_MS, limits.tpm),
        ("tokens_per_day", "tokens", DAY_MS, limits.tokens_per_day),
        ("usd_per_day", "usd", DAY_MS, limits.usd_per_day),
    )
    return tuple(
        Rule(f"{owner}:{name}", unit, span, most, reserve=limits.reserve)
        for name, unit, span, most in stated
        if most is not None
    )


def budget_rule(task: str, budget: Budget) -> Rule:
    """The rule of a task's budget."""
    return Rule(f"budget:{task}", "usd", DAY_MS, budget.usd_per_day, budget.pacing)


class _Held:
    """What one worker holds of one allowance."""

    __slots__ = ("blind_until_ms", "dry_until_ms", "left", "lock", "period", "unasked")

    def __init__(self) -> None:
        self.left = 0.0
        """Leased and not spent; a debt where it is negative."""
        self.period = -1
        self.dry_until_ms = 0
        self.blind_until_ms = 0
        self.unasked = 0.0
        """Spent in this period without the store's word."""
        self.lock = asyncio.Lock()

    def spend(self, rule: Rule, amount: float, now_ms: int) -> bool:
        """Spend from what is at hand; what was leased for a period that is over is gone, a debt stays.

        What was spent without the store's word is no such debt: after an hour's outage it would be one of hours.
        """
        period = now_ms // rule.span_ms
        if period != self.period:
            self.period, self.left, self.dry_until_ms = period, min(0.0, self.left + self.unasked), 0
            self.unasked = 0.0
        if self.left < amount:
            return now_ms < self.blind_until_ms and self.spend_unasked(amount)
        self.left -= amount
        return True

    def spend_unasked(self, amount: float) -> bool:
        """Spend what the store could not be asked for."""
        self.left -= amount
        self.unasked += amount
        return True


class Ticket:
    """What was reserved for one attempt or request."""

    __slots__ = ("_need", "_parts")

    def __init__(self, need: Need) -> None:
        self._need = need
        self._parts: list[tuple[_Held, Unit, int]] = []

    def took(self, held: _Held, unit: Unit) -> None:
        """A part of it is reserved."""
        self._parts.append((held, unit, held.period))

    def settle(self, used: Need) -> None:
        """Replace the estimate by what was used; nothing comes back for a period that is over."""
        for held, unit, period in self._parts:
            over = used.of(unit) - self._need.of(unit)
            held.left -= over if held.period == period else max(0.0, over)
        self._parts.clear()


def _missing(left: float, amount: float, unit: Unit) -> float:
    """What must be leased for `amount`. Dollars are no whole numbers: rounded down, the sum would fall short of it.

    >>> left = -0.00152
    >>> left + _missing(left, 0.00008, "usd") >= 0.00008 > left + (0.00008 - left)
    True
    """
    rounding = 2 * ulp(max(abs(left), amount)) if unit == "usd" else 0.0
    return amount - left + rounding


class Quotas:
    """The limits of one worker, over the store that all share."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held: dict[tuple[str, bool], _Held] = {}

    async def admit(self, rules: Sequence[Rule], need: Need, batch: bool = False) -> Ticket | float:
        """A ticket, or the seconds until it is worth asking again.

        Batch requests lease slices of their own: from what others leased they could take what is kept for these.
        """
        ticket = Ticket(need)
        for stated in rules:
            apart = batch and stated.reserve > 0
            rule = stated.for_batch() if apart else stated
            held = self._held.setdefault((rule.name, apart), _Held())
            try:
                spent = await self._spent(held, rule, need.of(rule.unit))
            except asyncio.CancelledError:  # the client left: what the rules before gave comes back
                ticket.settle(Need(0, 0, 0))
                raise
            if not spent:
                ticket.settle(Need(0, 0, 0))
                return self._wait_s(rule)
            ticket.took(held, rule.unit)
        return ticket

    async def _spent(self, held: _Held, rule: Rule, amount: float) -> bool:
        now_ms = self._clock()
        if held.spend(rule, amount, now_ms):
            return True
        if now_ms < held.dry_until_ms:
            return False
        async with held.lock:
            if held.spend(rule, amount, now_ms):  # another request leased meanwhile
                return True
            wanted = max(_missing(held.left, amount, rule.unit), rule.most * SLICE)
            taking = asyncio.to_thread(
                self._store.take_allowance, rule.name, held.period, wanted, rule.most_at(now_ms)
            )
            try:
                held.left += await asyncio.wait_for(taking, LEASE_S)
            except (StoreError, TimeoutError):
                held.blind_until_ms = self._clock() + BLIND_MS
                return held.spend_unasked(amount)
            if held.spend(rule, amount, now_ms):
                return True
            held.dry_until_ms = now_ms + DRY_MS
            return False

    def _wait_s(self, rule: Rule) -> float:
        """Until the period is over; of a day nobody waits for more than an hour before asking again."""
        left_ms = rule.span_ms - self._clock() % rule.span_ms
        return min(60.0 if rule.paced else 3_600.0, left_ms / 1e3)
