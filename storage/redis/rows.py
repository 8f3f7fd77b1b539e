"""Rows as Redis keeps them: JSON texts that only this module reads and writes.

Floats and whole numbers of any size come back as they went in; scripts on the server pass the texts on unread.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import UnitRow
from storage.allowances import Allowance
from storage.leases import WorkerClaim
from storage.records import (
    AuditEntry,
    CallRow,
    ConfigRow,
    DecisionRow,
    Effect,
    ExperimentRow,
    FeedbackRow,
    FeedbackState,
    KeyRow,
    Lease,
    RouteRow,
    StoredReport,
)
from storage.staging import LogEntry

text = json.JSONEncoder(separators=(",", ":")).encode
_parse = json.JSONDecoder().decode


def _values(raw: bytes) -> Any:  # JSON knows no types; each caller names what it wrote
    return _parse(raw.decode("ascii"))


def number_text(number: int) -> str:
    """A decision number in 19 digits, so that texts sort as numbers do."""
    return f"{number:019d}"


def config_text(row: ConfigRow) -> str:
    """The configuration."""
    return text([row.body, row.version, row.applied_at_ms])


def config_row(raw: bytes) -> ConfigRow:
    """The configuration from its text."""
    return ConfigRow(*_values(raw))


def route_text(row: RouteRow) -> str:
    """A champion, without its task."""
    return text(
        [
            row.model,
            row.version,
            row.source,
            row.changed_at_ms,
            row.changed_by,
            row.previous,
            row.file_model,
        ]
    )


def route_row(task: str, raw: bytes) -> RouteRow:
    """The champion of a task from its text."""
    return RouteRow(task, *_values(raw))


def experiment_text(row: ExperimentRow) -> str:
    """An experiment, without its number."""
    return text(
        [
            row.name,
            row.definition.model_dump_json(by_alias=True),
            row.state,
            row.version,
            row.salt,
            row.created_at_ms,
            row.started_at_ms,
            row.ended_at_ms,
            row.dropped,
            row.predecessor,
            row.ended_because,
        ]
    )


def experiment_row(experiment_id: int, raw: bytes) -> ExperimentRow:
    """An experiment from its text."""
    name, body, state, version, salt, created, started, ended, dropped, predecessor, because = _values(raw)
    return ExperimentRow(
        experiment_id,
        name,
        definition(body),
        ExperimentState(state),
        version,
        salt,
        created,
        started,
        ended,
        tuple(dropped),
        predecessor,
        because,
    )


def experiment_name(raw: bytes) -> str:
    """The name alone, without parsing the definition."""
    return str(_values(raw)[0])


@lru_cache(maxsize=1024)
def definition(body: str) -> Experiment:
    """A definition from its text; the same text is parsed once."""
    return Experiment.model_validate_json(body)


def epoch_text(row: Epoch) -> str:
    """An epoch, without its experiment."""
    return text(
        [
            row.number,
            row.opened_at_ms,
            row.shares,
            row.cost_series,
            row.price_version,
            row.closed_at_ms,
            row.model_series,
            row.model_version,
        ]
    )


def epoch_row(experiment_id: int, raw: bytes) -> Epoch:
    """An epoch from its text."""
    number, opened_at_ms, shares, *rest = _values(raw)
    return Epoch(experiment_id, number, opened_at_ms, tuple(shares), *rest)


def key_text(row: KeyRow) -> str:
    """A bearer key, without its id."""
    return text([row.hash, row.scopes, row.created_at_ms, row.revoked_at_ms])


def key_row(key_id: str, raw: bytes) -> KeyRow:
    """A bearer key from its text."""
    digest, scopes, *times = _values(raw)
    return KeyRow(key_id, digest, tuple(scopes), *times)


def report_text(row: StoredReport) -> str:
    """A report."""
    return text([row.body, row.rendered_at_ms, row.frozen])


def report_row(raw: bytes) -> StoredReport:
    """A report from its text."""
    return StoredReport(*_values(raw))


def audit_text(row: AuditEntry) -> str:
    """An audit entry."""
    return text([row.at_ms, row.actor, row.action, row.subject, row.why, row.digest, row.forced])


def audit_row(raw: bytes) -> AuditEntry:
    """An audit entry from its text."""
    return AuditEntry(*_values(raw))


def lease_text(row: Lease) -> str:
    """A lease, without its name."""
    return text([row.holder, row.token, row.expires_at_ms])


def lease_row(name: str, raw: bytes | None) -> Lease | None:
    """A lease from its text, if there is one."""
    return Lease(name, *_values(raw)) if raw else None


def claim_text(row: WorkerClaim) -> str:
    """A worker's claim, without its number."""
    return text([row.holder, row.expires_at_ms])


def claim_row(number: bytes, raw: bytes) -> WorkerClaim:
    """A worker's claim from its text."""
    return WorkerClaim(int(number), *_values(raw))


def decision_text(row: DecisionRow) -> str:
    """A decision, without its number and experiment."""
    return text(
        [
            row.epoch,
            row.arm,
            row.unit.hex(),
            row.task,
            row.model,
            row.reason,
            row.propensity,
            row.degraded,
            row.covariate,
            row.found,
            row.predicted,
        ]
    )


def decision_row(experiment_id: int, number: int, raw: bytes) -> DecisionRow:
    """A decision from its text."""
    epoch, arm, unit, *rest = _values(raw)
    return DecisionRow(number, experiment_id, epoch, arm, bytes.fromhex(unit), *rest)


def call_text(row: CallRow, counted: bool) -> str:
    """A call, without its number and experiment, and whether its unit row took it in."""
    return text(
        [
            row.epoch,
            row.arm,
            row.unit.hex(),
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
        ]
    )


def call_row(experiment_id: int, number: int, raw: bytes) -> tuple[CallRow, bool]:
    """A call from its text, and whether its unit row took it in."""
    epoch, arm, unit, *rest, counted = _values(raw)
    return CallRow(number, experiment_id, epoch, arm, bytes.fromhex(unit), *rest), counted


def allowance_text(row: Allowance) -> str:
    """What is given out of an allowance."""
    return text([row.period, row.given])


def allowance_row(raw: bytes) -> Allowance:
    """The same from its text."""
    return Allowance(*_values(raw))


def feedback_text(entry: LogEntry) -> str:
    """One received value, without its number and experiment."""
    row = entry.row
    return text(
        [
            row.epoch,
            row.arm,
            row.unit.hex(),
            entry.metric,
            entry.value,
            entry.state,
            row.received_at_ms,
            row.occurred_at_ms,
            row.idempotency_key,
            row.comment,
        ]
    )


def feedback_entry(experiment_id: int, number: int, raw: bytes) -> LogEntry:
    """One received value from its text."""
    epoch, arm, unit, metric, value, state, received, *rest = _values(raw)
    row = FeedbackRow(
        number, experiment_id, epoch, arm, bytes.fromhex(unit), ((metric, value),), received, *rest
    )
    return LogEntry(row, metric, value, FeedbackState(state))


def effects_text(effects: Mapping[str, Effect]) -> str:
    """The values that count for one decision."""
    return text(
        {metric: [effect.value, effect.order_at_ms, effect.digest] for metric, effect in effects.items()}
    )


def effects_of(raw: bytes) -> dict[str, Effect]:
    """The values that count for one decision from their text."""
    return {metric: Effect(*fields) for metric, fields in _values(raw).items()}


def unit_text(row: UnitRow, propensity: float) -> str:
    """A unit row, without its experiment and digest, and the share in force when it was assigned."""
    return text(
        [
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
            row.metrics,
            propensity,
        ]
    )


def unit_row(experiment_id: int, unit: bytes, raw: bytes) -> UnitRow:
    """A unit row from its text."""
    *fields, metrics, _ = _values(raw)
    totals = {name: (reports, total) for name, (reports, total) in metrics.items()}
    values: tuple[Any, ...] = (*fields, totals)  # as `_values`
    return UnitRow(experiment_id, unit, *values)


def unit_place(raw: bytes) -> tuple[int, int, int]:
    """Epoch and arm of a unit row, and when it was assigned."""
    epoch, arm, assigned_at_ms, *_ = _values(raw)
    return epoch, arm, assigned_at_ms


def unit_assignment(raw: bytes) -> tuple[int, int, float]:
    """Epoch, arm and propensity of a unit row."""
    epoch, arm, *_, propensity = _values(raw)
    return epoch, arm, propensity
