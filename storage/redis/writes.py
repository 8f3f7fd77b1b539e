"""What the record script is given: everything the join saw, and everything it changed."""

from collections.abc import Iterable, Iterator

from storage.records import CellDelta
from storage.redis import rows
from storage.redis.client import Argument, RedisServer
from storage.redis.keys import LedgerName
from storage.redis.reads import Seen, try_digest, value_digest
from storage.redis.rows import number_text
from storage.staging import Staging

KEYS: tuple[LedgerName, ...] = (
    "meta",
    "decisions",
    "calls",
    "effects",
    "units",
    "tries",
    "feedback",
    "numbers",
    "digests",
    "traffic",
    "counted",
)
"""Keys of the script in its order; cells follow."""


def changes_nothing(staging: Staging) -> bool:
    """Whether the join only looked, as at repeated feedback."""
    return not (
        staging.decisions
        or staging.calls
        or staging.changed_units
        or staging.changed_effects
        or staging.logged
    )


def write(server: RedisServer, seen: Seen, staging: Staging) -> bool:
    """Write one experiment's part of a batch; False if something it rests on has changed."""
    owner = seen.experiment_id
    keys = [server.keys.ledger(owner, name) for name in KEYS]
    epochs = sorted({epoch for (_, epoch, _), delta in staging.deltas.items() if any(_sums(delta))})
    keys += [server.keys.cells(owner, epoch) for epoch in epochs]
    arguments: list[Argument] = [server.identity, seen.identity or ""]
    for texts in (*_looks(seen), *_rows(seen, staging)):
        arguments.append(len(texts))
        arguments += texts
    cells = list(_cells(staging, {epoch: len(KEYS) + 1 + place for place, epoch in enumerate(epochs)}))
    return bool(server.run("record", keys, [*arguments, len(cells), *cells]))


def _looks(seen: Seen) -> Iterator[list[Argument]]:
    """What must still be as it was. Rows of decisions and calls never change, so only new ones are named."""
    yield [number_text(number) for number, raw in seen.decisions.items() if raw is None]
    yield [number_text(number) for number, raw in seen.calls.items() if raw is None]
    yield _flat((number_text(number), raw or "") for number, raw in seen.effect_texts.items())
    yield _flat((unit, raw or "") for unit, raw in seen.units.items())
    yield [digest for digest, known in seen.tries.items() if not known]


def _rows(seen: Seen, staging: Staging) -> Iterator[list[Argument]]:
    decisions = staging.decisions.values()
    yield _flat((number_text(row.number), rows.decision_text(row)) for row in decisions)
    calls = staging.calls.values()
    yield _flat((number_text(row.number), rows.call_text(row, counted)) for row, counted in calls)
    reported = dict.fromkeys(number for number, _ in staging.changed_effects)
    yield _flat((number_text(number), rows.effects_text(staging.effects(number))) for number in reported)
    yield _flat((row.unit, rows.unit_text(row, _share(seen, row.epoch, row.arm)))
                for row in staging.changed_units.values())  # fmt: skip
    keys = (try_digest(*key) for key in staging.fresh_keys)
    yield [*keys, *(value_digest(*key) for key in staging.fresh_values)]
    yield _flat((number_text(entry.row.number), rows.feedback_text(entry)) for entry in staging.logged)
    yield _flat((rows.text([task, reason]), count) for (task, _, reason), count in staging.traffic.items())


def _share(seen: Seen, epoch: int, arm: int) -> float:
    """Share that assigned a unit; a unit is only counted where its epoch is known."""
    found = seen.epochs[seen.experiment_id, epoch]
    assert found is not None
    return found.shares[arm]


def _cells(staging: Staging, places: dict[int, int]) -> Iterator[Argument]:
    for (_, epoch, arm), delta in staging.deltas.items():
        for name, sums in _sums(delta):
            yield from (places[epoch], epoch, rows.text([arm, *name]), sums)


def _sums(delta: CellDelta) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Fields of a cell with what to add to them, numbers apart by spaces."""
    if any(delta.counts):
        yield ("counts",), _numbers(delta.counts)
    for metric, sums in delta.moments.items():
        yield ("moments", metric), _numbers(sums)
    for bucket, requests in delta.latency.items():
        if requests:
            yield ("latency", bucket), str(requests)


def _numbers(values: Iterable[float]) -> str:
    return " ".join(map(repr, values))


def _flat(pairs: Iterable[tuple[Argument, Argument]]) -> list[Argument]:
    return [text for pair in pairs for text in pair]
