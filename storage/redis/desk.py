"""State in Redis: looked at whole, changed in memory by the rules of every store, and written if nobody else did.

A commit reads the state in one transaction, makes its changes on the desk of the memory store, and sends the
rows that differ to a script that writes them only if the state version is still the one read.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from storage.errors import StoreUnavailable
from storage.memory.desk import StateTables
from storage.records import Change, FreezeReport, OpenEpoch
from storage.redis import rows
from storage.redis.client import Argument, Command, RedisServer, Reply

ATTEMPTS = 50
T = TypeVar("T")
_CHANGED = -1


class Raced(Exception):
    """Something changed between reading and writing; read again."""


class Cell(NamedTuple):
    """A value in a hash: what was seen there (None: nothing) or what to put there."""

    key: str
    field: str
    value: bytes | str | None


@dataclass(slots=True)
class Look:
    """The state as one transaction saw it, and the lease that a writer named."""

    tables: StateTables
    lease: bytes | None = None
    reports: dict[int, bytes | None] = field(default_factory=dict)


def persistently(server: RedisServer, act: Callable[[], T]) -> T:
    """Do it again while others come in between; of two that race, one always gets through."""
    for attempt in range(ATTEMPTS):
        try:
            return act()
        except Raced:
            time.sleep(attempt / 1000)
    raise StoreUnavailable(f"{server.where}: {ATTEMPTS} other writes came in between; try again")


def swap(
    server: RedisServer,
    seen: Sequence[Cell],
    writes: Sequence[Cell],
    version: int | None = None,
    audit: str = "",
) -> int:
    """Write if everything seen is unchanged; returns the state version, or raises Raced.

    With a `version` it must be the state's, and a new one is made; such a write is sent only once.
    """
    keys = [server.keys.state("meta"), server.keys.state("audit")]
    places: dict[str, int] = {}
    for cell in (*seen, *writes):
        if cell.key not in places:
            keys.append(cell.key)
            places[cell.key] = len(keys)
    arguments: list[Argument] = [server.identity, "" if version is None else version, audit, len(seen)]
    for cell in (*seen, *writes):
        arguments += (places[cell.key], cell.field, cell.value or "")
    reply = int(server.run("commit", keys, arguments, once=version is not None))
    if reply == _CHANGED:
        raise Raced
    if reply < 0:
        server.check(None)
    return reply


def look(
    server: RedisServer, changes: Sequence[Change] = (), lease_name: str | None = None, keys: bool = False
) -> Look:
    """The state, with what these changes ask about beside it: epochs by number, reports, a lease; keys if wanted."""
    epochs = [
        (change.epoch.experiment_id, change.epoch.number)
        for change in changes
        if isinstance(change, OpenEpoch)
    ]
    frozen = [change.experiment_id for change in changes if isinstance(change, FreezeReport)]
    state = server.keys.state

    commands: list[Command] = [
        ("HGET", state("meta"), "version"),
        ("HGET", state("config"), "document"),
        ("HGETALL", state("routes")),
        ("HGETALL", state("experiments")),
        ("HGETALL", state("newest")),
    ]
    commands += [("HGET", server.keys.epochs(experiment_id), number) for experiment_id, number in epochs]
    commands += [("HGET", state("reports"), experiment_id) for experiment_id in frozen]
    commands += [("HGET", state("leases"), lease_name)] if lease_name is not None else []
    commands += [("HGETALL", state("api_keys"))] if keys else []
    replies = iter(server.read(*commands, atomic=True))
    tables = _tables(*(next(replies) for _ in range(5)))
    for experiment_id, number in epochs:
        if raw := next(replies):
            tables.epochs.setdefault(experiment_id, {})[number] = rows.epoch_row(experiment_id, raw)
    seen = Look(tables, reports={experiment_id: next(replies) for experiment_id in frozen})
    tables.reports = {number: rows.report_row(raw) for number, raw in seen.reports.items() if raw}
    seen.lease = next(replies) if lease_name is not None else None
    if keys:
        tables.keys = {name.decode(): rows.key_row(name.decode(), raw) for name, raw in next(replies).items()}
    return seen


def _tables(version: Reply, config: Reply, routes: Reply, experiments: Reply, newest: Reply) -> StateTables:
    return StateTables(
        version=int(version),
        config=rows.config_row(config) if config else None,
        routes={task.decode(): rows.route_row(task.decode(), raw) for task, raw in routes.items()},
        experiments={
            int(number): rows.experiment_row(int(number), raw) for number, raw in experiments.items()
        },
        epochs={
            int(owner): {epoch.number: epoch}
            for owner, raw in newest.items()
            if (epoch := rows.epoch_row(int(owner), raw))
        },
    )


def copied(tables: StateTables) -> StateTables:
    """Tables that may be changed without changing these; the rows are shared."""
    return StateTables(
        version=tables.version,
        config=tables.config,
        routes=dict(tables.routes),
        experiments=dict(tables.experiments),
        epochs={owner: dict(epochs) for owner, epochs in tables.epochs.items()},
        keys=dict(tables.keys),
        reports=dict(tables.reports),
    )


def difference(server: RedisServer, before: StateTables, after: StateTables) -> list[Cell]:
    """What to write so that Redis holds `after`."""
    state = server.keys.state
    writes = []
    if after.config is not None and after.config is not before.config:
        writes.append(Cell(state("config"), "document", rows.config_text(after.config)))
    for task, route in _fresh(before.routes, after.routes):
        writes.append(Cell(state("routes"), task, rows.route_text(route)))
    for number, row in _fresh(before.experiments, after.experiments):
        writes.append(Cell(state("experiments"), str(number), rows.experiment_text(row)))
    for key_id, key in _fresh(before.keys, after.keys):
        writes.append(Cell(state("api_keys"), key_id, rows.key_text(key)))
    for number, report in _fresh(before.reports, after.reports):
        writes.append(Cell(state("reports"), str(number), rows.report_text(report)))
    return writes + list(_epochs(server, before, after))


def _epochs(server: RedisServer, before: StateTables, after: StateTables) -> Iterator[Cell]:
    """Changed epochs; the newest of each experiment is kept a second time, for `state`."""
    for owner, epochs in after.epochs.items():
        changed = dict(_fresh(before.epochs.get(owner, {}), epochs))
        for number, epoch in changed.items():
            yield Cell(server.keys.epochs(owner), str(number), rows.epoch_text(epoch))
        if max(epochs) in changed:
            newest = rows.epoch_text(epochs[max(epochs)])
            yield Cell(server.keys.state("newest"), str(owner), newest)


K = TypeVar("K")
V = TypeVar("V")


def _fresh(before: Mapping[K, V], after: Mapping[K, V]) -> list[tuple[K, V]]:
    return [(key, row) for key, row in after.items() if before.get(key) is not row]
