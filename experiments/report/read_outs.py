"""Three read-outs of one comparison side by side: anytime-valid, fixed-horizon and Bayesian."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

from bandit.cells import Floats, Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, PRIMARY
from experiments.inference.bayesian import Chances, Successes, of_binary, of_effect
from experiments.inference.fixed_horizon import FixedHorizon, Result, ratio_change, reward_difference, sums
from experiments.inference.not_enough import NotEnoughData
from experiments.report.document import EffectPart
from experiments.report.exact_read_out import exact_part
from experiments.report.net_value import fixed_horizon, of_1000, pooled_net_values
from experiments.report.numbers import number
from experiments.verdict.comparison import Comparison, Effect, relative
from experiments.verdict.progress import Progress


@dataclass(frozen=True)
class ReadOuts:
    """The effects of one candidate; empty for the control."""

    reward: EffectPart | None = None
    cost: EffectPart | None = None
    cost_per_request: EffectPart | None = None
    reward_per_cost: EffectPart | None = None
    net_value: EffectPart | None = None
    chances: Chances | None = None


def read_outs(
    definition: Experiment,
    mature: Evidence,
    current: Evidence,
    comparison: Comparison | None,
    progress: Progress,
) -> ReadOuts:
    """All read-outs of a candidate; `current` are the mature epochs of the current price version."""
    if comparison is None:
        return ReadOuts()
    arm, alpha = comparison.arm, definition.decision.alpha
    reward, joint, cost = (
        mature.metric(PRIMARY).pooled(), current.joint.pooled(), current.metric(COST).pooled()
    )  # fmt: skip
    smallest = progress.smallest_p.get(comparison.candidate, {})
    binary = definition.reward.kind == "binary"
    plain = reward_difference(sums(reward[0]), sums(reward[arm]), binary=binary, alpha=alpha)
    costs = ratio_change(sums(cost[0], Z.COST, Z.UNIT), sums(cost[arm], Z.COST, Z.UNIT), alpha)
    ratios: Result = NotEnoughData("this objective counts rewards of unknown cost too")
    if definition.objective.needs_cost:
        ratios = ratio_change(sums(joint[0], Z.TOTAL, Z.COST), sums(joint[arm], Z.TOTAL, Z.COST), alpha)
    return ReadOuts(
        reward=_reward_part(definition, mature, comparison, smallest, plain),
        cost=_part(comparison.cost, smallest.get("cost", 1.0), costs, relative),
        cost_per_request=_per_request(comparison, smallest, cost, alpha),
        reward_per_cost=_part(
            comparison.reward_per_cost, smallest.get("reward_per_cost", 1.0), ratios, relative
        ),
        net_value=_net_value(definition, current, comparison, smallest),
        chances=_chances(definition, reward, comparison),
    )


def _net_value(
    definition: Experiment, current: Evidence, comparison: Comparison, smallest: Mapping[str, float]
) -> EffectPart | None:
    """Dollars of 1,000 requests against the control, where the objective is made of dollars."""
    pooled = pooled_net_values(definition, current)
    if pooled is None:
        return None
    fixed = fixed_horizon(pooled, comparison.arm, definition.decision.alpha)
    return _part(comparison.superior, smallest.get("net_value", 1.0), fixed, of_1000)


def _reward_part(
    definition: Experiment,
    mature: Evidence,
    comparison: Comparison,
    smallest: Mapping[str, float],
    fixed: Result,
) -> EffectPart:
    """The reward with the read-out that decides: exact interval and p in a strict experiment."""
    part = _part(comparison.reward, smallest.get("reward", 1.0), fixed, float)
    if comparison.exact is None or part.value is None:
        return part
    exact = exact_part(definition, mature, comparison)
    return part.model_copy(update={"low": exact.low, "high": exact.high, "p": exact.p})


def _per_request(
    comparison: Comparison, smallest: Mapping[str, float], cost: Floats, alpha: float
) -> EffectPart | None:
    """The cost per request, where it is another number than that per unit."""
    if comparison.cost_per_request is comparison.cost:
        return None
    control, candidate = (sums(cost[arm], Z.COST, Z.REQUESTS) for arm in (0, comparison.arm))
    fixed = ratio_change(control, candidate, alpha)
    return _part(comparison.cost_per_request, smallest.get("cost_per_request", 1.0), fixed, relative)


def _part(effect: Effect, smallest_p: float, fixed: Result, scale: Callable[[float], float]) -> EffectPart:
    known = effect.known
    classical = fixed if isinstance(fixed, FixedHorizon) else None
    return EffectPart(
        value=scale(effect.estimate.value) if known else None,
        low=_limit(effect.low, scale) if known else None,
        high=_limit(effect.high, scale) if known else None,
        p=min(smallest_p, effect.p) if known else None,
        fixed_low=_limit(classical.low, scale) if classical else None,
        fixed_high=_limit(classical.high, scale) if classical else None,
        fixed_p=classical.p_value if classical else None,
        fixed_method=fixed.method if isinstance(fixed, FixedHorizon) else fixed.reason,
    )


def _limit(end: float, scale: Callable[[float], float]) -> float | None:
    """An end of an interval in the report's scale; an infinite one stays unknown, `relative` would cap it."""
    return number(scale(end)) if isfinite(end) else None


def _chances(definition: Experiment, pooled: Floats, comparison: Comparison) -> Chances | None:
    """Beta-binomial under shares that never move; else the normal posterior of the stratified effect."""
    margin = definition.objective.reward_margin
    arms = [pooled[0], pooled[comparison.arm]]
    single = all(arm[Z.REQUESTS, Z.REQUESTS] == arm[Z.UNIT, Z.UNIT] for arm in arms)
    if definition.mode == "ab" and definition.reward.kind == "binary" and single:
        control, candidate = (
            Successes(float(arm[Z.UNIT, Z.UNIT]), float(arm[Z.UNIT, Z.TOTAL])) for arm in arms
        )
        found = of_binary(control, candidate, margin)
    elif comparison.reward.known:
        estimate = comparison.reward.estimate
        found = of_effect(estimate.value, estimate.standard_error, margin)
    else:
        return None
    return found if isinstance(found, Chances) else None
