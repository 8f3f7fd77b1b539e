"""Groups: lines of one batch that travel through an upstream's batch API together.

An upstream's batch is made once. The intention is written before the upstream is asked, and whoever finds an
intention without a result - after a crash, or a question that was not answered - looks there for a batch that
carries the group's name before asking again. A group that comes to nothing, or leaves lines unanswered, is
dissolved: its lines are run one by one.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from router.batching.asked import read_asked
from router.batching.batch_api import Asked, BatchApi, BatchApiError, Look, Place, Result
from router.batching.decided import Decider, endpoint_of
from router.batching.jsonl import read_line
from router.batching.kept import load_decision
from router.batching.settled import settle
from router.engine import Engine
from router.errors import InvalidRequest
from router.upstream.call import Call
from router.upstream.dialects.spoken import exchange_of
from router.upstream.exchange import Untranslatable
from storage.spool.rows import BatchRow, Ended, GroupRow, LineRow
from storage.spool.workbench import Workbench

MOST_TRIES = 5
"""Times that an upstream is asked to make a batch before its lines are run one by one."""
WRITTEN_AT_ONCE = 100
_log = logging.getLogger("pointsman.batches")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, and how many at a time."""

    round_s: float = 0.5
    poll_s: float = 30.0
    """Between two looks at an upstream's batch."""
    settle_s: float = 10.0
    """Time after which an upstream that was asked must show what came of it."""
    at_once: int = 8
    """Lines of one model that are run by themselves at a time."""
    stop_s: float = 3_600.0
    """How long an upstream's batch that was told to stop is waited for."""


class Groups:
    """Moves groups on; each on its own, one step at a time."""

    def __init__(
        self, engine: Engine, decider: Decider, apis: Mapping[str, BatchApi], keys: Mapping[str, str],
        pace: Pace, monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._decider = decider
        self._apis = apis
        self._keys = keys
        self._pace = pace
        self._monotonic = monotonic
        self._next_s: dict[str, float] = {}
        """When a group is due for its next look."""

    def form(self, bench: Workbench, batch: BatchRow) -> None:
        """Put the lines that wait together; one group for each site, more where an upstream takes no more at once."""
        while sites := bench.waiting_sites(batch.id):
            for site_id in sites:
                model = site_id.partition("#")[0]
                site = self._decider.site_of(model, site_id)
                url = "" if site is None else site.model.base_url
                api = self._apis["openai" if site is None else site.model.dialect]
                bench.group(batch.id, model, site_id, url, api.most_lines, api.most_bytes)

    async def step(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, known: frozenset[str]
    ) -> None:
        """One step of one group, if it is due."""
        if self._monotonic() < self._next_s.get(group.id, 0.0):
            return
        place = self._place(batch, group)
        if place is None:
            _log.warning("group %s: its model has moved; its lines are run one by one", group.id)
            bench.dissolve(group.id)
            return
        self._next_s[group.id] = self._monotonic() + self._pace.poll_s
        if place.key is None and place.site.model.api_key_env is not None:
            self._keyless(bench, batch, group)
            return
        try:
            await self._advance(bench, batch, group, path, place, known)
        except BatchApiError as error:
            self._troubled(bench, group, error)

    def forget(self, group_ids: set[str]) -> None:
        """Only these groups are left."""
        self._next_s = {group_id: due for group_id, due in self._next_s.items() if group_id in group_ids}

    async def _advance(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place, known: frozenset[str]
    ) -> None:  # fmt: skip
        ending = batch.status == "cancelling"
        if group.state == "prepared":
            if ending:
                bench.dissolve(group.id)
            else:
                await self._send(bench, batch, group, path, place)
        elif group.state == "creating":
            await self._recover(bench, batch, group, path, place, known)
        else:
            if ending and not group.cancelled:
                await self._api(place).cancel(place, group.upstream_id)
                bench.cancelled_group(group.id)
                self._next_s.pop(group.id, None)
            await self._look(bench, batch, group, path, place)

    async def _send(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place
    ) -> None:
        """Write the intention, then ask."""
        work = bench.spool.folder / f"work-{group.id}"
        await asyncio.to_thread(self._write, bench, batch, group, path, place, work)
        if not bench.group_lines(group.id):
            bench.dissolve(group.id)
            return
        bench.move_group(group.id, "creating", asked_at_ms=self._engine.clock(), tried=True)
        try:
            upstream_id = await self._api(place).send(place, group, work)
        except BatchApiError as error:
            self._unsent(bench, group, error)
            return
        finally:
            work.unlink(missing_ok=True)
        bench.move_group(group.id, "submitted", upstream_id, self._engine.clock())
        _log.info("group %s: %d lines went to %s as one batch", group.id, group.lines, group.site)

    def _write(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place, work: Path
    ) -> None:  # fmt: skip
        """The requests as the upstream wants them; a line that cannot be said any more is run by itself."""

        def asked() -> Iterator[Asked]:
            site = place.site
            for line in bench.group_lines(group.id):
                try:
                    body = place.exchange.body(
                        self._call(batch, path, line), site.model.model or site.name, site.model
                    )
                except (Untranslatable, InvalidRequest):  # the configuration has changed
                    bench.put_back(batch.id, line.number, 0)
                    continue
                yield Asked(f"{group.id}-{line.number}", body)

        self._api(place).write(work, asked(), place.url)

    async def _recover(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place, known: frozenset[str]
    ) -> None:  # fmt: skip
        """Nobody knows whether the upstream made the batch: look, and ask again only when it surely did not."""
        try:
            upstream_id = await self._api(place).find(place, group, known)
        except BatchApiError:
            if batch.status == "cancelling":  # it stays unknown, and nothing is sent again
                bench.dissolve(group.id)
                return
            raise
        if upstream_id is not None:
            bench.move_group(group.id, "submitted", upstream_id, self._engine.clock())
            self._next_s.pop(group.id, None)
            return
        left_s = group.asked_at_ms / 1e3 + self._pace.settle_s - self._engine.clock() / 1e3
        if left_s > 0:
            self._next_s[group.id] = self._monotonic() + min(left_s, self._pace.settle_s) + 0.01
        elif batch.status == "cancelling" or group.tries >= MOST_TRIES:
            bench.dissolve(group.id)
        else:
            await self._send(bench, batch, group, path, place)

    async def _look(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place
    ) -> None:
        look = await self._api(place).look(place, group.upstream_id)
        if look.ended:
            await self._collect(bench, batch, group, path, place, look)
            bench.dissolve(group.id)
        elif batch.status == "cancelling" and self._engine.clock() > _since(batch) + self._pace.stop_s * 1e3:
            bench.dissolve(group.id)

    async def _collect(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place, look: Look
    ) -> None:  # fmt: skip
        """Take over all results; doing it again changes nothing."""
        work = bench.spool.folder / f"work-{group.id}"
        try:
            for source in look.sources:
                await self._api(place).fetch(place, source, work)
                await asyncio.to_thread(self._take_over, bench, batch, group, path, place, work)
        finally:
            work.unlink(missing_ok=True)

    def _take_over(
        self, bench: Workbench, batch: BatchRow, group: GroupRow, path: Path, place: Place, work: Path
    ) -> None:  # fmt: skip
        lines = {f"{group.id}-{line.number}": line for line in bench.group_lines(group.id)}
        ended: list[Ended] = []
        with work.open("rb") as file:
            for raw in file:
                result = self._api(place).read(raw)
                line = None if result is None else lines.get(result.custom_id)
                if result is None or line is None:
                    continue
                if (each := self._settled(batch, path, place, line, result)) is not None:
                    ended.append(each)
                if len(ended) >= WRITTEN_AT_ONCE:
                    bench.end(batch.id, ended)
                    ended.clear()
        bench.end(batch.id, ended)

    def _settled(
        self, batch: BatchRow, path: Path, place: Place, line: LineRow, result: Result
    ) -> Ended | None:
        decision = load_decision(line.decision)
        return settle(
            line, decision, result, place, lambda: self._call(batch, path, line), self._engine.clock()
        )

    def _keyless(self, bench: Workbench, batch: BatchRow, group: GroupRow) -> None:
        """Without its key nothing is known of a batch that may be under way, so nothing is sent again."""
        _log.warning("group %s waits: the server has no key for %s; tell the operator", group.id, group.site)
        if batch.status == "cancelling":
            bench.dissolve(group.id)

    def _unsent(self, bench: Workbench, group: GroupRow, error: BatchApiError) -> None:
        """What follows from trouble while a batch is made. If it may have been made, the next step looks there."""
        _log.warning("group %s was not taken by %s: %s (%s)", group.id, group.site, error, error.trouble)
        if error.trouble == "unsure":
            return
        if error.trouble == "later" and group.tries + 1 < MOST_TRIES:
            bench.move_group(group.id, "prepared")
        else:
            bench.dissolve(group.id)

    def _troubled(self, bench: Workbench, group: GroupRow, error: BatchApiError) -> None:
        """Trouble with a batch that is there, or may be: it is asked again later, unless it is gone."""
        _log.warning("group %s at %s: %s (%s)", group.id, group.site, error, error.trouble)
        if error.trouble == "gone" and group.state == "submitted":
            bench.dissolve(group.id)

    def _call(self, batch: BatchRow, path: Path, line: LineRow) -> Call:
        return read_asked(read_line(path, line)["body"], batch.endpoint, self._engine.snapshot)

    def _place(self, batch: BatchRow, group: GroupRow) -> Place | None:
        """Where the group belongs, as long as the configuration has it there: its ids mean nothing elsewhere."""
        site = self._decider.site_of(group.model, group.site)
        if site is None or site.model.base_url != group.base_url or not site.model.batch:
            return None
        exchange = exchange_of(site.model.dialect, endpoint_of(batch))
        return Place(site, self._keys.get(site.id), exchange, batch.endpoint)

    def _api(self, place: Place) -> BatchApi:
        return self._apis[place.site.model.dialect]


def _since(batch: BatchRow) -> int:
    """When the batch was told to end."""
    changes: dict[str, int] = json.loads(batch.changes)
    return changes.get("cancelling", 0)
