"""Comparison: everything that is tested about one candidate against the control.

All tests of an experiment with K candidates run at level alpha / (K - 1). Reward tests use every mature
epoch; cost and ratio tests only the epochs of the current price version.
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass
from math import exp, log

from bandit.cells import Z
from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import Guardrail
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, ERROR, PRIMARY
from experiments.inference.effects import Boundary, arm_mean, differences, log_ratios
from experiments.inference.sequence import NOTHING_KNOWN, Estimate, Sequence

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
    not_worse_upper_early: float
    """The same while outcomes are too rare for the plain one, with the largest variance that the margin allows."""
    superior_lower: float
    """One-sided lower bound on the objective's scale; -inf where only a saving counts as gain."""
    superior_upper: float
    cost_upper: float
    """One-sided upper bound of ln cost ratio."""
    cost_lower: float
    reward_floor_lower: float | None
    """One-sided lower bound of the candidate's own mean reward, where `min_reward` is set."""
    reward_floor_upper: float | None
    guardrails: tuple[GuardrailEffect, ...]
    p_not_worse: float
    p_superior: float
    p_cheaper: float

    @property
    def p_deciding(self) -> float:
        """p of the promotion rule: not worse, and superior or cheaper (intersection-union)."""
        return max(self.p_not_worse, min(self.p_superior, self.p_cheaper))


@dataclass(frozen=True, slots=True)
class _Estimates:
    """The estimates behind one candidate's tests."""

    arm: int
    reward: Estimate
    early: Estimate
    """The reward, with the variance that the margin implies."""
    cost: Estimate
    per_cost: Estimate
    guards: tuple[Estimate, ...]
    own_reward: Estimate


def level(definition: Experiment) -> float:
    """Level of each test: alpha shared among the candidates beside the control."""
    return definition.decision.alpha / (len(definition.candidates) - 1)


def compare(
    definition: Experiment, evidence: Evidence, arms: Series[int], cost_series: int
) -> tuple[Comparison, ...]:
    """Test candidates against the control on mature evidence; all at once, as they share their arrays."""
    return tuple(_tested(definition, found) for found in _estimates(definition, evidence, arms, cost_series))


def objective_effects(
    definition: Experiment, evidence: Evidence, arms: Series[int], cost_series: int, against: int
) -> tuple[Estimate, ...]:
    """What orders candidates by the objective, of each arm minus `against`; greater is better."""
    kind = definition.objective.kind
    if kind == "reward":
        return differences(evidence.metric(PRIMARY), against, arms, definition.reward.width)
    current = evidence.in_series(cost_series)
    if kind == "reward_per_cost":
        return log_ratios(current.metric(PRIMARY), against, arms, Z.TOTAL, Z.COST)
    costs = log_ratios(current.metric(COST), against, arms, Z.COST, Z.UNIT)
    return tuple(cost.reversed() for cost in costs)


def _estimates(
    definition: Experiment, evidence: Evidence, arms: Series[int], cost_series: int
) -> tuple[_Estimates, ...]:
    reward, objective = definition.reward, definition.objective
    rewards, current = evidence.metric(PRIMARY), evidence.in_series(cost_series)
    margin = Boundary(-objective.reward_margin, reward.range[0], reward.width)
    plain = differences(rewards, 0, arms, reward.width)
    early = differences(rewards, 0, arms, reward.width, margin)
    costs = log_ratios(current.metric(COST), 0, arms, Z.COST, Z.UNIT)
    per_cost = (NOTHING_KNOWN,) * len(arms)
    if objective.needs_cost:
        per_cost = log_ratios(current.metric(PRIMARY), 0, arms, Z.TOTAL, Z.COST)
    guards = [_guard_estimates(rule, evidence, arms, costs) for rule in definition.guardrails]
    return tuple(
        _Estimates(
            arm,
            plain[index],
            early[index],
            costs[index],
            per_cost[index],
            tuple(guard[index] for guard in guards),
            NOTHING_KNOWN if objective.min_reward is None else arm_mean(rewards, arm, reward.width),
        )
        for index, arm in enumerate(arms)
    )


def _guard_estimates(
    rule: Guardrail, evidence: Evidence, arms: Series[int], costs: tuple[Estimate, ...]
) -> tuple[Estimate, ...]:
    """Errors per request are rare, so their variance is that of the bound where it is larger."""
    if rule.max_increase is None:
        return costs
    return differences(evidence.metric(ERROR), 0, arms, null=Boundary(rule.max_increase))


def _tested(definition: Experiment, found: _Estimates) -> Comparison:
    alpha, decision, objective = level(definition), definition.decision, definition.objective
    plain, relative = Sequence(alpha, decision.mde), Sequence(alpha, log(1 + RELATIVE_MDE))
    margin = Sequence(alpha, objective.reward_margin)
    superior, scale = _superior(definition, found), relative
    if objective.kind == "reward":
        scale = plain
    return Comparison(
        arm=found.arm,
        candidate=definition.candidates[found.arm],
        reward=_effect(found.reward, plain),
        cost=_effect(found.cost, relative),
        reward_per_cost=_effect(found.per_cost, relative),
        not_worse_lower=margin.lower(found.reward),
        not_worse_upper=margin.upper(found.reward),
        not_worse_upper_early=margin.upper(found.early),
        superior_lower=scale.lower(superior),
        superior_upper=scale.upper(superior),
        cost_upper=relative.upper(found.cost),
        cost_lower=relative.lower(found.cost),
        reward_floor_lower=None if objective.min_reward is None else margin.lower(found.own_reward),
        reward_floor_upper=None if objective.min_reward is None else margin.upper(found.own_reward),
        guardrails=tuple(
            _guard(rule, estimate, alpha)
            for rule, estimate in zip(definition.guardrails, found.guards, strict=True)
        ),
        p_not_worse=margin.p_value_one_sided(found.reward.minus(-objective.reward_margin)),
        p_superior=scale.p_value_one_sided(superior),
        p_cheaper=relative.p_value_one_sided(found.cost.minus(log(1 - decision.min_saving)).reversed()),
    )


def _superior(definition: Experiment, found: _Estimates) -> Estimate:
    """The effect whose sign shows a gain beside a saving; `cheapest_non_inferior` knows no other gain."""
    kind = definition.objective.kind
    if kind == "reward":
        return found.reward
    return found.per_cost if kind == "reward_per_cost" else NOTHING_KNOWN


def _effect(estimate: Estimate, sequence: Sequence) -> Effect:
    low, high = sequence.interval(estimate)
    return Effect(estimate, low, high, sequence.p_value(estimate))


def _guard(rule: Guardrail, estimate: Estimate, alpha: float) -> GuardrailEffect:
    """A guardrail as a one-sided non-inferiority test whose margin tunes it."""
    bound = log(rule.max_ratio) if rule.max_ratio is not None else rule.max_increase
    assert bound is not None
    sequence = Sequence(alpha, bound)
    return GuardrailEffect(
        rule, _effect(estimate, sequence), sequence.upper(estimate), sequence.lower(estimate), bound
    )


def relative(log_effect: float) -> float:
    """A log ratio as a relative change: ln 2 is 1.0 (+100%).

    >>> round(relative(-0.6931471805599453), 3)
    -0.5
    """
    return exp(min(log_effect, 700.0)) - 1
