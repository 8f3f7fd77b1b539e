"""The part of a limit that batch work leaves to whoever cannot wait."""

import asyncio

from router.availability.quotas import MINUTE_MS, Need, Quotas, Rule, Ticket
from storage.memory.store import MemoryStore
from tests.router.pursuing import Servers
from tests.router.waiters import NOON_MS, QUEUE, Waiters

UPSTREAMS = ("big", "small")


def test_the_reserve_is_kept_for_interactive_requests(servers: Servers) -> None:
    """Of ten a minute seven are for batch work, and the last three for whoever cannot wait."""
    waiters = Waiters(servers, {"limits": {"rpm": 10, "reserve": 0.3}}, queue=QUEUE)

    async def story() -> list[str]:
        batch = [waiters.ask(f"batch {place}") for place in range(9)]
        await waiters.in_line(2)
        models = [(await waiters.ask("now", batch=False)).model for _ in range(4)]
        waiters.next_minute()
        await asyncio.gather(*batch)
        return models

    assert waiters.run(story()) == ["big", "big", "big", "small"]
    assert len(servers["big"].requests) == 12


def test_interactive_requests_may_use_all_that_batch_work_left(servers: Servers) -> None:
    """The reserve is a floor for them, no ceiling."""
    waiters = Waiters(
        servers, {"limits": {"rpm": 4, "reserve": 0.5}}, queue={"wait_s": 0.2}, fallbacks=["small"]
    )

    async def story() -> list[str]:
        models = [(await waiters.ask(batch=False)).model for _ in range(3)]
        return [*models, (await waiters.ask()).model, (await waiters.ask(batch=False)).model]

    assert waiters.run(story()) == ["big", "big", "big", "small", "big"]


def test_the_reserve_holds_over_all_workers() -> None:
    """Whatever slices two workers leased, batch work gets no more than its part."""
    store = MemoryStore()
    workers = [Quotas(store, lambda: NOON_MS) for _ in range(2)]
    rule = Rule("model:big:rpm", "attempts", MINUTE_MS, 1_000.0, reserve=0.25)

    async def many(quotas: Quotas, batch: bool, times: int) -> int:
        return sum([isinstance(await quotas.admit([rule], Need(1, 0), batch), Ticket) for _ in range(times)])

    async def both() -> list[int]:
        batch = await asyncio.gather(*(many(quotas, True, 600) for quotas in workers))
        rest = await asyncio.gather(*(many(quotas, False, 300) for quotas in workers))
        return [sum(batch), sum(rest)]

    batch, rest = asyncio.run(both())
    assert batch == 750
    assert 240 <= rest <= 250, "slices of five that a worker did not use up may be lost"
