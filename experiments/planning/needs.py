"""Needs: the information that each rule of promotion takes, and the units that carry it.

A rule holds when its one-sided bound clears a threshold at a distance from the true effect; the information for that is
`Sequence.information_needed`. With shares p and variances v per unit it takes N = I (v_a / p_a + v_b / p_b) units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log, log1p

from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import COST, ERROR, FEEDBACK_RATE, Guardrail
from experiments.inference.latency_ratio import FEWEST_BEYOND, tail_shift
from experiments.inference.sequence import Sequence
from experiments.planning.expectations import Expectations, Reported
from experiments.verdict.comparison import RELATIVE_MDE, gain_level, level
from experiments.verdict.guards import RARE_OUTCOMES
from experiments.verdict.rules import FEWEST_RATIO_UNITS, FEWEST_UNITS
from experiments.verdict.spending import RELATIVE_SIZE

EXACT = 1.2
"""Units that exact tests of not being worse take, in multiples of the confidence sequence's: 1.09 to 1.23 on average
and 1.16 to 1.25 at the 80% quantile for rates .3 to .95 at their margins (60 seeded runs each)."""
BELOW_BUDGET = 0.25
"""Part of the budget that a candidate worth promoting leaves unspent."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one rule needs."""

    rule: str
    metric: str
    """`reward`, `cost`, `error`, or the metric of a guardrail: what is estimated once for several rules."""
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

    With objectives `reward` and `budget` that is one better by the mde; else one as good as the control that
    saves what the price list says, or a tenth more than `min_saving`: with `net_value` too the saving is the gain
    that a plan can count on. A candidate for `budget` costs a quarter less than the budget.
    """
    alpha, objective, decision = level(definition), definition.objective, definition.decision
    better = decision.mde if objective.gains_reward else 0.0
    found = [_reward_need(definition, "not_worse", alpha, objective.reward_margin, better, expected)]
    of_gain = gain_level(definition)
    if objective.gains_reward:
        found.append(_reward_need(definition, "gain", of_gain, decision.mde, 0.0, expected))
    else:
        found.append(_cost_need("gain", of_gain, _saving_beyond(definition, expected), expected))
    if objective.kind == "budget":
        found.append(_budget_need(alpha, expected))
    return (*found, *_guardrail_needs(definition, expected, alpha))


def _reward_need(
    definition: Experiment, rule: str, alpha: float, margin: float, better: float, expected: Expectations
) -> Need:
    """A need on the reward difference; exact tests take a fifth more than confidence sequences."""
    distance, variance = margin + better, expected.reward_variance
    information = Sequence(alpha, margin).information_needed(distance)
    if definition.decision.read_out == "strict":
        information *= EXACT
    return Need(rule, "reward", distance, information, variance, variance, expected.feedback_share)


def _budget_need(alpha: float, expected: Expectations) -> Need:
    """A need on the candidate's own mean cost in multiples of the budget; the control plays no part in it."""
    cost = 1 - BELOW_BUDGET
    variance = max((cost * expected.cost_variation) ** 2, 1e-4)
    information = Sequence(alpha, RELATIVE_SIZE).information_needed(BELOW_BUDGET)
    return Need("budget", "spending", BELOW_BUDGET, information, 0.0, variance)


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
    waits = definition.reward.kind == "binary" and definition.decision.read_out != "strict"
    rare = RARE_OUTCOMES / max(expected.rarer_rate, 1e-9) if waits else 0.0
    return max(least, rare) / smallest_share / expected.feedback_share


def _guardrail_needs(definition: Experiment, expected: Expectations, alpha: float) -> Iterator[Need]:
    """Guardrails of a candidate that equals the control."""
    for rule in definition.guardrails:
        if rule.metric == COST:
            yield _cost_need(rule.metric, alpha, rule.bound, expected)
        elif rule.quantile is not None:
            yield _latency_need(rule, rule.quantile, alpha, expected)
        elif rule.metric == ERROR:
            yield _rate_need(rule, "error", expected.error_rate, rule.bound, alpha)
        elif rule.metric == FEEDBACK_RATE:
            yield _rate_need(rule, rule.metric, expected.feedback_share, -rule.bound, alpha)
        else:
            known = expected.reported.get(
                rule.metric, Reported(0.25 * rule.width**2, expected.feedback_share)
            )
            needed = Sequence(alpha, rule.bound).information_needed(rule.bound)
            yield Need(
                rule.metric, rule.metric, rule.bound, needed, known.variance, known.variance, known.share
            )


def _rate_need(rule: Guardrail, metric: str, rate: float, shift: float, alpha: float) -> Need:
    """A need on rates, which vary in the candidate as they would at the bound."""
    rates = (min(max(rate, 0.0), 1.0), min(max(rate + shift, 0.0), 1.0))
    needed = Sequence(alpha, rule.bound).information_needed(rule.bound)
    spread = [max(each * (1 - each), 1e-4) for each in rates]
    return Need(rule.metric, metric, rule.bound, needed, *spread)


def _latency_need(rule: Guardrail, q: float, alpha: float, expected: Expectations) -> Need:
    """A need on exceedances of the quantile, with latencies lognormal; and enough of them to say anything."""
    ratio, variance = rule.max_ratio or 1.0, q * (1 - q)
    distance = tail_shift(q, ratio, expected.latency_spread)
    needed = Sequence(alpha, tail_shift(q, ratio)).information_needed(distance)
    least = FEWEST_BEYOND / (2 * min(q, 1 - q) * variance)
    return Need(rule.metric, rule.metric, distance, max(needed, least), variance, variance)


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
