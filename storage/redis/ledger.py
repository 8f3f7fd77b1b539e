"""The ledger in Redis: batches are joined here and written there, one script per experiment."""

import json
from collections.abc import Iterator, Sequence

from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow, UnitRow
from storage import join
from storage.records import (
    Assignment,
    Batch,
    CallRow,
    CellDelta,
    DecisionRow,
    FeedbackReply,
    FeedbackRow,
    TrafficCount,
)
from storage.recount import cell_row, recounted
from storage.redis import rows
from storage.redis.client import RedisServer
from storage.redis.desk import Raced, persistently
from storage.redis.reads import ClosedEpochs, read_ahead
from storage.redis.writes import changes_nothing, write
from storage.staging import Staging

PAGE_ROWS = 1_000
_PAGE_EPOCHS = 100


class RedisLedger:
    """Decisions, calls, feedback, unit rows and cells, by experiment."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._closed_epochs: ClosedEpochs = {}
        self._listed: set[int] = set()

    def record(self, batch: Batch, now_ms: int) -> list[FeedbackReply]:
        """Apply a batch; an experiment whose rows somebody else changed meanwhile is read and joined anew.

        A failure may leave the batch written for some of its experiments and not for others, each whole;
        the same batch sent again completes it, since every row counts once.
        """
        parts = _parts(batch)
        replies: dict[int, list[FeedbackReply]] = {}

        def attempt() -> None:
            left = {owner: part for owner, part in parts.items() if owner not in replies}
            replies.update(self._try(left, now_ms))
            if len(replies) < len(parts):
                raise Raced

        if parts:
            persistently(self._server, attempt)
        else:
            self._server.read()
        order = {owner: iter(part) for owner, part in replies.items()}
        return [next(order[row.experiment_id]) for row in batch.feedback]

    def _try(self, parts: dict[int, Batch], now_ms: int) -> dict[int, list[FeedbackReply]]:
        """Replies of those experiments whose part could be written."""
        seen = read_ahead(self._server, parts, self._closed_epochs, now_ms)
        stagings = {owner: Staging(seen[owner], now_ms) for owner in parts}
        replies = {owner: join.apply(stagings[owner], part) for owner, part in parts.items()}
        self._list(parts.keys() - self._listed)
        return {
            owner: replies[owner]
            for owner, staging in stagings.items()
            if changes_nothing(staging) or write(self._server, seen[owner], staging)
        }

    def _list(self, owners: set[int]) -> None:
        """Name the experiments that have a ledger, before they have one."""
        if owners:
            self._server.call("SADD", self._server.keys.state("ledgers"), *sorted(owners))
            self._listed |= owners

    def assignment(self, experiment_id: int, unit: bytes) -> Assignment | None:
        """The first row of a sticky unit with the share in force then."""
        key = self._server.keys.ledger(experiment_id, "units")
        raw = self._server.look_up("HGET", key, unit)
        return Assignment(*rows.unit_assignment(raw)) if raw else None

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All epochs by rising number."""
        (found,) = self._server.read(("HGETALL", self._server.keys.epochs(experiment_id)))
        return sorted(
            (rows.epoch_row(experiment_id, raw) for raw in found.values()), key=lambda epoch: epoch.number
        )

    def cells(self, experiment_id: int, since_epoch: int) -> list[CellRow]:
        """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0; those of one epoch at one instant."""
        counted = self._server.keys.ledger(experiment_id, "counted")
        zero, later = self._server.read(
            ("ZRANGEBYSCORE", counted, 0, 0), ("ZRANGEBYSCORE", counted, max(since_epoch, 1), "+inf")
        )
        epochs = [int(epoch) for epoch in (*zero, *later)]
        cells: list[CellRow] = []
        for start in range(0, len(epochs), _PAGE_EPOCHS):
            cells += self._cells_of(experiment_id, epochs[start : start + _PAGE_EPOCHS])
        return cells

    def _cells_of(self, experiment_id: int, epochs: Sequence[int]) -> Iterator[CellRow]:
        keys = [self._server.keys.cells(experiment_id, epoch) for epoch in epochs]
        replies = self._server.read(*(("HGETALL", key) for key in keys))
        for epoch, fields in zip(epochs, replies, strict=True):
            kept: dict[int, CellDelta] = {}
            for name, sums in fields.items():
                _take(kept, name, sums)
            yield from (cell_row(epoch, arm, kept[arm]) for arm in sorted(kept))

    def recount(self, experiment_id: int) -> list[CellRow]:
        """Cells recomputed from the unit rows, read in pages: what arrives meanwhile may be in or not."""
        key = self._server.keys.state("experiments")
        (raw,) = self._server.read(("HGET", key, experiment_id))
        if raw is None:
            return []
        definition = rows.experiment_row(experiment_id, raw).definition
        return recounted(self.units(experiment_id), definition)

    def units(self, experiment_id: int) -> Iterator[UnitRow]:
        """All unit rows of an experiment by rising digest."""
        keys = self._server.keys
        for digests in self.members(keys.ledger(experiment_id, "digests")):
            (texts,) = self._server.read(("HMGET", keys.ledger(experiment_id, "units"), *digests))
            for digest, raw in zip(digests, texts, strict=True):
                yield rows.unit_row(experiment_id, digest, raw)

    def members(self, key: str) -> Iterator[list[bytes]]:
        """Members of a sorted index in pages, in the order of their bytes."""
        after = b"-"
        while True:
            command = ("ZRANGEBYLEX", key, after, "+", "LIMIT", 0, PAGE_ROWS)
            (page,) = self._server.read(command)
            if page:
                yield page
            if len(page) < PAGE_ROWS:
                return
            after = b"(" + page[-1]

    def owners(self) -> list[int]:
        """Experiments with a ledger, 0 included where anything happened outside."""
        (found,) = self._server.read(("SMEMBERS", self._server.keys.state("ledgers")))
        return sorted(int(owner) for owner in found)

    def traffic(self) -> list[TrafficCount]:
        """Decisions by task, experiment and reason."""
        owners = self.owners()
        keys = [self._server.keys.ledger(owner, "traffic") for owner in owners]
        replies = self._server.read(*(("HGETALL", key) for key in keys))
        counts = [
            TrafficCount(task, owner, reason, int(decisions))
            for owner, fields in zip(owners, replies, strict=True)
            for name, decisions in fields.items()
            for task, reason in [json.loads(name)]
        ]
        return sorted(counts, key=lambda count: (count.task, count.experiment_id, count.reason))


def _parts(batch: Batch) -> dict[int, Batch]:
    """The batch by experiment; no row of one experiment looks at another's."""
    everything: tuple[DecisionRow | CallRow | FeedbackRow, ...]
    everything = (*batch.decisions, *batch.calls, *batch.feedback)
    owners = dict.fromkeys(row.experiment_id for row in everything)
    if len(owners) == 1:
        return dict.fromkeys(owners, batch)
    return {
        owner: Batch(
            tuple(row for row in batch.decisions if row.experiment_id == owner),
            tuple(row for row in batch.calls if row.experiment_id == owner),
            tuple(row for row in batch.feedback if row.experiment_id == owner),
        )
        for owner in owners
    }


def _take(kept: dict[int, CellDelta], name: bytes, sums: bytes) -> None:
    """Put one field of an epoch's cells in its place."""
    arm, kind, *which = json.loads(name)
    cell = kept.setdefault(arm, CellDelta())
    if kind == "counts":
        cell.counts = [int(number) for number in sums.split()]
    elif kind == "moments":
        cell.moments[which[0]] = [float(number) for number in sums.split()]
    else:
        cell.latency[which[0]] = int(sums)
