"""A batcher for tests: real spool, engine, dispatcher and courier over upstreams of the test, one round at a time."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.applying.plan import seed
from router.batching.anthropic_batches import AnthropicBatches
from router.batching.batcher import Batcher
from router.batching.groups import Pace
from router.batching.openai_batches import OpenAIBatches
from router.batching.outbox import OutboxRecorder
from router.config.document import Document
from router.engine import Engine
from router.transport.aiohttp_courier import AiohttpCourier
from router.transport.aiohttp_transport import AiohttpTransport
from router.upstream.dispatch import Dispatcher
from storage.memory.store import MemoryStore
from storage.spool.rows import BatchRow
from storage.spool.shelf import Shelf
from storage.spool.spool import Spool
from tests.servers.house import SIGNER

DAY_MS = 86_400_000
CHAT = "/v1/chat/completions"
OWNER = "key:one"
Json = dict[str, Any]


def question(place: int, model: str = "auto", **body: Any) -> Json:
    """One line."""
    asked = {"model": model, "messages": [{"role": "user", "content": f"question {place}"}], **body}
    return {"custom_id": f"line-{place}", "method": "POST", "url": CHAT, "body": asked}


class Works:
    """A spool and whoever works on it; `restart` is a crash."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.store = MemoryStore()
        seed(self.store, Document.model_validate(config), lambda: 1_800_000_000_000, "test")
        self.spool = Spool(folder / "batches")
        self.shelf = Shelf(self.spool)
        self.now_ms = 1_800_000_000_000
        self._folder = folder
        self._holders = 0
        self.pace = Pace(poll_s=0.0, settle_s=0.2, at_once=4)

    def submit(self, lines: Sequence[Json] | bytes, endpoint: str = CHAT) -> str:
        """A batch of these lines, or of these bytes; its id."""
        content = (
            lines
            if isinstance(lines, bytes)
            else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        )
        path = self.shelf.temporary()
        path.write_bytes(content)
        file = self.shelf.add_file(path, OWNER, "batch", "input.jsonl", self.now_ms)
        return self.shelf.add_batch(OWNER, endpoint, file.id, {}, self.now_ms, DAY_MS).id

    def batch(self, batch_id: str) -> BatchRow:
        """A batch as it stands."""
        row = self.shelf.batch(OWNER, batch_id)
        assert row is not None
        return row

    def lines_of(self, file_id: str | None) -> list[Json]:
        """The lines of a file; none where there is no file."""
        if file_id is None:
            return []
        return [json.loads(line) for line in self.spool.path_of(file_id).read_bytes().splitlines()]

    def run(self, work: Callable[["Crew"], Coroutine[Any, Any, Any]]) -> Any:
        """A batcher from its start to its crash, with a story in between."""
        self._holders += 1

        async def story() -> Any:
            crew = Crew(self, f"holder {self._holders}")
            try:
                return await work(crew)
            finally:
                await crew.crash()

        return asyncio.run(story())

    def finish(self, batch_id: str, each_round: Callable[[], object] = lambda: None) -> BatchRow:
        """Work until the batch has ended."""

        async def to_the_end(crew: "Crew") -> None:
            await crew.until(lambda: self.batch(batch_id).status in ENDED, each_round)

        self.run(to_the_end)
        return self.batch(batch_id)

    def rows(self, kind: str) -> list[Json]:
        """Rows of the ledger."""
        return list(self.store.export(kind))

    def close(self) -> None:
        """Close the spool."""
        self.spool.close()


ENDED = ("completed", "failed", "expired", "cancelled")


class Crew:
    """One process's batcher."""

    def __init__(self, works: Works, holder: str) -> None:
        self._works = works
        clock = lambda: works.now_ms  # noqa: E731  # read anew each time
        self.engine = Engine(works.store, SIGNER, clock=clock, follow=False)
        self.recorder = OutboxRecorder(works.store, clock)
        self.engine.recorder = self.recorder
        self._transport, self._courier = AiohttpTransport(), AiohttpCourier()
        self.keys = keys = dict.fromkeys(self.engine.snapshot.models, "sk-upstream-0123456789")
        self.dispatcher = Dispatcher(self.engine, self._transport, keys)
        self.batcher = Batcher(
            works.spool, self.engine, self.recorder, self.dispatcher,
            {"openai": OpenAIBatches(self._courier), "anthropic": AnthropicBatches(self._courier)},
            keys, holder, works.pace,
        )  # fmt: skip

    async def until(
        self, happened: Callable[[], bool], each_round: Callable[[], object] = lambda: None
    ) -> None:
        """Round after round; time goes on by a tenth of a second with each."""
        async with asyncio.timeout(30):
            while not happened():
                self.engine.refresh()
                await self.batcher.round()
                each_round()
                self._works.now_ms += 100
                await asyncio.sleep(0.02)

    async def crash(self) -> None:
        """End without a goodbye: the lease stays until its time is over."""
        await self.batcher.close()
        await self._transport.close()
        await self._courier.close()
        self.engine.close()
        self._works.now_ms += 10_001
