"""Exact read-out of the reward: the deciding one of a strict experiment, and beside the others elsewhere."""

from math import exp

from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import PRIMARY
from experiments.inference.not_enough import NotEnoughData
from experiments.report.other_parts import ExactPart
from experiments.verdict.comparison import LARGEST_LOG_E, Comparison, level
from experiments.verdict.strict import exact_difference, exact_non_inferiority, exact_range


def exact_part(definition: Experiment, mature: Evidence, comparison: Comparison) -> ExactPart:
    """The exact tests, or why there are none."""
    cells, arm, decides = mature.metric(PRIMARY), comparison.arm, comparison.exact is not None
    difference = exact_difference(definition, cells, arm)
    not_worse = exact_non_inferiority(definition, cells, arm)
    found = exact_range(definition, cells, arm, level(definition))
    if (
        isinstance(difference, NotEnoughData)
        or isinstance(not_worse, NotEnoughData)
        or isinstance(found, NotEnoughData)
    ):
        reason = difference.reason if isinstance(difference, NotEnoughData) else ""
        return ExactPart(
            decides=decides, low=None, high=None, p=None, e_value=None, not_worse_p=None, reason=reason
        )
    return ExactPart(
        decides=decides,
        low=found.low,
        high=found.high,
        p=difference.p,
        e_value=exp(min(difference.log_e, LARGEST_LOG_E)),
        not_worse_p=not_worse.p,
        reason="",
    )
