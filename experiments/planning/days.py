"""Days: what a plan says, and what its units take at a task's traffic. Light enough for a serving worker.

The units of a plan rest on the statistics (experiments.planning.power); turning them into days is arithmetic,
so that a stored plan answers for any traffic.
"""

from dataclasses import dataclass, replace
from math import ceil, inf, isfinite
from typing import Literal

from experiments.definition.duration import days_in_words
from experiments.definition.experiment import Experiment

PlanMode = Literal["ab", "learn", "earn"]
Answer = Literal["enough", "not_enough_traffic", "max_units_too_small", "traffic_unknown"]
HORIZON_DAYS = 90.0
"""A verdict that takes longer than this is called out of reach of the traffic."""
MOST_UNITS_PER_DAY = 1e12
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ModePlan:
    """Units over all arms and days from the start, for one mode. Days are None while the traffic is unknown."""

    mode: PlanMode
    units_mean: int
    units_likely: int
    """80% of experiments with a candidate worth promoting have their verdict by then."""
    units_at_floor: int | None
    """Mean units if the bandit held the candidate at its floor all the time; None in mode ab."""
    days_mean: float | None = None
    days_likely: float | None = None
    days_at_floor: float | None = None


@dataclass(frozen=True, slots=True)
class RuleUnits:
    """What one rule of promotion takes by itself, with equal shares."""

    rule: str
    units: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer, the three modes side by side, and what the traffic can show."""

    answer: Answer
    sentence: str
    floor_sentence: str | None
    """What the floors of the declared mode cost; None in mode ab."""
    mode: PlanMode
    modes: tuple[ModePlan, ...]
    rules: tuple[RuleUnits, ...]
    slowest_rule: str
    """The rule that needs the most units."""
    fixed_units: int
    """Units over all arms of fixed two-sided tests of the same reward rules at 80% power, with equal shares."""
    units_seen: int
    units_per_day: float | None
    """Units of the task per day that the plan reckons with."""
    units_per_day_needed: float
    """Units of the task per day with which a verdict is likely within 90 days."""
    detectable_now: float | None
    """Smallest reward difference that would be shown at the present information with 80% probability."""
    detectable_at_max_units: float
    """The same at the planned maximum of units with equal shares."""

    @property
    def chosen(self) -> ModePlan:
        """The declared mode's."""
        return next(each for each in self.modes if each.mode == self.mode)


def at_traffic(planned: Plan, definition: Experiment, units_per_day: float | None) -> Plan:
    """The plan at `units_per_day` units of the task, of which `traffic` take part; None if nobody knows yet."""
    if units_per_day is not None and not 0 < units_per_day <= MOST_UNITS_PER_DAY:
        raise ValueError(
            f"units_per_day == {units_per_day:g}, must be above 0 and at most {MOST_UNITS_PER_DAY:g}"
        )
    per_day = None if units_per_day is None else units_per_day * definition.traffic
    dated = replace(
        planned,
        modes=tuple(_dated(definition, each, per_day) for each in planned.modes),
        units_per_day=units_per_day,
        units_per_day_needed=_traffic_needed(definition, planned.chosen),
    )
    dated = replace(dated, answer=_answer(definition, dated))
    return replace(dated, sentence=_sentence(definition, dated), floor_sentence=_floor_sentence(dated))


def _dated(definition: Experiment, one: ModePlan, per_day: float | None) -> ModePlan:
    return replace(
        one,
        days_mean=_days(definition, one.units_mean, per_day),
        days_likely=_days(definition, one.units_likely, per_day),
        days_at_floor=_days(definition, one.units_at_floor, per_day),
    )


def _days(definition: Experiment, units: int | None, per_day: float | None) -> float | None:
    """Days until the units are assigned and their rewards are in; never before the minimum duration."""
    if per_day is None or units is None:
        return None
    return max(units / per_day + definition.reward.window_ms / _DAY_MS, definition.decision.min_days)


def _traffic_needed(definition: Experiment, chosen: ModePlan) -> float:
    room = max(HORIZON_DAYS - definition.reward.window_ms / _DAY_MS, 1.0)
    return chosen.units_likely / room / definition.traffic


def _answer(definition: Experiment, dated: Plan) -> Answer:
    days, horizon = dated.chosen.days_likely, max(HORIZON_DAYS, definition.decision.min_days)
    if days is not None and days > horizon:
        return "not_enough_traffic"
    if dated.chosen.units_likely > definition.decision.max_units:
        return "max_units_too_small"
    return "traffic_unknown" if days is None else "enough"


def _sentence(definition: Experiment, dated: Plan) -> str:
    units, days = rounded(dated.chosen.units_likely), dated.chosen.days_likely or inf
    most = definition.decision.max_units
    if dated.answer == "not_enough_traffic":
        return (
            f"Not enough traffic: about {units:,} units are needed, which takes {days_in_words(days)}; "
            f"with {rounded(dated.units_per_day_needed):,} units of the task a day it would take {HORIZON_DAYS:.0f}."
        )
    if dated.answer == "max_units_too_small":
        return f"max_units is too small: about {units:,} units are needed, max_units is {most:,}."
    if dated.answer == "traffic_unknown":
        return f"About {units:,} units are needed; the task's traffic is not known yet."
    return f"A verdict is likely within {days_in_words(days)}, after about {units:,} units."


def _floor_sentence(dated: Plan) -> str | None:
    """What it costs that the bandit may hold a candidate at its floor, beside equal shares."""
    chosen, equal = dated.chosen, next(each for each in dated.modes if each.mode == "ab")
    if chosen.units_at_floor is None:
        return None
    more = max(chosen.units_at_floor - equal.units_mean, 0)
    if chosen.days_at_floor is None or equal.days_mean is None:
        return f"Held at its floor a candidate takes {rounded(more):,} units more than with equal shares."
    days = max(chosen.days_at_floor - equal.days_mean, 0.0)
    return (
        f"Held at its floor a candidate takes {days_in_words(chosen.days_at_floor)} on average, "
        f"{days_in_words(days)} more than with equal shares."
    )


def rounded(units: float) -> int:
    """Two significant digits, upwards: a forecast should not look exact.

    >>> rounded(12_345.0), rounded(7.2)
    (13000, 8)
    """
    if not isfinite(units):
        raise ValueError(f"units == {units}, must be finite")
    size = 10 ** max(len(str(int(units))) - 2, 0)
    return int(max(ceil(units / size) * size, 1))
