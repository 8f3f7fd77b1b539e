"""Elimination: candidates that the evidence has ruled out and that get no further traffic.

A candidate goes when it is shown to be worse than a bound allows, or when a live candidate that is shown
not to be worse than the control is shown to beat it on the objective. The control always stays.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Series
from math import log

from experiments.comparison import RELATIVE_MDE, Comparison, compare, level
from experiments.definition import Experiment
from experiments.evidence import Evidence
from experiments.rules import Candidacy
from experiments.sequence import Estimate, Sequence


def objective_effect(definition: Experiment, comparison: Comparison) -> Estimate:
    """The effect that orders candidates by the objective; greater is better."""
    kind = definition.objective.kind
    if kind == "reward":
        return comparison.reward.estimate
    if kind == "cheapest_non_inferior":
        return comparison.cost.estimate.reversed()
    return comparison.reward_per_cost.estimate


def leader(definition: Experiment, candidacies: Series[Candidacy]) -> Candidacy | None:
    """The live candidate with the best objective among those whose estimated reward meets the margin."""
    margin = definition.objective.reward_margin
    plausible = [
        one for one in candidacies
        if one.harm is None and one.comparison.reward.known and one.comparison.reward.estimate.value > -margin
    ]  # fmt: skip
    return max(plausible, key=lambda one: objective_effect(definition, one.comparison).value, default=None)


def eliminated(
    definition: Experiment, evidence: Evidence, candidacies: Series[Candidacy], cost_series: int
) -> Mapping[str, str]:
    """Why each ruled-out candidate must go, by name."""
    reasons = {one.comparison.candidate: one.harm.sentence for one in candidacies if one.harm is not None}
    best = leader(definition, candidacies)
    if best is None or not _shown_not_worse(best):
        return reasons
    for one in candidacies:
        name = one.comparison.candidate
        if one is not best and name not in reasons and _beaten(definition, evidence, one, best, cost_series):
            reasons[name] = f"{best.comparison.candidate} is better on {definition.objective.kind}"
    return reasons


def _shown_not_worse(one: Candidacy) -> bool:
    return all(
        rule.state == "holds" for rule in one.rules if rule.name in ("data", "not_worse", "min_reward")
    )


def _beaten(
    definition: Experiment, evidence: Evidence, one: Candidacy, best: Candidacy, cost_series: int
) -> bool:
    """Whether the leader's objective is shown to be better than this candidate's, at the same level."""
    duel = compare(definition, evidence, best.comparison.arm, cost_series, against=one.comparison.arm)
    effect = objective_effect(definition, duel)
    mde = definition.decision.mde if definition.objective.kind == "reward" else log(1 + RELATIVE_MDE)
    return effect.information > 0 and Sequence(level(definition), mde).lower(effect) > 0
