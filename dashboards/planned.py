"""The plan of an experiment in sentences: when its verdict may come, and what it can show by then."""

from dashboards import figures
from experiments.planning.days import Plan


def plan_sentences(plan: Plan) -> tuple[str, ...]:
    """What a reader of the report wants to know of the plan."""
    found = [plan.sentence]
    if plan.floor_sentence is not None:
        found.append(plan.floor_sentence)
    if plan.detectable_now is not None:
        found.append(
            f"The smallest difference that would be shown now, at {figures.units(plan.units_seen)} units, is "
            f"{figures.setting(_short(plan.detectable_now))}."
        )
    found.append(
        f"At the planned maximum of units a difference of "
        f"{figures.setting(_short(plan.detectable_at_max_units))} would be shown; "
        f"the rule that takes longest is {plan.slowest_rule}."
    )
    return tuple(found)


def _short(effect: float) -> float:
    """Two significant digits: a forecast should not look exact."""
    return float(f"{effect:.2g}")
