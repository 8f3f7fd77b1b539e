"""What a batch writes to the SQLite ledger, and what is read back from it."""

import json
import sqlite3
from collections.abc import Iterable, Iterator

from experiments.evidence.units import CellRow, UnitRow
from storage.records import Assignment, CallRow, CellDelta, DecisionRow, TrafficCount
from storage.recount import cell_row
from storage.sqlite.reads import unit_row
from storage.staging import CellKey, LogEntry, Staging

_ADD_CELL = """
    INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (experiment_id, epoch, arm) DO UPDATE SET
        assigned = assigned + excluded.assigned,
        called = called + excluded.called,
        served = served + excluded.served,
        errored = errored + excluded.errored,
        feedback = feedback + excluded.feedback,
        recovered = recovered + excluded.recovered,
        degraded = degraded + excluded.degraded
"""
_ADD_MOMENTS = """
    INSERT INTO moments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (experiment_id, epoch, arm, metric) DO UPDATE SET
        m_11 = m_11 + excluded.m_11, m_1n = m_1n + excluded.m_1n, m_1r = m_1r + excluded.m_1r,
        m_1c = m_1c + excluded.m_1c, m_1x = m_1x + excluded.m_1x, m_nn = m_nn + excluded.m_nn,
        m_nr = m_nr + excluded.m_nr, m_nc = m_nc + excluded.m_nc, m_nx = m_nx + excluded.m_nx,
        m_rr = m_rr + excluded.m_rr, m_rc = m_rc + excluded.m_rc, m_rx = m_rx + excluded.m_rx,
        m_cc = m_cc + excluded.m_cc, m_cx = m_cx + excluded.m_cx, m_xx = m_xx + excluded.m_xx
"""
_ADD_LATENCY = """
    INSERT INTO latency VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (experiment_id, epoch, arm, bucket) DO UPDATE SET requests = requests + excluded.requests
"""
_ADD_TRAFFIC = """
    INSERT INTO traffic VALUES (?, ?, ?, ?)
    ON CONFLICT (task, experiment_id, reason) DO UPDATE SET decisions = decisions + excluded.decisions
"""
_PUT_UNIT = "INSERT OR REPLACE INTO units VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_EFFECT = "INSERT OR REPLACE INTO effects VALUES (?, ?, ?, ?, ?)"
_ADD_DECISION = "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_CALL = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_FEEDBACK = """
    INSERT INTO feedback (number, experiment_id, epoch, arm, unit, metric, value, state,
                          received_at_ms, occurred_at_ms, idempotency_key, comment)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def write(connection: sqlite3.Connection, staging: Staging) -> None:
    """Write a finished transaction: rows appended or replaced, cells changed by addition.

    Additions compose: whatever other workers added since, this adds its own difference.
    """
    many = connection.executemany
    many(_ADD_DECISION, map(_decision_values, staging.decisions.values()))
    many(_ADD_CALL, (_call_values(row, counted) for row, counted in staging.calls.values()))
    many(_ADD_FEEDBACK, map(_feedback_values, staging.logged))
    many(
        _PUT_EFFECT,
        (
            (number, metric, effect.value, effect.order_at_ms, effect.digest)
            for (number, metric), effect in staging.changed_effects.items()
        ),
    )
    many(_PUT_UNIT, map(_unit_values, staging.changed_units.values()))
    many(_ADD_CELL, ((*key, *delta.counts) for key, delta in staging.deltas.items() if any(delta.counts)))
    many(_ADD_MOMENTS, _moment_values(staging.deltas.items()))
    many(_ADD_LATENCY, _latency_values(staging.deltas.items()))
    many(_ADD_TRAFFIC, ((*key, decisions) for key, decisions in staging.traffic.items()))


def cells(connection: sqlite3.Connection, experiment_id: int, since_epoch: int) -> list[CellRow]:
    """Cells by rising (epoch, arm), from `since_epoch` on and of epoch 0."""
    since = (experiment_id, max(since_epoch, 1))
    kept: dict[tuple[int, int], CellDelta] = {}
    select = """
        SELECT * FROM cells WHERE experiment_id = ?1 AND epoch = 0
        UNION ALL SELECT * FROM cells WHERE experiment_id = ?1 AND epoch >= ?2
    """
    for _, epoch, arm, *counts in connection.execute(select, since):
        kept.setdefault((epoch, arm), CellDelta()).counts = counts
    select = "SELECT * FROM moments WHERE experiment_id = ? AND epoch >= ?"
    for _, epoch, arm, metric, *sums in connection.execute(select, since):
        kept.setdefault((epoch, arm), CellDelta()).moments[metric] = sums
    select = "SELECT * FROM latency WHERE experiment_id = ? AND epoch >= ?"
    for _, epoch, arm, bucket, requests in connection.execute(select, since):
        kept.setdefault((epoch, arm), CellDelta()).latency[bucket] = requests
    return [cell_row(*key, kept[key]) for key in sorted(kept)]


def units(connection: sqlite3.Connection, experiment_id: int) -> Iterator[UnitRow]:
    """All unit rows of an experiment."""
    return map(unit_row, connection.execute("SELECT * FROM units WHERE experiment_id = ?", (experiment_id,)))


def assignment(connection: sqlite3.Connection, experiment_id: int, unit: bytes) -> Assignment | None:
    """The first row of a sticky unit with the share in force then."""
    select = """
        SELECT u.epoch, u.arm, e.shares FROM units AS u
        JOIN epochs AS e ON e.experiment_id = u.experiment_id AND e.number = u.epoch
        WHERE u.experiment_id = ? AND u.unit = ?
    """
    row = connection.execute(select, (experiment_id, unit)).fetchone()
    return Assignment(row[0], row[1], json.loads(row[2])[row[1]]) if row else None


def traffic(connection: sqlite3.Connection) -> list[TrafficCount]:
    """Decisions by task, experiment and reason."""
    select = "SELECT * FROM traffic ORDER BY task, experiment_id, reason"
    return [TrafficCount(*row) for row in connection.execute(select)]


def _decision_values(row: DecisionRow) -> tuple[object, ...]:
    return (
        row.number,
        row.experiment_id,
        row.epoch,
        row.arm,
        row.unit,
        row.task,
        row.model,
        row.reason,
        row.propensity,
        row.degraded,
        row.covariate,
        row.found,
        row.predicted,
    )


def _call_values(row: CallRow, counted: bool) -> tuple[object, ...]:
    return (
        row.number,
        row.experiment_id,
        row.epoch,
        row.arm,
        row.unit,
        row.served_model,
        row.diverted,
        row.error,
        row.cost_usd,
        row.cost_estimated,
        row.price_version,
        row.input_tokens,
        row.output_tokens,
        row.latency_ms,
        row.first_token_ms,
        row.attempts,
        row.finished_at_ms,
        row.trail,
        counted,
    )


def _feedback_values(entry: LogEntry) -> tuple[object, ...]:
    row = entry.row
    return (
        row.number,
        row.experiment_id,
        row.epoch,
        row.arm,
        row.unit,
        entry.metric,
        entry.value,
        entry.state,
        row.received_at_ms,
        row.occurred_at_ms,
        row.idempotency_key,
        row.comment,
    )


def _unit_values(row: UnitRow) -> tuple[object, ...]:
    return (
        row.experiment_id,
        row.unit,
        row.epoch,
        row.arm,
        row.assigned_at_ms,
        row.requests,
        row.calls,
        row.errors,
        row.diverted,
        row.costed,
        row.cost_usd,
        row.feedback,
        row.rated,
        row.reward,
        row.first_number,
        row.covariate,
        json.dumps(row.metrics) if row.metrics else "{}",
    )


def _moment_values(deltas: Iterable[tuple[CellKey, CellDelta]]) -> Iterator[tuple[object, ...]]:
    return ((*key, metric, *sums) for key, delta in deltas for metric, sums in delta.moments.items())


def _latency_values(deltas: Iterable[tuple[CellKey, CellDelta]]) -> Iterator[tuple[object, ...]]:
    return ((*key, bucket, n) for key, delta in deltas for bucket, n in delta.latency.items() if n)
