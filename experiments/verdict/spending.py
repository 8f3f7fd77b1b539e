"""Spending: whether a candidate alone would keep the budget of objective `budget`.

While the experiment runs, the shares mix dear and cheap candidates and keep the budget together; a promotion sends
everything to one. So the bound is one more condition of promotion, and breaking it is no harm: the candidate stays
in the mixture.
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass

from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST
from experiments.inference.effects import arm_means
from experiments.inference.sequence import Estimate, Sequence

RELATIVE_SIZE = 0.10
"""Distance from the budget, as a part of it, that the test is tuned for."""


@dataclass(frozen=True, slots=True)
class Spending:
    """A candidate's mean cost per request in multiples of the budget, with one-sided always-valid bounds."""

    mean: Estimate
    upper: float
    lower: float
    p_within: float
    """Of "it costs the budget or more"."""
    log_e_within: float
    """ln of the e-value of the same at this look."""

    @property
    def kept(self) -> bool:
        """Shown to cost less than the budget."""
        return self.upper < 1

    @property
    def broken(self) -> bool:
        """Shown to cost more than the budget."""
        return self.lower > 1


def spendings(
    definition: Experiment, current: Evidence, arms: Series[int], alpha: float
) -> tuple[Spending | None, ...]:
    """Each candidate's spending under the prices in force; None for other objectives."""
    budget_usd = definition.objective.budget_usd
    if budget_usd is None:
        return (None,) * len(arms)
    sequence = Sequence(alpha, RELATIVE_SIZE)
    means = arm_means(current.metric(COST), arms, budget_usd)
    return tuple(
        _judged(Estimate(mean.value / budget_usd, mean.information * budget_usd**2), sequence)
        for mean in means
    )


def _judged(mean: Estimate, sequence: Sequence) -> Spending:
    below = mean.minus(1.0).reversed()
    return Spending(
        mean,
        sequence.upper(mean),
        sequence.lower(mean),
        sequence.p_value_one_sided(below),
        sequence.log_e_one_sided(below),
    )
