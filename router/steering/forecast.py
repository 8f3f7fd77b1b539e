"""Forecast: the plan of an experiment as it stands in the store, before its start or while it runs."""

from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.volume import volume
from experiments.planning.days import Plan
from experiments.planning.expectations import expectations
from experiments.planning.power import plan
from router.config.document import Document
from router.errors import Conflict, no_experiment
from router.steering.listed import list_costs
from router.steering.planned import checked_traffic
from router.steering.reading import CellCache, read_evidence
from storage.records import ExperimentRow
from storage.store import Store

FEWEST_UNITS = 100
"""Units from which a running experiment's own pace is believed."""


def forecast(store: Store, name: str, units_per_day: float | None, now_ms: int) -> Plan:
    """The plan at `units_per_day` units of the task; by default at the pace of the experiment so far."""
    wanted = checked_traffic(units_per_day)
    row = store.experiment(name)
    if row is None:
        raise no_experiment(name)
    if row.definition.mode == "shadow":
        raise Conflict("mode shadow has no shares to plan; its report says how many more pairs it needs")
    config = store.state().config
    if config is None:
        raise Conflict("the store holds no configuration yet; run: pointsman apply FILE")
    document = Document.model_validate_json(config.body)
    if row.started_at_ms is None:
        return draft_plan(row.definition, document, wanted)
    evidence = read_evidence(store, row, now_ms, CellCache())
    mature = evidence.mature(row.definition, now_ms)
    until_ms = now_ms if row.ended_at_ms is None else row.ended_at_ms
    return running_plan(row, document, (evidence, mature), until_ms, wanted)


def draft_plan(definition: Experiment, document: Document, units_per_day: float | None = None) -> Plan:
    """Before the start: the hardest case of outcomes, and costs by the price list."""
    return plan(definition, expectations(definition, None, list_costs(definition, document)), units_per_day)


def running_plan(
    row: ExperimentRow,
    document: Document,
    evidence: tuple[Evidence, Evidence],
    until_ms: int,
    units_per_day: float | None = None,
) -> Plan:
    """After the start, from (all, mature) evidence: what a unit's reward and cost vary by, and the pace."""
    definition, (everything, mature) = row.definition, evidence
    seen = volume(definition, everything, mature, until_ms)
    if units_per_day is None and seen.assigned >= FEWEST_UNITS:
        units_per_day = seen.units_per_day / definition.traffic
    expected = expectations(definition, mature, list_costs(definition, document))
    return plan(definition, expected, units_per_day)
