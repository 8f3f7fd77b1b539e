"""Exported rows: the ledger as plain fields, unit digests in hexadecimal, the same from every store."""

from typing import Literal, get_args

from experiments.evidence.units import UnitRow
from storage.records import CallRow, DecisionRow
from storage.staging import LogEntry

ExportKind = Literal["decisions", "calls", "feedback", "units"]
Fields = dict[str, object]


def export_kind(kind: str) -> ExportKind:
    """Return `kind` if rows of it are exported."""
    for known in get_args(ExportKind):
        if kind == known:
            return known  # type: ignore[no-any-return]  # get_args forgets the literals' type
    raise ValueError(f"kind {kind!r} is not exported; use one of {', '.join(get_args(ExportKind))}")


def decision_fields(row: DecisionRow) -> Fields:
    """One decision."""
    return {
        "number": row.number,
        "experiment_id": row.experiment_id,
        "epoch": row.epoch,
        "arm": row.arm,
        "unit": row.unit.hex(),
        "task": row.task,
        "model": row.model,
        "reason": row.reason,
        "propensity": row.propensity,
        "degraded": row.degraded,
        "covariate": row.covariate,
        "found": row.found,
        "predicted": row.predicted,
    }


def call_fields(row: CallRow, counted: bool) -> Fields:
    """One call of the gateway, and whether its unit row took it in."""
    return {
        "number": row.number,
        "experiment_id": row.experiment_id,
        "epoch": row.epoch,
        "arm": row.arm,
        "unit": row.unit.hex(),
        "served_model": row.served_model,
        "diverted": row.diverted,
        "error": row.error,
        "cost_usd": row.cost_usd,
        "cost_estimated": row.cost_estimated,
        "price_version": row.price_version,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "latency_ms": row.latency_ms,
        "first_token_ms": row.first_token_ms,
        "attempts": row.attempts,
        "finished_at_ms": row.finished_at_ms,
        "trail": row.trail,
        "counted": counted,
    }


def feedback_fields(entry: LogEntry) -> Fields:
    """One received value with what became of it."""
    row = entry.row
    return {
        "number": row.number,
        "experiment_id": row.experiment_id,
        "epoch": row.epoch,
        "arm": row.arm,
        "unit": row.unit.hex(),
        "metric": entry.metric,
        "value": entry.value,
        "state": str(entry.state),
        "received_at_ms": row.received_at_ms,
        "occurred_at_ms": row.occurred_at_ms,
        "idempotency_key": row.idempotency_key,
        "comment": row.comment,
    }


def unit_fields(row: UnitRow) -> Fields:
    """One unit row; further metrics as {name: {reports, total}}."""
    return {
        "experiment_id": row.experiment_id,
        "unit": row.unit.hex(),
        "epoch": row.epoch,
        "arm": row.arm,
        "assigned_at_ms": row.assigned_at_ms,
        "requests": row.requests,
        "calls": row.calls,
        "errors": row.errors,
        "diverted": row.diverted,
        "costed": row.costed,
        "cost_usd": row.cost_usd,
        "feedback": row.feedback,
        "rated": row.rated,
        "reward": row.reward,
        "first_number": row.first_number,
        "covariate": row.covariate,
        "metrics": {name: {"reports": n, "total": total} for name, (n, total) in sorted(row.metrics.items())},
    }
