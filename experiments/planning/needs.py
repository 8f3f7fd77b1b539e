"""Needs: the information that each rule of promotion takes, and the units that carry it.

A rule holds when its one-sided bound clears a threshold at a distance from the true effect; the information for that is
`Sequence.information_needed`. With shares p and variances v per unit it takes N = I (v_a / p_a + v_b / p_b) units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log, log1p
from typing import Literal

from experiments.definition.experiment import Experiment
from experiments.inference.sequence import Sequence
from experiments.planning.expectations import Expectations
from experiments.verdict.comparison import RELATIVE_MDE, level
from experiments.verdict.rules import FEWEST_RATIO_UNITS, FEWEST_UNITS, RARE_OUTCOMES


@dataclass(frozen=True, slots=True)
class Need:
    """What one rule needs."""

    rule: str
    metric: Literal["reward", "cost", "error"]
    distance: float
    """From the expected effect to the threshold, on the scale of the rule."""
    information: float
    control_variance: float
    candidate_variance: float
    known_share: float = 1.0
    """Share of units that carry the metric."""

    def units(self, control_share: float, candidate_share: float) -> float:
        """Units over all arms at these shares."""
        per_unit = self.control_variance / control_share + self.candidate_variance / candidate_share
        return self.information * per_unit / self.known_share


def needs(definition: Experiment, expected: Expectations) -> tuple[Need, ...]:
    """The needs of all rules for a candidate worth promoting.

    With objective `reward` that is one better by the mde; else one as good as the control that saves what the
    price list says, or a tenth more than `min_saving`.
    """
    alpha, objective, decision = level(definition), definition.objective, definition.decision
    better = decision.mde if objective.kind == "reward" else 0.0
    reward, known = expected.reward_variance, expected.feedback_share
    distance = objective.reward_margin + better
    margin = Sequence(alpha, objective.reward_margin).information_needed(distance)
    found = [Need("not_worse", "reward", distance, margin, reward, reward, known)]
    if objective.kind == "reward":
        gain = Sequence(alpha, decision.mde).information_needed(decision.mde)
        found.append(Need("gain", "reward", decision.mde, gain, reward, reward, known))
    else:
        found.append(_cost_need("gain", alpha, _saving_beyond(definition, expected), expected))
    return (*found, *_guardrail_needs(definition, expected, alpha))


def units_by_metric(
    found: tuple[Need, ...], control_share: float, candidate_share: float
) -> Mapping[str, float]:
    """Units by metric: rules on one metric read the same estimate, so the hardest of them is the last."""
    units: dict[str, float] = {}
    for need in found:
        units[need.metric] = max(units.get(need.metric, 0.0), need.units(control_share, candidate_share))
    return units


def data_units(definition: Experiment, expected: Expectations, smallest_share: float) -> float:
    """Units until every arm has enough rewards, and enough of the rarer outcome."""
    least = FEWEST_RATIO_UNITS if definition.objective.needs_cost else FEWEST_UNITS
    rare = RARE_OUTCOMES / max(expected.rarer_rate, 1e-9) if definition.reward.kind == "binary" else 0.0
    return max(least, rare) / smallest_share / expected.feedback_share


def _guardrail_needs(definition: Experiment, expected: Expectations, alpha: float) -> Iterator[Need]:
    """Guardrails of a candidate that equals the control; errors vary as they would at the bound."""
    rate = min(max(expected.error_rate, 0.0), 1.0)
    for rule in definition.guardrails:
        if rule.max_ratio is not None:
            yield _cost_need(rule.metric, alpha, log(rule.max_ratio), expected)
        elif rule.max_increase is not None:
            at_bound = min(rate + rule.max_increase, 1.0)
            information = Sequence(alpha, rule.max_increase).information_needed(rule.max_increase)
            spread = (max(rate * (1 - rate), 1e-4), max(at_bound * (1 - at_bound), 1e-4))
            yield Need(rule.metric, "error", rule.max_increase, information, *spread)


def _cost_need(rule: str, alpha: float, distance: float, expected: Expectations) -> Need:
    """A need on the log cost ratio, whose variance per unit is the squared coefficient of variation."""
    squared = max(expected.cost_variation**2, 1e-4)
    information = Sequence(alpha, log1p(RELATIVE_MDE)).information_needed(distance)
    return Need(rule, "cost", distance, information, squared, squared)


def _saving_beyond(definition: Experiment, expected: Expectations) -> float:
    """Distance of the expected ln cost ratio from the bound that counts as cheaper."""
    bound = log(1 - definition.decision.min_saving)
    if expected.saving is None or expected.saving >= 1:
        return log1p(RELATIVE_MDE)
    beyond = bound - log(1 - expected.saving)
    return beyond if beyond > 0 else log1p(RELATIVE_MDE)
