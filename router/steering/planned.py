"""The plan that the planner keeps with an experiment's report, read without any statistics."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from experiments.planning.days import MOST_UNITS_PER_DAY, Plan, at_traffic
from router.errors import InvalidRequest, NotFound, no_experiment
from storage.store import Store


@dataclass(frozen=True, slots=True)
class _Kept:
    """What of a kept report is read."""

    plan: Plan | None = None


_KEPT = TypeAdapter(_Kept)


def planned(store: Store, name: str, units_per_day: float | None = None) -> Plan:
    """Units and days to a verdict, at the experiment's own pace or at `units_per_day` units of the task.

    Raises NotFound before the planner's first look, and where an experiment ended before it.
    """
    wanted, row = checked_traffic(units_per_day), store.experiment(name)
    if row is None:
        raise no_experiment(name)
    report = store.report(row.id)
    plan = _KEPT.validate_json(report.body).plan if report is not None else None
    if plan is None:
        raise NotFound(f"experiment {name!r} has no plan yet; it appears with the planner's next tick")
    return at_traffic(plan, row.definition, plan.units_per_day if wanted is None else wanted)


def checked_traffic(units_per_day: float | None) -> float | None:
    """The same number; raises InvalidRequest for one that no plan can reckon with."""
    if units_per_day is not None and not 0 < units_per_day <= MOST_UNITS_PER_DAY:
        raise InvalidRequest(
            f"units_per_day == {units_per_day:g}, must be above 0 and at most {MOST_UNITS_PER_DAY:g}",
            "units_per_day",
        )
    return units_per_day
