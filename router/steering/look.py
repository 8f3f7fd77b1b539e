"""A look at an experiment: evidence read from the store, judged by the tick, rendered as a report."""

import json
from collections.abc import Mapping

from pydantic import TypeAdapter

from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.planning.days import Plan
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, Tick, tick
from router.config.document import Document
from router.errors import NotFound, no_experiment
from router.steering.forecast import draft_plan, running_plan
from router.steering.listed import list_costs
from router.steering.pooling import Lent
from router.steering.reading import CellCache, read_evidence
from router.steering.series import model_version, price_version
from router.steering.together import peers_of
from storage.records import ExperimentRow
from storage.store import Store

_DRAFTED = TypeAdapter(dict[str, Plan])


def standing_of(store: Store, row: ExperimentRow, document: Document, pooled: Lent = ()) -> Standing:
    """What the tick knows beside the evidence; `pooled` is lent by other experiments."""
    return Standing(
        seed=row.id,
        started_at_ms=row.started_at_ms or row.created_at_ms,
        dropped=row.dropped,
        progress=Progress.loads(store.progress(row.id)),
        list_costs_usd=list_costs(row.definition, document),
        price_version=price_version(row.definition, document),
        model_version=model_version(row.definition, document),
        watching=row.predecessor is not None,
        pooled=pooled,
    )


def look(
    store: Store, row: ExperimentRow, document: Document, now_ms: int, cache: CellCache, pooled: Lent = ()
) -> tuple[Evidence, Tick]:
    """One look: evidence and what follows from it. Nothing is written."""
    evidence = read_evidence(store, row, now_ms, cache)
    return evidence, tick(row.definition, evidence, standing_of(store, row, document, pooled), now_ms)


def rendered(
    row: ExperimentRow,
    document: Document,
    evidence: Evidence,
    seen: Tick,
    now_ms: int,
    peers: Mapping[str, float],
) -> str:
    """The report of a look with the plan that follows from it, as JSON; `peers` as `render` takes them."""
    reasons = seen.progress.dropped
    subject = Subject(
        definition=row.definition,
        state=row.state,
        ended_because=row.ended_because,
        dropped={
            arm: reasons.get(name, "dropped") for arm, name in enumerate(row.definition.candidates)
            if arm in row.dropped or name in reasons
        },
        started_at_ms=row.started_at_ms,
        ended_at_ms=row.ended_at_ms,
    )  # fmt: skip
    report = render(subject, evidence, seen, now_ms, peers)
    if row.definition.mode == "shadow":
        return report.model_dump_json()
    known = (evidence, seen.tested.mature(row.definition, now_ms))
    planned = running_plan(row, document, known, now_ms)
    return report.model_copy(update={"plan": planned}).model_dump_json()


def drafted(definition: Experiment, document: Document) -> str:
    """What is kept of a draft until its first report: the plan, under the name it has in a report."""
    plans = {} if definition.mode == "shadow" else {"plan": draft_plan(definition, document)}
    return _DRAFTED.dump_json(plans).decode()


def render_report(store: Store, name: str, now_ms: int) -> str:
    """A fresh report of a live experiment, or the frozen one of an ended experiment, as JSON."""
    row = store.experiment(name)
    if row is None:
        raise no_experiment(name)
    kept = store.report(row.id)
    if kept is not None and kept.frozen:
        return kept.body
    state = store.state()
    if state.config is None:
        raise NotFound("the store holds no configuration yet; run: pointsman apply FILE")
    document = Document.model_validate_json(state.config.body)
    evidence, seen = look(store, row, document, now_ms, CellCache())
    return rendered(row, document, evidence, seen, now_ms, peers_of(store, state.experiments, name))


def report_document(store: Store, name: str, now_ms: int) -> dict[str, object]:
    """The same report as plain values."""
    document: dict[str, object] = json.loads(render_report(store, name, now_ms))
    return document
