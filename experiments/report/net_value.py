"""Net value in a report: US dollars of 1,000 requests, of each candidate and against the control."""

from bandit.cells import Floats, Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.inference.fixed_horizon import Result, reward_difference, sums
from experiments.inference.net_value import net_values
from experiments.report.part import Number

REQUESTS = 1_000
"""A single request is worth fractions of a cent; a thousand are worth a figure that people can weigh."""


def pooled_net_values(definition: Experiment, current: Evidence) -> Floats | None:
    """Sums of net value under the prices in force, by arm; None for other objectives."""
    value_usd = definition.objective.value_usd
    return None if value_usd is None else net_values(current.joint, value_usd).pooled()


def per_1000_usd(definition: Experiment, current: Evidence, arm: int) -> Number:
    """Mean net value of 1,000 requests of the candidate's own epochs."""
    pooled = pooled_net_values(definition, current)
    if pooled is None or pooled[arm, Z.UNIT, Z.REQUESTS] <= 0:
        return None
    return float(REQUESTS * pooled[arm, Z.UNIT, Z.TOTAL] / pooled[arm, Z.UNIT, Z.REQUESTS])


def fixed_horizon(pooled: Floats, arm: int, alpha: float) -> Result:
    """The classical test of the same difference, per request."""
    return reward_difference(sums(pooled[0]), sums(pooled[arm]), binary=False, alpha=alpha)


def of_1000(usd: float) -> float:
    """Dollars of 1,000 requests, from those of one."""
    return REQUESTS * usd
