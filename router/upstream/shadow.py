"""Shadow calls: candidates answer copies of served requests in the background, and nobody waits for them.

A copy starts once the client's answer is complete. It is bounded in number, size, time and money; what does not
fit is left out and counted. Its answer is read to the end, for what it costs, and thrown away.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from router.deciding.choose import Decision
from router.engine import Engine
from router.errors import Overloaded, StoreDown, UpstreamFailed
from router.recording.pairs import Fate, Spending, pair_row, spending_today
from router.upstream.account import Account
from router.upstream.call import Call
from router.upstream.dispatch import Dispatcher
from storage.errors import StoreError
from storage.records import CallRow

AT_ONCE, MOST_WAITING = 8, 64
MOST_BYTES = 32_000_000
"""Of all requests that wait to be copied."""
PATIENCE_S = 30.0
"""Longest wait for a copy's turn."""
TRUST_S = 2.0
"""How long what the ledger said of the day's costs is believed."""
SPARE_S = 5.0
"""How much longer than its own deadline a copy may hang before it is given up as lost."""


@dataclass(slots=True)
class _Purse:
    """What this worker knows of one experiment's spending today."""

    known_usd: float = 0.0
    read_at_s: float = float("-inf")
    own: deque[tuple[float, float]] = field(default_factory=deque)
    """(time, cost) of copies that the ledger may not have told of."""
    under_way: int = 0
    dearest_usd: float = 0.0

    def expected_usd(self) -> float:
        """Spent today, with what is under way at the cost of the dearest copy so far."""
        return self.known_usd + sum(cost for _, cost in self.own) + self.under_way * self.dearest_usd

    def learn(self, told: Spending, at_s: float) -> None:
        """Take over what the ledger said of the time before `at_s`, with the copies of others that have no cost yet."""
        others = max(told.waiting - self.under_way - len(self.own), 0)
        self.known_usd = told.usd + others * max(told.usual_usd, self.dearest_usd)
        self.read_at_s = at_s
        while self.own and self.own[0][0] < at_s - TRUST_S / 2:
            self.own.popleft()


class Shadows:
    """The copies of one worker, in its event loop."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, count: Callable[[Fate], None]) -> None:
        """`count` is told of every copy's fate."""
        self._engine = engine
        self._dispatcher = dispatcher
        self._count = count
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._bytes = 0
        self._rows: dict[int, CallRow | None] = {}
        """Call rows of the copies under way."""
        self._purses: dict[int, _Purse] = {}
        dispatcher.on_end = self._ended

    async def close(self) -> None:
        """Cut the copies under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, account: Account, row: CallRow) -> None:
        """A call has ended: a copy's own, or one that may be copied.

        A client that left cut what it had asked for, and where no model was asked (a budget, a limit) nothing is to
        be compared.
        """
        if row.number in self._rows:
            self._rows[row.number] = row
        elif account.decision.copy_to and not account.left and row.attempts:
            self._offer(account.decision, account.call, row)

    def _offer(self, decision: Decision, call: Call, served: CallRow) -> None:
        size = len(call.forwarded)
        if self._waiting >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            self._count("full")
            return
        self._waiting += 1
        self._bytes += size
        task = asyncio.get_running_loop().create_task(self._take_turn(decision, call, served))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_turn(self, decision: Decision, call: Call, served: CallRow) -> None:
        """Wait for a turn, then copy."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._turns.acquire()
        except TimeoutError:
            self._count("late")
            return
        finally:
            self._waiting -= 1
            self._bytes -= len(call.forwarded)
        try:
            self._count(await self._copy(decision, call, served))
        finally:
            self._turns.release()

    async def _copy(self, decision: Decision, call: Call, served: CallRow) -> Fate:
        """Ask the candidate, if that is still wanted and paid for, and record the pair."""
        definition = self._engine.snapshot.definitions[decision.experiment_id]
        if not self._wanted(decision):
            return "ended"
        if self._engine.price(definition.candidates[decision.copy_to]) is None:
            return "unpriced"
        purse = self._purses.setdefault(decision.experiment_id, _Purse())
        limit_usd = definition.shadow_usd_per_day or 0.0
        if not await self._afforded(decision.experiment_id, purse, limit_usd):
            return "budget"
        copy = self._engine.copy(decision)
        purse.under_way += 1
        try:
            row = await self._asked(copy, call)
        finally:
            purse.under_way -= 1
        if row is None:
            return "lost"
        if row.error == "over_quota":  # the provider's limit is reached, which says nothing of the candidate
            return "limit"
        cost_usd = row.cost_usd or 0.0
        purse.own.append((asyncio.get_running_loop().time(), cost_usd))
        purse.dearest_usd = max(purse.dearest_usd, cost_usd)
        return self._record(served, row)

    def _wanted(self, decision: Decision) -> bool:
        """Whether the experiment runs on, and with this candidate."""
        route = self._engine.snapshot.tasks.get(decision.task)
        live = route.experiment if route is not None else None
        return (
            live is not None
            and live.id == decision.experiment_id
            and not live.paused
            and decision.copy_to in live.copies
        )

    async def _afforded(self, experiment_id: int, purse: _Purse, limit_usd: float) -> bool:
        """Whether the day's money is not spent, by all workers together; without the ledger nothing is spent."""
        now_s = asyncio.get_running_loop().time()
        if now_s - purse.read_at_s > TRUST_S:
            question = partial(spending_today, experiment_id=experiment_id, now_ms=self._engine.clock())
            try:
                purse.learn(await self._engine.ask_store(question), now_s)
            except StoreError:
                return False
        return purse.expected_usd() < limit_usd

    async def _asked(self, copy: Decision, call: Call) -> CallRow | None:
        """Send the copy and read its answer to the end; its call row."""
        self._rows[copy.number] = None
        try:
            async with asyncio.timeout(copy.timeout_s + SPARE_S):
                with suppress(UpstreamFailed):
                    await self._read_out(copy, call)
            return self._rows[copy.number]
        except TimeoutError:
            return None
        finally:
            del self._rows[copy.number]

    async def _read_out(self, copy: Decision, call: Call) -> None:
        if not call.stream:
            await self._dispatcher.answer(copy, call)
            return
        relay = await self._dispatcher.stream(copy, call)
        try:
            while not relay.over:
                await relay.read()
        finally:
            await relay.close()

    def _record(self, served: CallRow, row: CallRow) -> Fate:
        try:
            kept = self._engine.recorder.feedback([pair_row(served, row, self._engine.clock())])
        except (Overloaded, StoreDown):
            return "lost"
        kept.add_done_callback(lambda future: future.cancelled() or future.exception())
        return "paired"
