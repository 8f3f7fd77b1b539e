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
from math import ceil, log, sqrt

import numpy as np
from scipy.special import ndtr

from bandit.floors import OPEN_TOTAL, PHI
from experiments.definition.experiment import Experiment
from experiments.inference.fixed_horizon import planned_units
from experiments.inference.sequence import Sequence
from experiments.planning.days import ModePlan, Plan, PlanMode, RuleUnits, at_traffic
from experiments.planning.expectations import Expectations
from experiments.planning.needs import Need, data_units, needs, units_by_metric
from experiments.verdict.comparison import level

LIKELY = 0.8
_Z_LIKELY = 0.8416212335729143
MOST_UNITS = 1e15
"""Counts of a plan end here: no traffic brings more, also where a rule can never hold."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Lognormal law of the units to a verdict, in multiples of what equal shares need at the true effect."""

    median: float
    spread: float


PACES: Mapping[PlanMode, Pace] = {"ab": Pace(0.85, 0.63), "learn": Pace(0.85, 0.63), "earn": Pace(1.05, 0.75)}


def plan(definition: Experiment, expected: Expectations, units_per_day: float | None = None) -> Plan:
    """The plan of an experiment at `units_per_day` units of its task, of which `traffic` take part."""
    found = needs(definition, expected)
    arms = len(definition.candidates)
    equal = {need.rule: need.units(1 / arms, 1 / arms) for need in found}
    sequence = Sequence(level(definition), definition.decision.mde)
    of_max = definition.decision.max_units * expected.feedback_share / (2 * arms * expected.reward_variance)
    without_days = Plan(
        answer="traffic_unknown",
        sentence="",
        floor_sentence=None,
        mode=_mode(definition),
        modes=tuple(_mode_plan(definition, expected, found, each) for each in PACES),
        rules=tuple(RuleUnits(rule, _whole(units)) for rule, units in equal.items()),
        slowest_rule=max(equal, key=lambda rule: equal[rule]),
        fixed_units=arms * _fixed_units_per_arm(definition, expected, found),
        units_seen=expected.units,
        units_per_day=None,
        units_per_day_needed=0.0,
        detectable_now=detectable(sequence, expected.information) if expected.information > 0 else None,
        detectable_at_max_units=detectable(sequence, of_max),
    )
    return at_traffic(without_days, definition, units_per_day)


def detectable(sequence: Sequence, information: float) -> float:
    """Effect whose bound clears zero with 80% probability at this information: m1(I) + z_80 / sqrt(I)."""
    return sequence.margin_one_sided(information) + _Z_LIKELY / sqrt(information)


def joint_units(units: Mapping[str, float], pace: Pace) -> tuple[float, float]:
    """Mean and 80% quantile of the last of independent lognormal times, each `pace` times its units.

    >>> one, two = joint_units({"reward": 1000.0}, PACES["ab"]), joint_units({"a": 1000.0, "b": 1000.0}, PACES["ab"])
    >>> [round(each, -1) for each in (*one, *two)]
    [1040.0, 1440.0, 1390.0, 1870.0]
    """
    sizes = np.array([min(size, MOST_UNITS) for size in units.values() if size > 0])
    grid = np.geomspace(sizes.max() * 1e-3, sizes.max() * 1e3, 4_001)
    below = ndtr((np.log(grid / sizes[:, None]) - log(pace.median)) / pace.spread).prod(axis=0)
    mean = float(grid[0] + np.trapezoid(1 - below, grid))
    return mean, float(np.interp(LIKELY, below, grid))


def _mode_plan(
    definition: Experiment, expected: Expectations, found: tuple[Need, ...], mode: PlanMode
) -> ModePlan:
    arms = len(definition.candidates)
    declared = _lasting_shares(definition) if mode == "ab" else (1 / arms,) * arms
    pace, at = PACES[mode], (declared[0], min(declared[1:]))
    mean, likely = joint_units(units_by_metric(found, *at), pace)
    least = data_units(definition, expected, min(at))
    at_floor = None
    if mode != "ab":
        at_floor, _ = joint_units(units_by_metric(found, *_floor_shares(mode, arms, expected)), PACES["ab"])
    return ModePlan(
        mode, _whole(max(mean, least)), _whole(max(likely, least)),
        None if at_floor is None else _whole(max(at_floor, least)),
    )  # fmt: skip


def _lasting_shares(definition: Experiment) -> tuple[float, ...]:
    """Shares in mode ab; a ramp ends at its last step."""
    if definition.ramp is None:
        return definition.starting_shares
    return definition.ramp[-1], 1 - definition.ramp[-1]


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


def _mode(definition: Experiment) -> PlanMode:
    return next((mode for mode in PACES if mode == definition.mode), "ab")


def _whole(units: float) -> int:
    """Units as a count."""
    return ceil(min(units, MOST_UNITS))
