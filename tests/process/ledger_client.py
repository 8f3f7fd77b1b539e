"""A client that writes down what was acknowledged: one fsynced line per outcome, in a file of its own."""

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ACK = "a"
SENT = "s"


@dataclass
class LedgerClient:
    """Routes and reports in parallel; every line it fsyncs is `kind id value`, in the order of sending per id."""

    url: str
    path: Path
    seed: int
    known: dict[str, float] = field(default_factory=dict)
    """Last acknowledged value by decision id."""
    doubtful: dict[str, set[float]] = field(default_factory=dict)
    """Values sent since the last acknowledged one and not answered, by decision id: one of them may count."""
    states: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def run(self, seconds: float, workers: int = 16) -> None:
        """Load for a while; connection errors are what this test is made of."""
        until = asyncio.get_running_loop().time() + seconds
        connector = aiohttp.TCPConnector(limit=workers * 2)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=3)
        ) as session:
            await asyncio.gather(*(self._work(session, until) for _ in range(workers)))

    async def _work(self, session: aiohttp.ClientSession, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            try:
                await self._one(session)
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                await asyncio.sleep(0.02)

    async def _one(self, session: aiohttp.ClientSession) -> None:
        """A new outcome, or one in four times an older one again: a duplicate or a changed value."""
        value = float(self._random.random() < 0.6)
        if self.known and self._random.random() < 0.25:
            decision_id = self._random.choice(list(self.known))
            before = self.known.pop(decision_id)  # nobody else reports it meanwhile, so the order is known
            try:
                await self._report(session, decision_id, value)
            finally:
                self.known.setdefault(decision_id, before)
            return
        async with session.post(f"{self.url}/v1/route", json={"task": "support"}) as answer:
            if answer.status != 200:
                raise aiohttp.ClientError(f"status {answer.status}")
            decision_id = (await answer.json())["decision_id"]
        await self._report(session, decision_id, value)

    async def _report(self, session: aiohttp.ClientSession, decision_id: str, value: float) -> None:
        self.doubtful.setdefault(decision_id, set()).add(value)
        body = {"decision_id": decision_id, "value": value, "cost_usd": 0.001}
        async with session.post(f"{self.url}/v1/feedback", json=body) as answer:
            if answer.status != 202:
                raise aiohttp.ClientError(f"status {answer.status}")
            state = (await answer.json())["state"]
        os.write(self._file, f"{decision_id} {value}\n".encode())
        os.fsync(self._file)
        self.known[decision_id] = value
        self.doubtful[decision_id].clear()
        self.states[state] = self.states.get(state, 0) + 1
        self.acknowledged += 1
