"""The batcher: the one process that works on the batches of a spool, round after round.

It holds the spool's lease, and the spool takes nothing from whoever held it before. Every step is written
before the next depends on it, so a batch goes on where it was after any crash.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from router.batching.batch_api import BatchApi
from router.batching.decided import Decider
from router.batching.groups import Groups, Pace
from router.batching.jsonl import index_lines
from router.batching.kept import dump_call, load_decision
from router.batching.outbox import OutboxRecorder, deliver
from router.batching.settled import expired_row
from router.batching.singles import Singles
from router.batching.written import undone_line
from router.engine import Engine
from router.errors import StoreDown
from router.upstream.dispatch import Dispatcher
from storage.errors import LeaseLost, StoreError
from storage.spool.rows import BatchRow, Ended, FileRow, LineRow, LineState
from storage.spool.shelf import KEPT_MS, Shelf
from storage.spool.spool import Spool
from storage.spool.workbench import Workbench

LEASE_MS = 10_000
DECIDED_AT_ONCE = 200
DECIDED_A_ROUND = 2_000
"""Of one batch: each round renews the lease and looks after the others."""
FORGET_S = 60.0
UNANSWERED: tuple[LineState, ...] = ("new", "single", "batched")
_log = logging.getLogger("pointsman.batches")


class Batcher:
    """Works on all open batches while it holds the lease."""

    def __init__(
        self, spool: Spool, engine: Engine, recorder: OutboxRecorder, dispatcher: Dispatcher,
        apis: Mapping[str, BatchApi], keys: Mapping[str, str], holder: str, pace: Pace,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._spool = spool
        self._shelf = Shelf(spool)
        self._engine = engine
        self._recorder = recorder
        self._holder = holder
        self._monotonic = monotonic
        decider = Decider(engine, dispatcher.fleet, keys)
        self._decider = decider
        self._groups = Groups(engine, decider, apis, keys, pace, monotonic)
        self._singles = Singles(engine, dispatcher, pace)
        self._steps: dict[str, asyncio.Task[None]] = {}
        """Steps of groups under way."""
        self._bench: Workbench | None = None
        self._forget_s = 0.0

    async def round(self) -> int:
        """One round; how many batches are open. Raises StoreError where the spool does not answer."""
        bench = await asyncio.to_thread(self._leased)
        if bench is None:
            await self.close()
            return 0
        try:
            return await self._worked(bench)
        except LeaseLost:
            await self.close()
            return 0

    async def close(self) -> None:
        """Give up what is under way; whoever holds the lease next goes on."""
        tasks = list(self._steps.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._steps.clear()
        await self._singles.close()
        self._bench = None

    def release(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        self._spool.release_lease(self._holder)

    def _leased(self) -> Workbench | None:
        lease = self._spool.acquire_lease(self._holder, self._engine.clock(), LEASE_MS)
        if lease is None:
            return None
        bench = self._bench
        if bench is None or bench.token != lease.token:
            bench = self._bench = Workbench(self._spool, lease.token)
            bench.sweep_partial(self._engine.clock())
        return bench

    async def _worked(self, bench: Workbench) -> int:
        if self._monotonic() >= self._forget_s:
            self._forget_s = self._monotonic() + FORGET_S
            await asyncio.to_thread(bench.forget, self._engine.clock(), KEPT_MS)
        batches = bench.open_batches()
        known: set[str] = set()
        for batch in batches:
            known |= {group.id for group in bench.groups(batch.id)}
            try:
                await self._step(bench, batch)
            except (LeaseLost, StoreError):
                raise
            except Exception:  # one batch must not stop the others
                _log.exception("batch %s could not be moved on", batch.id)
        self._groups.forget(known)
        try:
            await asyncio.to_thread(deliver, bench, self._recorder)
        except StoreDown as error:
            _log.warning("the ledger does not take the rows of batches: %s", error)
        return len(batches)

    async def _step(self, bench: Workbench, batch: BatchRow) -> None:
        """Move one batch on."""
        path = self._spool.path_of(batch.input_file_id)
        now_ms = self._engine.clock()
        if batch.status in ("validating", "in_progress") and now_ms >= batch.expires_at_ms:
            bench.expire(batch.id, now_ms)
        elif batch.status == "validating":
            await self._begin(bench, batch, path)
        elif batch.status == "in_progress":
            await self._go_on(bench, batch, path)
        elif batch.status == "cancelling":
            self._end_undone(bench, batch)
            self._start_groups(bench, batch, path)
            if not bench.unfinished(batch.id):
                bench.finalize(batch.id, now_ms)
        elif not bench.owes(batch.id):
            await asyncio.to_thread(self._finish, bench, batch)

    async def _begin(self, bench: Workbench, batch: BatchRow, path: Path) -> None:
        try:
            found = await asyncio.to_thread(index_lines, path, batch.id, batch.endpoint)
        except FileNotFoundError:
            bench.refuse(
                batch.id, [{"code": "file_missing", "message": "the input file is gone"}], self._now()
            )
            return
        if found.errors:
            bench.refuse(batch.id, found.errors, self._now())
        else:
            await asyncio.to_thread(bench.begin, batch.id, found.lines, self._now())

    async def _go_on(self, bench: Workbench, batch: BatchRow, path: Path) -> None:
        """Decide what is new, send what is decided, and see what has ended."""
        for _ in range(DECIDED_A_ROUND // DECIDED_AT_ONCE):
            if not (new := bench.lines(batch.id, "new", DECIDED_AT_ONCE)):
                self._groups.form(bench, batch)
                break
            ways = await self._decider.decide(batch, path, new)
            bench.decided(ways.decided)
            bench.end(batch.id, ways.refused)
        self._start_groups(bench, batch, path)
        self._singles.start(bench, batch, path)
        if not bench.unfinished(batch.id):
            bench.finalize(batch.id, self._now())

    def _start_groups(self, bench: Workbench, batch: BatchRow, path: Path) -> None:
        """One step of each group that is not under way."""
        groups = bench.groups(batch.id)
        known = frozenset(group.upstream_id for group in groups if group.upstream_id)
        for group in groups:
            task = self._steps.get(group.id)
            if task is None or task.done():
                self._steps[group.id] = asyncio.create_task(
                    self._group_step(bench, batch, group.id, path, known)
                )

    async def _group_step(
        self, bench: Workbench, batch: BatchRow, group_id: str, path: Path, known: frozenset[str]
    ) -> None:  # fmt: skip
        try:
            for group in bench.groups(batch.id):
                if group.id == group_id:
                    await self._groups.step(bench, batch, group, path, known)
        except LeaseLost:
            _log.warning("group %s: another process works on it now", group_id)
        except Exception:
            _log.exception("group %s could not be moved on", group_id)
        finally:
            self._steps.pop(group_id, None)

    def _end_undone(self, bench: Workbench, batch: BatchRow) -> None:
        """What is in nobody's hands any more ends without an answer."""
        code = "batch_expired" if batch.ends_as == "expired" else "batch_cancelled"
        for state in UNANSWERED:
            skipped = self._singles.running(batch.id)
            while lines := bench.lines(batch.id, state, DECIDED_AT_ONCE + skipped):
                left = [line for line in lines if not self._singles.runs(batch.id, line.number)]
                if not left:
                    break
                bench.end(batch.id, [self._undone(line, code) for line in left])

    def _undone(self, line: LineRow, code: str) -> Ended:
        """Expired, the assigned candidate is charged with it; cancelled, nobody is."""
        charged = code == "batch_expired" and line.decision
        row = dump_call(expired_row(load_decision(line.decision), self._now())) if charged else ""
        return Ended(line.number, "failed", undone_line(line, code), row)

    def _finish(self, bench: Workbench, batch: BatchRow) -> None:
        """Write the files, then close; begun again after a crash it writes them anew."""
        output = self._written(bench, batch, "done", "output")
        errors = self._written(bench, batch, "failed", "error")
        bench.close(batch, output, errors, self._now())
        _log.info(
            "batch %s is %s: %d answered, %d not", batch.id, batch.ends_as, batch.completed, batch.failed
        )

    def _written(self, bench: Workbench, batch: BatchRow, state: LineState, kind: str) -> FileRow | None:
        """A file with all lines in a state; None where there are none."""
        work = self._spool.folder / f"work-{batch.id}-{kind}"
        with work.open("wb") as file:
            for line in bench.results(batch.id, state):
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        work.chmod(0o600)
        if not work.stat().st_size:
            work.unlink()
            return None
        return self._shelf.shelve(work, batch.owner, "batch_output", f"{batch.id}_{kind}.jsonl", self._now())

    def _now(self) -> int:
        return self._engine.clock()
