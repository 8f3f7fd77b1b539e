"""Forecast: the plan of an experiment as it stands in the store, before its start or while it runs."""

from experiments.evidence.volume import DAY_MS
from experiments.planning.expectations import expectations
from experiments.planning.power import Plan, plan
from router.config.document import Document
from router.errors import InvalidRequest, NotFound
from router.steering.look import CellCache, list_costs, read_evidence
from storage.store import Store

FEWEST_UNITS = 100
"""Units from which a running experiment's own pace is believed."""
MOST_UNITS_PER_DAY = 1e12


def forecast(store: Store, name: str, units_per_day: float | None, now_ms: int) -> Plan:
    """The plan at `units_per_day` units of the task; by default at the pace of the experiment so far.

    What a unit's reward and cost vary by is taken from the evidence once there is some.
    """
    if units_per_day is not None and not 0 < units_per_day <= MOST_UNITS_PER_DAY:
        raise InvalidRequest(
            f"units_per_day == {units_per_day:g}, must be above 0 and at most {MOST_UNITS_PER_DAY:g}",
            "units_per_day",
        )
    row = store.experiment(name)
    if row is None:
        raise NotFound(f"there is no experiment {name[:100]!r}")
    config, definition = store.state().config, row.definition
    costs = None if config is None else list_costs(definition, Document.model_validate_json(config.body))
    if row.started_at_ms is None:
        return plan(definition, expectations(definition, None, costs), units_per_day)
    evidence = read_evidence(store, row, now_ms, CellCache())
    assigned = int(evidence.counts["assigned"].sum())
    until_ms = now_ms if row.ended_at_ms is None else row.ended_at_ms
    if units_per_day is None and assigned >= FEWEST_UNITS:
        running_ms = max(until_ms - row.started_at_ms, 1)
        units_per_day = assigned * DAY_MS / running_ms / definition.traffic
    return plan(
        definition, expectations(definition, evidence.mature(definition, now_ms), costs), units_per_day
    )
