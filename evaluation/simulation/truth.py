"""Truth: what the environment really held, against which a verdict is right or wrong."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bandit.cells import Floats
from evaluation.simulation.arrivals import Arrivals, prospects
from evaluation.simulation.spec import Spec
from experiments.definition.experiment import Experiment

Judgement = Literal["right", "wrong", "missed", "open"]
_ROUND_OFF = 1e-9
"""Of means, in widths of the reward's range: a candidate exactly at the margin is not above it."""
_ENDED_WITHOUT = frozenset({"stop_futile", "inconclusive", "roll_back"})


@dataclass(frozen=True)
class Truth:
    """Means over the requests of a trial as far as it went, as if each candidate had served all of them."""

    reward: tuple[float, ...]
    """In reward units: a success brings the upper end of the range, a failure the lower."""
    cost_usd: tuple[float, ...]
    good: tuple[bool, ...]
    """Whether promoting the candidate would be right; the control is never good."""
    best: int
    """Who should serve by the objective: the control, where no candidate is good."""


def truth_of(spec: Spec, arrivals: Arrivals, requests: int) -> Truth:
    """The truth over the first `requests` requests."""
    low, width = spec.experiment.reward.range[0], spec.experiment.reward.width
    chance, cost_usd = _means(spec, arrivals, max(requests, 1))
    reward = low + width * chance
    good = tuple(arm > 0 and _good(spec.experiment, reward, cost_usd, arm) for arm in range(reward.size))
    score = _scores(spec.experiment, reward, cost_usd)
    fit = [arm for arm in range(reward.size) if arm == 0 or good[arm]]
    best = max(fit, key=lambda arm: (float(score[arm]), -arm))
    return Truth(tuple(reward.tolist()), tuple(cost_usd.tolist()), good, best)


def judged(verdict: str, candidate: str | None, definition: Experiment, truth: Truth) -> Judgement:
    """Whether a verdict is right, wrong, misses a candidate that is good, or leaves the question open."""
    if verdict == "promote" and candidate is not None:
        return "right" if truth.good[definition.candidates.index(candidate)] else "wrong"
    if verdict in _ENDED_WITHOUT:
        return "missed" if any(truth.good) else "right"
    return "open"


def _means(spec: Spec, arrivals: Arrivals, requests: int) -> tuple[Floats, Floats]:
    step = 20_000
    chance = np.zeros(len(spec.environment.rates))
    cost_usd = np.zeros_like(chance)
    for start in range(0, requests, step):
        part = prospects(spec, arrivals, start, min(start + step, requests))
        chance += part.chance.sum(axis=0)
        cost_usd += part.cost_usd.sum(axis=0)
    return chance / requests, cost_usd / requests


def _good(definition: Experiment, reward: Floats, cost_usd: Floats, arm: int) -> bool:
    """What a promotion claims: not worse than the margin allows, and cheaper by the smallest saving or better by the
    objective (experiments.verdict.rules)."""
    objective = definition.objective
    if reward[arm] <= reward[0] - objective.reward_margin + _ROUND_OFF * definition.reward.width:
        return False
    if objective.min_reward is not None and reward[arm] < objective.min_reward:
        return False
    if objective.budget_usd is not None and cost_usd[arm] > objective.budget_usd:
        return False
    if cost_usd[arm] < (1 - definition.decision.min_saving) * cost_usd[0]:
        return True
    scores = _scores(definition, reward, cost_usd)
    return objective.kind != "cheapest_non_inferior" and bool(scores[arm] > scores[0])


def _scores(definition: Experiment, reward: Floats, cost_usd: Floats) -> Floats:
    """What the objective maximises, from true means."""
    kind, objective = definition.objective.kind, definition.objective
    if kind == "reward_per_cost":
        return np.asarray(reward / np.maximum(cost_usd, 1e-12))
    if kind == "cheapest_non_inferior":
        return -cost_usd
    if kind == "net_value" and objective.value_usd is not None:
        return np.asarray(objective.value_usd * reward - cost_usd)
    return reward
