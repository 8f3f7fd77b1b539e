"""Comparison: everything that is tested about one candidate against the control.

All tests of an experiment with K candidates run at level alpha / (K - 1). Reward tests use every mature
epoch; cost and ratio tests only the epochs of the current price version.
"""

from dataclasses import dataclass
from math import exp, log

from bandit.cells import Z
from experiments.definition import Experiment, Guardrail
from experiments.effects import (
    arm_mean,
    log_ratio,
    mean_difference,
    rate_difference,
    reward_difference,
    single_requests,
)
from experiments.evidence import Evidence
from experiments.sequence import NOTHING_KNOWN, Estimate, Sequence
from experiments.units import COST, ERROR, PRIMARY

RELATIVE_MDE = 0.10
"""Relative change that log-scale tests are tuned for."""


@dataclass(frozen=True, slots=True)
class Effect:
    """An estimated difference with its confidence sequence (two-sided) and always-valid p at this look."""

    estimate: Estimate
    low: float
    high: float
    p: float

    @property
    def known(self) -> bool:
        """Whether there was enough data to say anything."""
        return self.estimate.information > 0


@dataclass(frozen=True, slots=True)
class GuardrailEffect:
    """One guardrail's difference, and where it stands against its bound on the test's own scale."""

    guardrail: Guardrail
    effect: Effect
    upper: float
    lower: float
    bound: float

    @property
    def kept(self) -> bool:
        """Shown not to exceed the bound."""
        return self.upper < self.bound

    @property
    def harmed(self) -> bool:
        """Shown to exceed the bound."""
        return self.lower > self.bound


@dataclass(frozen=True, slots=True)
class Comparison:
    """One candidate against the control."""

    arm: int
    candidate: str
    reward: Effect
    """Candidate minus control, in reward units."""
    cost: Effect
    """ln of the cost ratio per unit."""
    reward_per_cost: Effect
    """ln of the ratio of reward per cost."""
    not_worse_lower: float
    """One-sided lower bound of the reward difference, tuned to the margin."""
    not_worse_upper: float
    superior_lower: float
    """One-sided lower bound on the objective's scale."""
    superior_upper: float
    cost_upper: float
    """One-sided upper bound of ln cost ratio."""
    cost_lower: float
    reward_floor_lower: float | None
    """One-sided lower bound of the candidate's own mean reward, where `min_reward` is set."""
    guardrails: tuple[GuardrailEffect, ...]
    p_not_worse: float
    p_superior: float
    p_cheaper: float

    @property
    def p_deciding(self) -> float:
        """p of the promotion rule: not worse, and superior or cheaper (intersection-union)."""
        return max(self.p_not_worse, min(self.p_superior, self.p_cheaper))


def level(definition: Experiment) -> float:
    """Level of each test: alpha shared among the candidates beside the control."""
    return definition.decision.alpha / (len(definition.candidates) - 1)


def compare(
    definition: Experiment, evidence: Evidence, arm: int, cost_series: int, against: int = 0
) -> Comparison:
    """Test one candidate against the control (or another arm) on mature evidence."""
    current = evidence.in_series(cost_series)
    width, objective = definition.reward.width, definition.objective
    reward = reward_difference(evidence.metric(PRIMARY), against, arm, width)
    cost = log_ratio(current.metric(COST), against, arm, Z.COST, Z.UNIT)
    per_cost = NOTHING_KNOWN
    if objective.needs_cost:
        per_cost = log_ratio(current.metric(PRIMARY), against, arm, Z.TOTAL, Z.COST)
    alpha, decision = level(definition), definition.decision
    plain, relative = Sequence(alpha, decision.mde), Sequence(alpha, log(1 + RELATIVE_MDE))
    margin = Sequence(alpha, objective.reward_margin)
    saving = log(1 - decision.min_saving)
    superior, scale = (per_cost, relative) if objective.kind == "reward_per_cost" else (reward, plain)
    return Comparison(
        arm=arm,
        candidate=definition.candidates[arm],
        reward=_effect(reward, plain),
        cost=_effect(cost, relative),
        reward_per_cost=_effect(per_cost, relative),
        not_worse_lower=margin.lower(reward),
        not_worse_upper=margin.upper(reward),
        superior_lower=scale.lower(superior),
        superior_upper=scale.upper(superior),
        cost_upper=relative.upper(cost),
        cost_lower=relative.lower(cost),
        reward_floor_lower=_floor_lower(definition, evidence, arm, margin),
        guardrails=tuple(
            _guard(rule, evidence, current, arm, alpha, against) for rule in definition.guardrails
        ),
        p_not_worse=margin.p_value_one_sided(reward.minus(-objective.reward_margin)),
        p_superior=scale.p_value_one_sided(superior),
        p_cheaper=relative.p_value_one_sided(cost.minus(saving).reversed()),
    )


def _effect(estimate: Estimate, sequence: Sequence) -> Effect:
    low, high = sequence.interval(estimate)
    return Effect(estimate, low, high, sequence.p_value(estimate))


def _floor_lower(definition: Experiment, evidence: Evidence, arm: int, margin: Sequence) -> float | None:
    if definition.objective.min_reward is None:
        return None
    return margin.lower(arm_mean(evidence.metric(PRIMARY), arm, definition.reward.width))


def _guard(
    rule: Guardrail, evidence: Evidence, current: Evidence, arm: int, alpha: float, against: int
) -> GuardrailEffect:
    """A guardrail as a one-sided non-inferiority test whose margin tunes it."""
    if rule.max_increase is not None:
        bound = rule.max_increase
        estimate = _error_difference(evidence, against, arm)
    else:
        assert rule.max_ratio is not None
        bound = log(rule.max_ratio)
        estimate = log_ratio(current.metric(COST), against, arm, Z.COST, Z.UNIT)
    sequence = Sequence(alpha, bound)
    effect = _effect(estimate, sequence)
    return GuardrailEffect(rule, effect, sequence.upper(estimate), sequence.lower(estimate), bound)


def _error_difference(evidence: Evidence, against: int, arm: int) -> Estimate:
    """Errors per request, candidate minus control."""
    cells = evidence.metric(ERROR)
    if single_requests(cells.arms(against, arm)):
        return mean_difference(cells, against, arm, rare=True)
    return rate_difference(cells, against, arm)


def relative(log_effect: float) -> float:
    """A log ratio as a relative change: ln 2 is 1.0 (+100%).

    >>> round(relative(-0.6931471805599453), 3)
    -0.5
    """
    return exp(min(log_effect, 700.0)) - 1
