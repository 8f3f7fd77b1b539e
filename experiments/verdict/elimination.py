"""Elimination: candidates that the evidence has ruled out and that get no further traffic.

A candidate goes when it is shown to be worse than a bound allows, or when a live candidate that is itself
shown to keep every bound is shown to beat it on the objective. The control always stays, and so does a
candidate whose promotion was declared, unless it does harm.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Series
from math import log

from bandit.cells import Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, PRIMARY
from experiments.inference.effects import log_ratios
from experiments.inference.sequence import Estimate, Sequence
from experiments.verdict.comparison import (
    RELATIVE_MDE,
    Comparison,
    gain_size,
    level,
    objective_effects,
)
from experiments.verdict.rules import Candidacy
from experiments.verdict.strict import exact_superiority


def objective_effect(definition: Experiment, comparison: Comparison) -> Estimate:
    """The effect that orders candidates by the objective; greater is better."""
    if definition.objective.kind == "cheapest_non_inferior":
        return comparison.cost.estimate.reversed()
    return comparison.superior.estimate


def leader(definition: Experiment, candidacies: Series[Candidacy]) -> Candidacy | None:
    """The live candidate with the best objective among those that may still be promoted.

    A candidate that is estimated below the margin, or that cannot gain enough any more, leads nobody: it
    would keep a better one waiting.
    """
    margin = definition.objective.reward_margin
    plausible = [
        one for one in candidacies
        if one.harm is None and not one.futile
        and one.comparison.reward.known and one.comparison.reward.estimate.value > -margin
    ]  # fmt: skip
    return max(plausible, key=lambda one: objective_effect(definition, one.comparison).value, default=None)


def eliminated(
    definition: Experiment,
    evidence: Evidence,
    candidacies: Series[Candidacy],
    cost_series: int,
    declared: str | None = None,
) -> Mapping[str, str]:
    """Why each ruled-out candidate must go, by name; `declared` names the one whose promotion was declared."""
    reasons = {
        one.comparison.candidate: f"rule {one.harm.name}: {one.harm.sentence}"
        for one in candidacies
        if one.harm is not None
    }
    best = leader(definition, candidacies)
    if best is None or not best.keeps_bounds:
        return reasons
    rivals = [
        one.comparison for one in candidacies
        if one is not best and one.comparison.candidate not in (*reasons, declared) and one.costs_known
    ]  # fmt: skip
    return {**reasons, **_beaten(definition, evidence, rivals, best.comparison, cost_series)}


def _beaten(
    definition: Experiment,
    evidence: Evidence,
    rivals: Series[Comparison],
    best: Comparison,
    cost_series: int,
) -> Mapping[str, str]:
    """The rivals over which the leader's objective is shown to be better, each at the level of every test."""
    if definition.objective.kind == "budget":
        rivals = _dearer(definition, evidence, rivals, best, cost_series)
    if not rivals:
        return {}
    if definition.decision.read_out == "strict" and definition.objective.gains_reward:
        return _beaten_exactly(definition, evidence, rivals, best)
    sequence = Sequence(level(definition), gain_size(definition))
    arms = [rival.arm for rival in rivals]
    effects = evidence.once(
        "beaten",
        (definition, arms, cost_series, best.arm),
        lambda: objective_effects(definition, evidence, arms, cost_series, against=best.arm),
    )
    return {
        rival.candidate: f"{best.candidate} is better on {definition.objective.kind}"
        for rival, effect in zip(rivals, effects, strict=True)
        if sequence.upper(effect) < 0
    }


def _dearer(
    definition: Experiment,
    evidence: Evidence,
    rivals: Series[Comparison],
    best: Comparison,
    cost_series: int,
) -> Series[Comparison]:
    """The rivals that are shown to cost more than the leader.

    Under a budget the best split mixes dear and cheap candidates, so one of lower reward is of no use only if it is
    dearer as well.
    """
    costs = evidence.in_series(cost_series).metric(COST)
    found = log_ratios(costs, best.arm, [rival.arm for rival in rivals], Z.COST, Z.REQUESTS)
    sequence = Sequence(level(definition), log(1 + RELATIVE_MDE))
    return [rival for rival, cost in zip(rivals, found, strict=True) if sequence.lower(cost) > 0]


def _beaten_exactly(
    definition: Experiment, evidence: Evidence, rivals: Series[Comparison], best: Comparison
) -> Mapping[str, str]:
    """The same by the exact test of the reward, in a strict experiment."""
    rewards, alpha = evidence.metric(PRIMARY), level(definition)
    return {
        rival.candidate: f"{best.candidate} is better on reward, by the exact test"
        for rival in rivals
        if exact_superiority(definition, rewards, best.arm, rival.arm).p <= alpha
    }
