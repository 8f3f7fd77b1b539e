"""Singles: lines that are run one by one, as requests of latency class `batch`, a bounded number at a time.

A line is in nobody's hands but this process's while it runs: after a crash it is run again, under the same
decision. What came back is recorded once. A model that has no room now is asked again later, as long as the
window of the batch is open.
"""

import asyncio
import logging
from pathlib import Path

from router.batching.asked import read_asked
from router.batching.groups import Pace
from router.batching.jsonl import read_line
from router.batching.kept import dump_call, load_decision
from router.batching.written import answer_line, error_body, error_line
from router.deciding.choose import Decision
from router.engine import Engine
from router.errors import PointsmanError, UpstreamFailed
from router.upstream.account import Account
from router.upstream.call import Call
from router.upstream.dispatch import Dispatcher
from storage.records import CallRow
from storage.spool.rows import BatchRow, Ended, LineRow
from storage.spool.workbench import Workbench

MOST_TRIES = 50
NO_ROOM = (429, 503)
"""Statuses of a model that may have room later."""
FIRST_WAIT_MS, LONGEST_WAIT_MS = 5_000, 600_000
_log = logging.getLogger("pointsman.batches")


class Singles:
    """Lines under way in this process."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, pace: Pace) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._at_once = pace.at_once
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._models: dict[str, int] = {}
        """How many lines of each decided model are under way."""
        self._rows: dict[int, CallRow] = {}
        dispatcher.on_end = self._ended

    def runs(self, batch_id: str, number: int) -> bool:
        """Whether a line is under way."""
        return (batch_id, number) in self._running

    def running(self, batch_id: str) -> int:
        """Lines of a batch that are under way."""
        return sum(each == batch_id for each, _ in self._running)

    def start(self, bench: Workbench, batch: BatchRow, path: Path) -> None:
        """Begin lines as far as there is room for their models."""
        limit = 4 * self._at_once + len(self._running)
        for line in bench.lines(batch.id, "single", limit, self._engine.clock()):
            if self.runs(batch.id, line.number):
                continue
            decision = load_decision(line.decision)
            if self._models.get(decision.model, 0) >= self._at_once:
                continue
            self._models[decision.model] = self._models.get(decision.model, 0) + 1
            task = asyncio.create_task(self._run(bench, batch, path, line, decision))
            self._running[batch.id, line.number] = task

    async def close(self) -> None:
        """Give up what is under way; it is run again by whoever goes on."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, bench: Workbench, batch: BatchRow, path: Path, line: LineRow, decision: Decision
    ) -> None:  # fmt: skip
        kept = False
        try:
            ended = await self._answered(batch, path, line, decision)
            if ended is None:
                wait_ms = min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** min(line.tries, 10))
                bench.put_back(batch.id, line.number, self._engine.clock() + wait_ms)
            else:
                bench.end(batch.id, [ended])
            kept = True
        except Exception:
            _log.exception("line %d of %s could not be run; it is run again", line.number, batch.id)
        finally:
            del self._running[batch.id, line.number]
            self._models[decision.model] -= 1
            self._rows.pop(decision.number, None)
        if kept and bench.goes_on(batch.id):  # the next line need not wait for the next round
            self.start(bench, batch, path)

    async def _answered(self, batch: BatchRow, path: Path, line: LineRow, decision: Decision) -> Ended | None:
        """How the line ended; None where it is worth trying again later."""
        try:
            answer = await self._dispatcher.answer(decision, self._call(batch, path, line))
        except UpstreamFailed as error:
            if error.status in NO_ROOM and line.tries < MOST_TRIES:
                return None
            return self._failed(line, decision, error)
        except PointsmanError as error:
            return self._failed(line, decision, error)
        return Ended(line.number, "done", answer_line(line, decision.id, answer.body), self._row(decision))

    def _failed(self, line: LineRow, decision: Decision, error: PointsmanError) -> Ended:
        return Ended(
            line.number, "failed", error_line(line, decision.id, *error_body(error)), self._row(decision)
        )

    def _row(self, decision: Decision) -> str:
        row = self._rows.get(decision.number)
        return "" if row is None else dump_call(row)

    def _call(self, batch: BatchRow, path: Path, line: LineRow) -> Call:
        return read_asked(read_line(path, line)["body"], batch.endpoint, self._engine.snapshot)

    def _ended(self, _account: Account, row: CallRow) -> None:
        self._rows[row.number] = row
