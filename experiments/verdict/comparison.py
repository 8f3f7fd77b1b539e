"""Comparison: everything that is tested about one candidate against the control.

All tests of an experiment with K candidates run at level alpha / (K - 1). Reward tests use every mature
epoch; cost and ratio tests only the epochs of the current price version.
"""

from collections.abc import Sequence as Series
from dataclasses import dataclass, replace
from math import exp, inf, log

import numpy as np

from bandit.cells import Cells, Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.record import record
from experiments.evidence.units import COST, PRIMARY
from experiments.inference.cuped import adjusted
from experiments.inference.effects import Boundary, arm_means, differences, log_ratios, single_requests
from experiments.inference.net_value import net_value_differences
from experiments.inference.sequence import NOTHING_KNOWN, Estimate, Sequence
from experiments.verdict.guards import GuardrailEffect, guard_effects
from experiments.verdict.spending import Spending, spendings
from experiments.verdict.strict import ExactReward, exact_reward

RELATIVE_MDE = 0.10
"""Relative change that log-scale tests are tuned for."""
LARGEST_LOG_E = 690.0
"""Beyond it an e-value is no float any more."""


@record(frozen=True, slots=True)
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


UNKNOWN = Effect(NOTHING_KNOWN, -inf, inf, 1.0)


@record(frozen=True, slots=True)
class Comparison:
    """One candidate against the control."""

    arm: int
    candidate: str
    reward: Effect
    """Candidate minus control, in reward units."""
    cost: Effect
    """ln of the cost ratio per unit."""
    cost_per_request: Effect
    """The same per request; a saving must show in both (docs/decisions/0009)."""
    reward_per_cost: Effect
    """ln of the ratio of reward per cost."""
    not_worse_lower: float
    """One-sided lower bound of the reward difference, tuned to the margin."""
    not_worse_upper: float
    not_worse_upper_early: float
    """The same while outcomes are too rare for the plain one, with the largest variance that the margin allows;
    later the plain one."""
    superior_lower: float
    """One-sided lower bound on the objective's scale; -inf where only a saving counts as gain."""
    superior_upper: float
    cost_upper: float
    """One-sided upper bound of the ln cost ratio, of the dearer one per unit and per request."""
    cost_lower: float
    reward_floor_lower: float | None
    """One-sided lower bound of the candidate's own mean reward, where `min_reward` is set."""
    reward_floor_upper: float | None
    guardrails: tuple[GuardrailEffect, ...]
    p_not_worse: float
    p_superior: float
    p_cheaper: float
    log_e_not_worse: float = 0.0
    """ln of the e-value at this look of each test whose p stands above."""
    log_e_superior: float = 0.0
    log_e_cheaper: float = 0.0
    by_saving_only: bool = False
    """Whether only a saving counts as gain."""
    superior: Effect = UNKNOWN
    """Candidate minus control on the objective's scale: `gain_size` says which; unknown where only a saving is one."""
    spending: Spending | None = None
    """Where it stands against the budget of objective `budget`."""
    exact: ExactReward | None = None
    """What decides of the reward where the read-out is strict."""

    @property
    def p_deciding(self) -> float:
        """p of the promotion rule: not worse, and superior or cheaper, within any budget (intersection-union).

        Of two ways to gain the smaller p counts twice (Bonferroni), as either is enough.
        """
        within = 0.0 if self.spending is None else self.spending.p_within
        gain = self.p_cheaper if self.by_saving_only else 2 * min(self.p_superior, self.p_cheaper)
        return max(self.p_not_worse, min(gain, 1.0), within)

    @property
    def log_e_deciding(self) -> float:
        """ln of an e-value of the promotion rule at this look.

        Of several hypotheses that must all be refuted, the smallest e-value is one; of several of which one
        must be, their mean is. The inverse of the running p would be none: it is the largest e-value so far.
        """
        gain = self.log_e_cheaper
        if not self.by_saving_only:
            gain = float(np.logaddexp(self.log_e_superior, self.log_e_cheaper)) - log(2)
        within = gain if self.spending is None else self.spending.log_e_within
        return min(self.log_e_not_worse, gain, within)


@record(frozen=True, slots=True)
class _Estimates:
    """The estimates behind one candidate's tests."""

    arm: int
    reward: Estimate
    early: Estimate
    """The reward, with the variance that the margin implies."""
    cost: Estimate
    request_cost: Estimate
    per_cost: Estimate
    superior: Estimate
    own_reward: Estimate
    spending: Spending | None

    @property
    def costs(self) -> tuple[Estimate, ...]:
        """Both ratios of costs, or one where every unit is one request."""
        return (self.cost,) if self.request_cost is self.cost else (self.cost, self.request_cost)


def level(definition: Experiment) -> float:
    """Level of each test: alpha shared among the candidates beside the control."""
    return definition.decision.alpha / (len(definition.candidates) - 1)


def gain_level(definition: Experiment) -> float:
    """Level of each way to gain: half of it where "better" and "cheaper" both count, since either is enough."""
    return level(definition) / (1 if definition.objective.kind == "cheapest_non_inferior" else 2)


def gain_size(definition: Experiment) -> float:
    """Gain on the objective that is worth detecting: in reward units, dollars of net value, or on the log scale."""
    objective, mde = definition.objective, definition.decision.mde
    if objective.gains_reward:
        return mde
    return log(1 + RELATIVE_MDE) if objective.value_usd is None else objective.value_usd * mde


def compare(
    definition: Experiment,
    evidence: Evidence,
    arms: Series[int],
    cost_series: int,
    settled: Evidence | None = None,
    rare: bool = True,
) -> tuple[Comparison, ...]:
    """Test candidates against the control on mature evidence; all at once, as they share their arrays.

    `settled` (Evidence.settled) shows harm on guardrails earlier; without it that is read from mature epochs too.
    Where no outcome is `rare` any more, nobody asks for the early bound and it is the plain one.
    """
    later = settled if settled is not None else evidence
    guards = guard_effects(definition, evidence, later, arms, cost_series, level(definition))
    tested = evidence.once(
        "tested",
        (definition, arms, cost_series, rare),
        lambda: _all_tested(definition, evidence, arms, cost_series, rare),
    )
    return tuple(replace(one, guardrails=guards[one.arm]) if guards[one.arm] else one for one in tested)


def _all_tested(
    definition: Experiment, evidence: Evidence, arms: Series[int], cost_series: int, rare: bool
) -> tuple[Comparison, ...]:
    """Every candidate's tests but the guardrails, which younger epochs show too."""
    scales = _Scales.of(definition)
    found = _estimates(definition, evidence, arms, cost_series, rare)
    plain = tuple(_tested(definition, scales, each) for each in found)
    if definition.decision.read_out != "strict":
        return plain
    rewards = evidence.metric(PRIMARY)
    return tuple(_strict(definition, one, exact_reward(definition, rewards, one.arm)) for one in plain)


def deciding_e_value(comparisons: Series[Comparison]) -> float:
    """E-value of "no candidate deserves promotion": the mean over the candidates, as they share alpha."""
    return sum(exp(min(one.log_e_deciding, LARGEST_LOG_E)) for one in comparisons) / len(comparisons)


def tested_rewards(definition: Experiment, evidence: Evidence) -> Cells:
    """The rewards whose differences are tested: as they are, or without the covariate's part."""
    rewards = evidence.metric(PRIMARY)
    return adjusted(rewards).cells if definition.decision.adjust == "covariate" else rewards


def objective_effects(
    definition: Experiment, evidence: Evidence, arms: Series[int], cost_series: int, against: int
) -> tuple[Estimate, ...]:
    """What orders candidates by the objective, of each arm minus `against`; greater is better."""
    objective, width = definition.objective, definition.reward.width
    if objective.gains_reward:
        return differences(tested_rewards(definition, evidence), against, arms, width)
    current = evidence.in_series(cost_series)
    if objective.value_usd is not None:
        return net_value_differences(current.joint, against, arms, objective.value_usd, width)
    if objective.kind == "reward_per_cost":
        return log_ratios(current.joint, against, arms, Z.TOTAL, Z.COST)
    costs = log_ratios(current.metric(COST), against, arms, Z.COST, Z.UNIT)
    return tuple(cost.reversed() for cost in costs)


def _estimates(
    definition: Experiment, evidence: Evidence, arms: Series[int], cost_series: int, rare: bool
) -> tuple[_Estimates, ...]:
    reward, objective = definition.reward, definition.objective
    rewards, current = evidence.metric(PRIMARY), evidence.in_series(cost_series)
    margin = Boundary(-objective.reward_margin, reward.range[0], reward.width)
    plain = differences(tested_rewards(definition, evidence), 0, arms, reward.width)
    early = differences(rewards, 0, arms, reward.width, margin) if rare else plain
    costs = log_ratios(current.metric(COST), 0, arms, Z.COST, Z.UNIT)
    per_request = costs
    if not single_requests(current.metric(COST)):
        per_request = log_ratios(current.metric(COST), 0, arms, Z.COST, Z.REQUESTS)
    per_cost = (NOTHING_KNOWN,) * len(arms)
    if objective.needs_cost:
        per_cost = log_ratios(current.joint, 0, arms, Z.TOTAL, Z.COST)
    superior = _superior(definition, current, arms, plain, per_cost)
    own = (NOTHING_KNOWN,) * len(arms)
    if objective.min_reward is not None:
        own = arm_means(rewards, arms, reward.width)
    spent = spendings(definition, current, arms, level(definition))
    return tuple(
        _Estimates(
            arm,
            plain[index],
            early[index],
            costs[index],
            per_request[index],
            per_cost[index],
            superior[index],
            own[index],
            spent[index],
        )
        for index, arm in enumerate(arms)
    )


@dataclass(frozen=True, slots=True)
class _Scales:
    """The sequences of an experiment's tests; one of each for all candidates, as they are tuned alike."""

    reward: Sequence
    margin: Sequence
    relative: Sequence
    gain: Sequence
    saving: Sequence

    @classmethod
    def of(cls, definition: Experiment) -> "_Scales":
        alpha, of_gain = level(definition), gain_level(definition)
        return cls(
            reward=Sequence(alpha, definition.decision.mde),
            margin=Sequence(alpha, definition.objective.reward_margin),
            relative=Sequence(alpha, log(1 + RELATIVE_MDE)),
            gain=Sequence(of_gain, gain_size(definition)),
            saving=Sequence(of_gain, log(1 + RELATIVE_MDE)),
        )


def _tested(definition: Experiment, scales: _Scales, found: _Estimates) -> Comparison:
    objective, smallest_saving = definition.objective, log(1 - definition.decision.min_saving)
    relative, margin, scale, saved = scales.relative, scales.margin, scales.gain, scales.saving
    superior, loss = found.superior, found.reward.minus(-objective.reward_margin)
    cost, per_cost = _effect(found.cost, relative), _effect(found.per_cost, relative)
    not_worse = margin.bounds(found.reward)
    gain, of_costs = scale.bounds(superior), [saved.bounds(each) for each in found.costs]
    savings = [each.minus(smallest_saving).reversed() for each in found.costs]
    floor = (None, None) if objective.min_reward is None else margin.bounds(found.own_reward)
    return Comparison(
        arm=found.arm,
        candidate=definition.candidates[found.arm],
        reward=_effect(found.reward, scales.reward),
        cost=cost,
        cost_per_request=cost if len(found.costs) == 1 else _effect(found.request_cost, relative),
        reward_per_cost=per_cost,
        not_worse_lower=not_worse[0],
        not_worse_upper=not_worse[1],
        not_worse_upper_early=margin.upper(found.early),
        superior_lower=gain[0],
        superior_upper=gain[1],
        cost_upper=max(upper for _, upper in of_costs),
        cost_lower=max(lower for lower, _ in of_costs),
        reward_floor_lower=floor[0],
        reward_floor_upper=floor[1],
        guardrails=(),
        p_not_worse=margin.p_value_one_sided(loss),
        p_superior=scale.p_value_one_sided(superior),
        p_cheaper=max(saved.p_value_one_sided(saving) for saving in savings),
        log_e_not_worse=margin.log_e_one_sided(loss),
        log_e_superior=scale.log_e_one_sided(superior),
        log_e_cheaper=min(saved.log_e_one_sided(saving) for saving in savings),
        by_saving_only=objective.kind == "cheapest_non_inferior",
        superior=per_cost if superior is found.per_cost else _effect(superior, scale),
        spending=found.spending,
    )


def _strict(definition: Experiment, plain: Comparison, exact: ExactReward) -> Comparison:
    """The comparison with exact tests where the reward is what they test; costs and ratios stay as they are."""
    of_loss = replace(
        plain, exact=exact, p_not_worse=exact.not_worse.p, log_e_not_worse=exact.not_worse.log_e
    )
    if not definition.objective.gains_reward:
        return of_loss
    return replace(of_loss, p_superior=exact.better.p, log_e_superior=exact.better.log_e)


def _superior(
    definition: Experiment,
    current: Evidence,
    arms: Series[int],
    rewards: tuple[Estimate, ...],
    per_cost: tuple[Estimate, ...],
) -> tuple[Estimate, ...]:
    """The effects whose sign shows a gain beside a saving; `cheapest_non_inferior` knows no other gain."""
    objective = definition.objective
    if objective.gains_reward:
        return rewards
    if objective.value_usd is not None:
        return net_value_differences(current.joint, 0, arms, objective.value_usd, definition.reward.width)
    return per_cost if objective.kind == "reward_per_cost" else (NOTHING_KNOWN,) * len(arms)


def _effect(estimate: Estimate, sequence: Sequence) -> Effect:
    low, high = sequence.interval(estimate)
    return Effect(estimate, low, high, sequence.p_value(estimate))


def relative(log_effect: float) -> float:
    """A log ratio as a relative change: ln 2 is 1.0 (+100%).

    >>> round(relative(-0.6931471805599453), 3)
    -0.5
    """
    return exp(min(log_effect, 700.0)) - 1
