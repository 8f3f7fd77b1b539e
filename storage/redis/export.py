"""Export from Redis: rows in pages, experiment after experiment or merged by decision number."""

import heapq
from collections.abc import Callable, Iterator

from storage.exported import (
    ExportKind,
    Fields,
    call_fields,
    decision_fields,
    feedback_fields,
    unit_fields,
)
from storage.records import Story
from storage.redis import rows
from storage.redis.client import RedisServer
from storage.redis.ledger import RedisLedger

_DIGITS = 19
_ENTRY = _DIGITS + 1 + 16 + 1
"""Where the text begins in a member of `feedback`: number, entry, text, apart by colons."""


def exported(
    server: RedisServer, ledger: RedisLedger, kind: ExportKind, experiment_id: int | None
) -> Iterator[Fields]:
    """Rows of one kind, for the experiment if one is named; rows appended meanwhile may be among them."""
    read: Callable[[int], Iterator[Fields]]
    match kind:
        case "decisions":
            read = lambda owner: _decisions(server, ledger, owner)  # noqa: E731  # one line each
        case "calls":
            read = lambda owner: _calls(server, ledger, owner)  # noqa: E731
        case "feedback":
            read = lambda owner: _feedback(server, ledger, owner)  # noqa: E731
        case "units":
            read = lambda owner: map(unit_fields, ledger.units(owner))  # noqa: E731
    if experiment_id is not None:
        return read(experiment_id)
    parts = [read(owner) for owner in ledger.owners()]
    return _chained(parts) if kind == "units" else heapq.merge(*parts, key=_number)


def _chained(parts: list[Iterator[Fields]]) -> Iterator[Fields]:
    for part in parts:
        yield from part


def _number(row: Fields) -> int:
    number = row["number"]
    assert isinstance(number, int)
    return number


def _decisions(server: RedisServer, ledger: RedisLedger, owner: int) -> Iterator[Fields]:
    for number, raw in _texts(server, ledger, owner, server.keys.ledger(owner, "decisions")):
        yield decision_fields(rows.decision_row(owner, number, raw))


def _calls(server: RedisServer, ledger: RedisLedger, owner: int) -> Iterator[Fields]:
    for number, raw in _texts(server, ledger, owner, server.keys.ledger(owner, "calls")):
        yield call_fields(*rows.call_row(owner, number, raw))


def _texts(server: RedisServer, ledger: RedisLedger, owner: int, key: str) -> Iterator[tuple[int, bytes]]:
    """Rows of a hash by rising number, for those numbers that it has."""
    for numbers in ledger.members(server.keys.ledger(owner, "numbers")):
        (texts,) = server.read(("HMGET", key, *numbers))
        yield from ((int(number), raw) for number, raw in zip(numbers, texts, strict=True) if raw)


def _feedback(server: RedisServer, ledger: RedisLedger, owner: int) -> Iterator[Fields]:
    for members in ledger.members(server.keys.ledger(owner, "feedback")):
        for member in members:
            yield feedback_fields(rows.feedback_entry(owner, int(member[:_DIGITS]), member[_ENTRY:]))


def story(server: RedisServer, owner: int, number: int) -> Story | None:
    """All rows of one decision, read in one transaction."""
    place, keys = rows.number_text(number), server.keys
    decision, call, members = server.read(
        ("HGET", keys.ledger(owner, "decisions"), place),
        ("HGET", keys.ledger(owner, "calls"), place),
        ("ZRANGEBYLEX", keys.ledger(owner, "feedback"), f"[{place}:", f"({place};"),
    )
    if decision is None:
        return None
    return Story(
        decision_fields(rows.decision_row(owner, number, decision)),
        None if call is None else call_fields(*rows.call_row(owner, number, call)),
        tuple(feedback_fields(rows.feedback_entry(owner, number, member[_ENTRY:])) for member in members),
    )
