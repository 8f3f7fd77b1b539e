"""A look at an experiment: evidence read from the store, judged by the tick, rendered as a report."""

import json
from dataclasses import dataclass, field

from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.units import CellRow
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, Tick, tick
from router.config.document import Document
from router.config.prices import list_price
from router.errors import NotFound
from router.steering.series import price_version
from storage.records import ExperimentRow
from storage.store import Store

TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS = 500, 200
"""Size of a call by which list prices of candidates are compared before any call was metered."""
UNPRICED_USD = 1e-3


@dataclass
class CellCache:
    """Cells of final epochs, which never change; only younger ones are read again."""

    rows: list[CellRow] = field(default_factory=list)
    final_below: int = 0
    """All epochs below this number are in `rows`."""


def read_evidence(store: Store, row: ExperimentRow, now_ms: int, cache: CellCache) -> Evidence:
    """The experiment's evidence; moves epochs that became final into the cache."""
    epochs = store.epochs(row.id)
    fresh = store.cells(row.id, cache.final_below)
    window = row.definition.reward.window_ms
    open_from = next(
        (epoch.number for epoch in epochs if epoch.number > 0 and not epoch.mature(window, now_ms)),
        epochs[-1].number + 1 if epochs else 0,
    )
    evidence = gather(epochs, [*cache.rows, *fresh], len(row.definition.candidates))
    # Epoch 0 collects degraded decisions at any time, so it is read anew with every look.
    settled = [cell for cell in fresh if 0 < cell.epoch < open_from]
    if cache.final_below == 0:
        cache.rows = settled
    else:
        cache.rows += settled
    cache.final_below = max(open_from, 0)
    return evidence


def standing_of(store: Store, row: ExperimentRow, document: Document) -> Standing:
    """What the tick knows beside the evidence."""
    return Standing(
        seed=row.id,
        started_at_ms=row.started_at_ms or row.created_at_ms,
        dropped=row.dropped,
        progress=Progress.loads(store.progress(row.id)),
        list_costs_usd=list_costs(row.definition, document),
        price_version=price_version(row.definition, document),
    )


def list_costs(definition: Experiment, document: Document) -> tuple[float, ...]:
    """Expected cost of a typical call by the price list; an unpriced candidate counts as the mean of the others."""
    prices = [
        list_price(name, document.models[name]) if name in document.models else None
        for name in definition.candidates
    ]
    known = [
        None if price is None else price.cost_usd(TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS)
        for price in prices
    ]
    paid = [cost for cost in known if cost]
    typical = sum(paid) / len(paid) if paid else UNPRICED_USD
    return tuple(typical if cost is None else max(cost, typical * 1e-6) for cost in known)


def look(
    store: Store, row: ExperimentRow, document: Document, now_ms: int, cache: CellCache
) -> tuple[Evidence, Tick]:
    """One look: evidence and what follows from it. Nothing is written."""
    evidence = read_evidence(store, row, now_ms, cache)
    return evidence, tick(row.definition, evidence, standing_of(store, row, document), now_ms)


def rendered(row: ExperimentRow, evidence: Evidence, seen: Tick, now_ms: int) -> str:
    """The report of a look, as JSON."""
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
    return render(subject, evidence, seen, now_ms).model_dump_json()


def render_report(store: Store, name: str, now_ms: int) -> str:
    """A fresh report of a live experiment, or the frozen one of an ended experiment, as JSON."""
    row = store.experiment(name)
    if row is None:
        raise NotFound(f"there is no experiment {name[:100]!r}")
    kept = store.report(row.id)
    if kept is not None and kept.frozen:
        return kept.body
    config = store.state().config
    if config is None:
        raise NotFound("the store holds no configuration yet; run: pointsman apply FILE")
    document = Document.model_validate_json(config.body)
    return rendered(row, *look(store, row, document, now_ms, CellCache()), now_ms)


def report_document(store: Store, name: str, now_ms: int) -> dict[str, object]:
    """The same report as plain values."""
    document: dict[str, object] = json.loads(render_report(store, name, now_ms))
    return document
