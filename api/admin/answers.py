"""Rows of the store as the wire shows them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import orjson
from pydantic import BaseModel, TypeAdapter

from api.admin.route_schemas import ExplainAnswer
from api.admin.schemas import (
    AuditLine,
    CandidateShare,
    ExperimentAnswer,
    KeyEntry,
    MixEntry,
    RouteEntry,
    TrafficLine,
)
from api.serving.decisions import parse_route
from experiments.definition.lifecycle import ended
from experiments.evidence.epochs import Epoch
from router.config.document import Document
from router.steering.mix import mix_of
from router.steering.preview import preview
from router.steering.together import discovered
from storage.records import AuditEntry, ExperimentRow, KeyRow, RouteRow, StoredReport, TrafficCount
from storage.store import Store


class _Verdict(BaseModel):
    """What lists show of a report's verdict."""

    kind: str | None = None
    candidate: str | None = None


class _Sentence(BaseModel):
    """What lists show of a plan."""

    sentence: str


class _Seen(BaseModel):
    """What lists show of a report, which is empty where a promotion was forced before the first one.

    The report's own model would load the statistics.
    """

    verdict: _Verdict = _Verdict()
    units: int | None = None
    plan: _Sentence | None = None


_SEEN = TypeAdapter(_Seen)


def experiment_answers(store: Store) -> list[ExperimentAnswer]:
    """All experiments, the newest first."""
    state = store.state()
    epochs = {epoch.experiment_id: epoch for epoch in state.epochs}
    rows = sorted(state.experiments, key=lambda row: row.created_at_ms, reverse=True)
    found = discovered(store, rows)
    return [
        experiment_answer(row, epochs.get(row.id), store.report(row.id), found.get(row.name)) for row in rows
    ]


def one_experiment(store: Store, row: ExperimentRow) -> ExperimentAnswer:
    """One experiment as it stands now."""
    epochs = store.epochs(row.id)
    found = discovered(store, store.state().experiments).get(row.name)
    return experiment_answer(row, epochs[-1] if epochs else None, store.report(row.id), found)


def experiment_answer(
    row: ExperimentRow, epoch: Epoch | None, report: StoredReport | None, discovery: bool | None
) -> ExperimentAnswer:
    """An experiment with the shares of its newest epoch and the verdict of its newest report."""
    definition = row.definition
    seen = _SEEN.validate_json(report.body) if report is not None else None
    shares = epoch.shares if epoch is not None else definition.starting_shares
    return ExperimentAnswer(
        name=row.name,
        task=definition.task,
        state=row.state,
        mode=definition.mode,
        unit=definition.unit,
        control=definition.control,
        verdict=seen.verdict.kind if seen is not None else None,
        leader=seen.verdict.candidate if seen is not None else None,
        units=seen.units if seen is not None else None,
        plan=seen.plan.sentence
        if seen is not None and seen.plan is not None and not ended(row.state)
        else None,
        discovery=discovery,
        epoch=epoch.number if epoch is not None else None,
        shares=[
            CandidateShare(candidate=candidate, share=share, dropped=arm in row.dropped)
            for arm, (candidate, share) in enumerate(zip(definition.candidates, shares, strict=True))
        ],
        version=row.version,
        created_at_ms=row.created_at_ms,
        started_at_ms=row.started_at_ms,
        ended_at_ms=row.ended_at_ms,
        ended_because=row.ended_because,
        predecessor=row.predecessor,
        definition=definition,
    )


def route_entry(task: str, champion: str, row: RouteRow | None) -> RouteEntry:
    """A task with its own champion, or the one it takes from above."""
    return RouteEntry(
        task=task,
        champion=champion,
        own=row is not None,
        version=row.version if row else 0,
        source=row.source if row else None,
        changed_at_ms=row.changed_at_ms if row else None,
        changed_by=row.changed_by if row else None,
        previous=row.previous if row else None,
    )


def mix_entry(store: Store, counts: Sequence[int]) -> MixEntry | None:
    """The declared mix beside decisions by tier; None where none is declared."""
    config = store.state().config
    mix = mix_of(Document.model_validate_json(config.body).mix, counts) if config is not None else None
    return None if mix is None else MixEntry.model_validate(asdict(mix), strict=False)


def explained(store: Store, asked: Mapping[str, object], now_ms: int) -> ExplainAnswer:
    """What would become of a request; `asked` is a body of /v1/route."""
    seen = preview(store, parse_route(orjson.dumps(asked)), now_ms)
    decision = seen.decision
    return ExplainAnswer(
        model=decision.model,
        candidate=decision.candidate,
        policy=decision.policy,
        experiment=decision.experiment,
        task=decision.task,
        task_reason=decision.task_reason,
        propensity=decision.propensity,
        reason=decision.reason,
        explanation=decision.explanation,
        fallbacks=list(decision.fallbacks),
        considered=list(seen.considered),
    )


def audit_line(entry: AuditEntry) -> AuditLine:
    """One audit entry."""
    return AuditLine(
        at_ms=entry.at_ms,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        why=entry.why,
        digest=entry.digest,
        forced=entry.forced,
    )


def traffic_lines(counts: Iterable[TrafficCount], rows: Iterable[ExperimentRow]) -> list[TrafficLine]:
    """Traffic with the experiments' names."""
    names: Mapping[int, str] = {row.id: row.name for row in rows}
    return [
        TrafficLine(
            task=count.task,
            experiment=names.get(count.experiment_id),
            reason=count.reason,
            decisions=count.decisions,
        )
        for count in counts
    ]


def key_entry(row: KeyRow) -> KeyEntry:
    """A key without anything that could stand in for it."""
    return KeyEntry(
        id=row.id, scopes=list(row.scopes), created_at_ms=row.created_at_ms, revoked_at_ms=row.revoked_at_ms
    )
