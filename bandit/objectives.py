"""Objectives: the score that each joint draw of reward and cost gives an arm, and who scores best how often.

`reward_per_cost`        reward / cost among arms above the quality floor; the others -1 + reward
`reward`                 reward
`cheapest_non_inferior`  -cost among arms above the quality floor; the others -inf
`net_value`              value_usd * reward - cost, dollars
`budget`                 reward - lambda * cost: bandit.budget, as lambda follows from the spending so far

Reward per cost alone would always serve the cheapest model, however bad, so it never goes without the floor
(budgeted Thompson sampling: Xia et al. 2015, arXiv 1505.00146; cost subsidy: Sinha et al. 2021,
arXiv 2011.01488).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bandit.best import best_of_draws
from bandit.cells import Floats
from bandit.contrast import Contrasts
from bandit.costs import Costs
from bandit.score_draws import blocks

Kind = Literal["reward_per_cost", "reward", "cheapest_non_inferior", "net_value", "budget"]
DRAWS = 4_096
_NEED_FLOOR = ("reward_per_cost", "cheapest_non_inferior")


@dataclass(frozen=True)
class Objective:
    """What the shares maximise; rewards are in reward units per request."""

    kind: Kind
    reward_margin: float | None = None
    """Loss of reward against the control that still counts as "not worse"; None asks for no comparison."""
    min_reward: float | None = None
    """Absolute reward that an arm must reach as well."""
    low: float = 0.0
    high: float = 1.0
    """Range of the reward."""
    value_usd: float | None = None
    """Worth of one unit of reward, for `net_value`."""
    budget_usd: float | None = None
    """Most that a request may cost on average, for `budget`."""

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"range [{self.low}, {self.high}] must be finite and rise")
        if self.kind in _NEED_FLOOR and self.reward_margin is None and self.min_reward is None:
            raise ValueError(
                f"objective {self.kind!r} needs reward_margin or min_reward: cheap is not good enough"
            )
        for kind, field in (("net_value", "value_usd"), ("budget", "budget_usd")):
            money: float | None = getattr(self, field)
            if (money is not None) != (self.kind == kind):
                raise ValueError(
                    f"objective {self.kind!r} with {field} == {money}; it belongs to {kind!r} only"
                )
            if money is not None and not 0 < money < np.inf:
                raise ValueError(f"{field} == {money:g}, must be finite and above 0 dollars")

    @property
    def width(self) -> float:
        """Highest minus lowest reward."""
        return self.high - self.low


def scores(objective: Objective, rewards: Floats, costs_usd: Floats, control: int = 0) -> Floats:
    """Score of every arm in every joint draw; both inputs of shape (draws, arms)."""
    if objective.kind == "reward":
        return rewards
    if objective.value_usd is not None:
        return net_value_scores(rewards, costs_usd, objective.value_usd)
    if objective.kind == "budget":
        raise ValueError("objective 'budget' has no score without its price of spending; see bandit.budget")
    good = _good_enough(objective, rewards, control)
    if objective.kind == "cheapest_non_inferior":
        return np.where(good, -costs_usd, -np.inf)
    return _reward_per_cost(objective, rewards, costs_usd, good)


def net_value_scores(rewards: Floats, costs_usd: Floats, value_usd: float) -> Floats:
    """value_usd * reward - cost: dollars that a request is worth; `value_usd` is the worth of one unit of reward."""
    if not 0 < value_usd < np.inf:
        raise ValueError(f"value_usd == {value_usd:g}, must be finite and above 0 dollars per unit of reward")
    result: Floats = value_usd * rewards - costs_usd
    return result


def chance_best(
    objective: Objective,
    contrasts: Contrasts,
    costs: Costs,
    live: NDArray[np.bool_],
    generator: np.random.Generator,
    control: int = 0,
    draws: int = DRAWS,
) -> Floats:
    """P(best) over joint draws of rewards and costs; arms that are not `live` get zero.

    A draw in which no arm is good enough elects the control, if it is live, as that is served elsewhere too.
    """
    best = []
    for drawn in blocks(contrasts, costs, generator, draws):
        scored = scores(objective, drawn.rewards, drawn.costs_usd, control)
        if live[control]:
            np.maximum(scored[:, control], np.finfo(scored.dtype).min, out=scored[:, control])
        best.append(best_of_draws(scored if live.all() else scored[:, live]))
    chance = np.zeros(live.size)
    chance[live] = sum(best) / len(best)
    return chance


def _good_enough(objective: Objective, rewards: Floats, control: int) -> NDArray[np.bool_]:
    """Whether an arm's reward reaches the absolute floor and the one relative to the control's draw."""
    least = -np.inf if objective.min_reward is None else objective.min_reward
    if objective.reward_margin is None:
        return rewards >= least
    return rewards >= np.maximum(rewards[:, control, None] - objective.reward_margin, least)


def _reward_per_cost(
    objective: Objective, rewards: Floats, costs_usd: Floats, good: NDArray[np.bool_]
) -> Floats:
    """Reward per dollar; arms below the floor come last, ordered by reward.

    Draws are cut to the range of the reward, as a posterior tail outside it is no possible reward. Where rewards
    can be negative, so can be the ratio of a good arm: "below the floor" comes last then too.
    """
    possible = np.clip(rewards, objective.low, objective.high)
    ratio = possible / costs_usd
    last = possible - objective.high
    last /= objective.width
    if objective.low < 0:
        last += np.minimum(ratio.min(axis=1, keepdims=True), 0)
    return np.where(good, ratio, last)
