"""Money: what a promotion would save per day, with the interval that the cost test gives."""

from dataclasses import dataclass

from bandit.cells import Z
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST
from experiments.report.numbers import number
from experiments.verdict.comparison import Comparison, relative


@dataclass(frozen=True, slots=True)
class Saved:
    """US dollars per day; None where the cost is not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def saved_per_day(current: Evidence, comparison: Comparison | None, units_per_day: float) -> Saved:
    """Control's cost per unit times the relative saving times the task's units per day."""
    if comparison is None or not comparison.cost.known:
        return Saved()
    control = current.metric(COST).pooled()[0]
    spend = float(control[Z.UNIT, Z.COST] / control[Z.UNIT, Z.UNIT]) * units_per_day
    cost = comparison.cost
    return Saved(
        number(-relative(cost.estimate.value) * spend),
        number(-relative(cost.high) * spend),
        number(-relative(cost.low) * spend),
    )
