"""Export from SQLite: rows in pages, so that a long download holds no read transaction open."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from storage.exported import (
    ExportKind,
    Fields,
    call_fields,
    decision_fields,
    feedback_fields,
    unit_fields,
)
from storage.records import FeedbackRow, FeedbackState, Story
from storage.sqlite.desk import Row
from storage.sqlite.reads import call_row, decision_row, unit_row
from storage.staging import LogEntry

PAGE_ROWS = 1_000
Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]

_DECISIONS = """
    SELECT * FROM decisions WHERE number > :number AND (:owner IS NULL OR experiment_id = :owner)
    ORDER BY number LIMIT :page
"""
_CALLS = """
    SELECT * FROM calls WHERE number > :number AND (:owner IS NULL OR experiment_id = :owner)
    ORDER BY number LIMIT :page
"""
_FEEDBACK = """
    SELECT * FROM feedback
    WHERE (number, entry) > (:number, :entry) AND (:owner IS NULL OR experiment_id = :owner)
    ORDER BY number, entry LIMIT :page
"""
_UNITS = """
    SELECT * FROM units
    WHERE (experiment_id, unit) > (:experiment_id, :unit) AND (:owner IS NULL OR experiment_id = :owner)
    ORDER BY experiment_id, unit LIMIT :page
"""


def exported(reading: Reading, kind: ExportKind, experiment_id: int | None) -> Iterator[Fields]:
    """Rows of one kind, for the experiment if one is named; rows appended meanwhile may be among them."""
    match kind:
        case "decisions":
            return map(_decision, _pages(reading, _DECISIONS, experiment_id, _number))
        case "calls":
            return map(_call, _pages(reading, _CALLS, experiment_id, _number))
        case "feedback":
            return map(_feedback, _pages(reading, _FEEDBACK, experiment_id, _entry))
        case "units":
            return map(_unit, _pages(reading, _UNITS, experiment_id, _owned))


def story(connection: sqlite3.Connection, experiment_id: int, number: int) -> Story | None:
    """All rows of one decision."""
    own = (number, experiment_id)
    select = "SELECT * FROM decisions WHERE number = ? AND experiment_id = ?"
    decision = connection.execute(select, own).fetchone()
    if decision is None:
        return None
    call = connection.execute("SELECT * FROM calls WHERE number = ? AND experiment_id = ?", own).fetchone()
    select = "SELECT * FROM feedback WHERE number = ? AND experiment_id = ? ORDER BY entry"
    feedback = tuple(map(_feedback, connection.execute(select, own)))
    return Story(_decision(decision), None if call is None else _call(call), feedback)


def _pages(
    reading: Reading, statement: str, owner: int | None, place: Callable[[Row], dict[str, object]]
) -> Iterator[Row]:
    """Rows of a constant statement, page after page; `place` says where the next page begins."""
    after: dict[str, object] = {"number": -1, "entry": -1, "experiment_id": -1, "unit": b""}
    while True:
        with reading() as connection:
            values = {**after, "owner": owner, "page": PAGE_ROWS}
            rows: list[Row] = connection.execute(statement, values).fetchall()
        yield from rows
        if len(rows) < PAGE_ROWS:
            return
        after.update(place(rows[-1]))


def _number(row: Row) -> dict[str, object]:
    return {"number": row[0]}


def _entry(row: Row) -> dict[str, object]:
    return {"entry": row[0], "number": row[1]}


def _owned(row: Row) -> dict[str, object]:
    return {"experiment_id": row[0], "unit": row[1]}


def _decision(row: Row) -> Fields:
    return decision_fields(decision_row(row))


def _call(row: Row) -> Fields:
    return call_fields(call_row(row), counted=bool(row[-1]))


def _feedback(row: Row) -> Fields:
    _, number, experiment_id, epoch, arm, unit, metric, value, state, received, occurred, key, comment = row
    received_row = FeedbackRow(
        number, experiment_id, epoch, arm, unit, ((metric, value),), received, occurred, key, comment
    )
    return feedback_fields(LogEntry(received_row, metric, value, FeedbackState(state)))


def _unit(row: Row) -> Fields:
    return unit_fields(unit_row(row))
