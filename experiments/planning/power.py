"""Power: how many units and days a verdict takes, and what can be seen with the traffic there is.

Looking at every epoch, the units at which a rule of promotion holds scatter around what its information takes
(experiments.planning.needs) as a lognormal: for the confidence sequence itself median .85 and mean 1.0 times
that, with 80% of runs done by 1.45 times, for alpha from .2 to .001 and true effects from half to twice the
planned one (20,000 seeded paths each; a short form is in tests/experiments/test_power.py).

In mode earn shares drift to the winner, which costs the comparison with the control: medians 0.9 to 1.1, means
1.1 to 1.3 and 80% quantiles 1.45 to 2.05 over 2 to 10 candidates (100 seeded runs each of the allocation of
`bandit`). In mode learn two and three candidates take what equal shares take, ten about a fifth less; it is
planned like equal shares. Rules on reward, cost and errors are met at nearly independent times, so the plan
takes the distribution of the last of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf, isfinite, log, sqrt
from typing import Literal

import numpy as np
from scipy.special import ndtr

from bandit.floors import OPEN_TOTAL, PHI
from experiments.definition.experiment import Experiment
from experiments.evidence.volume import DAY_MS
from experiments.inference.fixed_horizon import planned_units
from experiments.inference.sequence import Sequence
from experiments.planning.expectations import Expectations
from experiments.planning.needs import Need, data_units, needs, units_by_metric
from experiments.verdict.comparison import level

PlanMode = Literal["ab", "learn", "earn"]
Answer = Literal["enough", "not_enough_traffic", "max_units_too_small", "traffic_unknown"]
HORIZON_DAYS = 90.0
"""A verdict that takes longer than this is called out of reach of the traffic."""
LIKELY = 0.8
_Z_LIKELY = 0.8416212335729143


@dataclass(frozen=True, slots=True)
class Pace:
    """Lognormal law of the units to a verdict, in multiples of what equal shares need at the true effect."""

    median: float
    spread: float


PACES: Mapping[PlanMode, Pace] = {"ab": Pace(0.85, 0.63), "learn": Pace(0.85, 0.63), "earn": Pace(1.05, 0.75)}


@dataclass(frozen=True, slots=True)
class ModePlan:
    """Units over all arms and days from the start, for one mode. Days are None while the traffic is unknown."""

    mode: PlanMode
    units_mean: int
    units_likely: int
    """80% of experiments with a candidate worth promoting have their verdict by then."""
    days_mean: float | None
    days_likely: float | None
    units_at_floor: int | None
    """Mean units if the bandit held the candidate at its floor all the time; None in mode ab."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer, the three modes side by side, and what the traffic can show."""

    answer: Answer
    sentence: str
    mode: PlanMode
    modes: tuple[ModePlan, ...]
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


def plan(definition: Experiment, expected: Expectations, units_per_day: float | None = None) -> Plan:
    """The plan of an experiment at `units_per_day` units of its task, of which `traffic` take part."""
    if units_per_day is not None and not 0 < units_per_day < inf:
        raise ValueError(f"units_per_day == {units_per_day:g}, must be finite and above 0")
    mode = _mode(definition)
    found = needs(definition, expected)
    per_day = None if units_per_day is None else units_per_day * definition.traffic
    modes = tuple(_mode_plan(definition, expected, found, each, per_day) for each in PACES)
    chosen = next(each for each in modes if each.mode == mode)
    sequence = Sequence(level(definition), definition.decision.mde)
    arms = len(definition.candidates)
    of_max = definition.decision.max_units * expected.feedback_share / (2 * arms * expected.reward_variance)
    room = max(HORIZON_DAYS - definition.reward.window_ms / DAY_MS, 1.0)
    needed = chosen.units_likely / room / definition.traffic
    answer = _answer(definition, chosen, per_day)
    equal = {need.rule: need.units(1 / arms, 1 / arms) for need in found}
    return Plan(
        answer=answer,
        sentence=_sentence(definition, chosen, answer, needed),
        mode=mode,
        modes=modes,
        slowest_rule=max(equal, key=lambda rule: equal[rule]),
        fixed_units=arms * _fixed_units_per_arm(definition, expected, found),
        units_seen=expected.units,
        units_per_day=units_per_day,
        units_per_day_needed=needed,
        detectable_now=detectable(sequence, expected.information) if expected.information > 0 else None,
        detectable_at_max_units=detectable(sequence, of_max),
    )  # fmt: skip


def detectable(sequence: Sequence, information: float) -> float:
    """Effect whose bound clears zero with 80% probability at this information: m1(I) + z_80 / sqrt(I)."""
    return sequence.margin_one_sided(information) + _Z_LIKELY / sqrt(information)


def joint_units(units: Mapping[str, float], pace: Pace) -> tuple[float, float]:
    """Mean and 80% quantile of the last of independent lognormal times, each `pace` times its units.

    >>> one, two = joint_units({"reward": 1000.0}, PACES["ab"]), joint_units({"a": 1000.0, "b": 1000.0}, PACES["ab"])
    >>> [round(each, -1) for each in (*one, *two)]
    [1040.0, 1440.0, 1390.0, 1870.0]
    """
    sizes = np.array([size for size in units.values() if size > 0])
    grid = np.geomspace(sizes.max() * 1e-3, sizes.max() * 1e3, 4_001)
    below = ndtr((np.log(grid / sizes[:, None]) - log(pace.median)) / pace.spread).prod(axis=0)
    mean = float(grid[0] + np.trapezoid(1 - below, grid))
    return mean, float(np.interp(LIKELY, below, grid))


def _mode_plan(
    definition: Experiment,
    expected: Expectations,
    found: tuple[Need, ...],
    mode: PlanMode,
    per_day: float | None,
) -> ModePlan:
    arms = len(definition.candidates)
    declared = definition.starting_shares if mode == "ab" else (1 / arms,) * arms
    pace, at = PACES[mode], (declared[0], min(declared[1:]))
    mean, likely = joint_units(units_by_metric(found, *at), pace)
    least = data_units(definition, expected, min(at))
    at_floor = None
    if mode != "ab":
        at_floor, _ = joint_units(units_by_metric(found, *_floor_shares(mode, arms, expected)), PACES["ab"])
    mean, likely = max(mean, least), max(likely, least)
    return ModePlan(
        mode, ceil(mean), ceil(likely), _days(definition, mean, per_day), _days(definition, likely, per_day),
        None if at_floor is None else ceil(max(at_floor, least)),
    )  # fmt: skip


def _floor_shares(mode: PlanMode, arms: int, expected: Expectations) -> tuple[float, float]:
    """Shares of control and candidate while the bandit favours some other arm."""
    control = OPEN_TOTAL / arms
    if mode == "learn":
        return control, control
    dearness = 1 - (expected.saving or 0.0)
    return control, min(control, PHI / (arms * max(dearness, 1e-9)))


def _fixed_units_per_arm(definition: Experiment, expected: Expectations, found: tuple[Need, ...]) -> int:
    nearest = min(need.distance for need in found if need.metric == "reward")
    units = planned_units(alpha=level(definition), mde=nearest, sd=sqrt(expected.reward_variance))
    return ceil(units / expected.feedback_share)


def _days(definition: Experiment, units: float, per_day: float | None) -> float | None:
    """Days until the units are assigned and their rewards are in; never before the minimum duration."""
    if per_day is None:
        return None
    return max(units / per_day + definition.reward.window_ms / DAY_MS, definition.decision.min_days)


def _mode(definition: Experiment) -> PlanMode:
    return next((mode for mode in PACES if mode == definition.mode), "ab")


def _answer(definition: Experiment, chosen: ModePlan, per_day: float | None) -> Answer:
    if per_day is not None and chosen.days_likely is not None and chosen.days_likely > _horizon(definition):
        return "not_enough_traffic"
    if chosen.units_likely > definition.decision.max_units:
        return "max_units_too_small"
    return "traffic_unknown" if per_day is None else "enough"


def _horizon(definition: Experiment) -> float:
    return max(HORIZON_DAYS, definition.decision.min_days)


def _sentence(definition: Experiment, chosen: ModePlan, answer: Answer, per_day_needed: float) -> str:
    units, most = rounded(chosen.units_likely), definition.decision.max_units
    if answer == "not_enough_traffic":
        return (
            f"Not enough traffic: about {units:,} units are needed, which takes {chosen.days_likely:,.0f} days; "
            f"with {rounded(per_day_needed):,} units of the task a day it would take {HORIZON_DAYS:.0f}."
        )
    if answer == "max_units_too_small":
        return f"max_units is too small: about {units:,} units are needed, max_units is {most:,}."
    if answer == "traffic_unknown":
        return f"About {units:,} units are needed; the task's traffic is not known yet (--units-per-day)."
    return f"A verdict is likely within {chosen.days_likely:,.1f} days, after about {units:,} units."


def rounded(units: float) -> int:
    """Two significant digits, upwards: a forecast should not look exact.

    >>> rounded(12_345.0), rounded(7.2)
    (13000, 8)
    """
    if not isfinite(units):
        raise ValueError(f"units == {units}, must be finite")
    size = 10 ** max(len(str(int(units))) - 2, 0)
    return int(max(ceil(units / size) * size, 1))
