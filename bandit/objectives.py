"""Objectives: the score that each joint draw of reward and cost gives an arm, and who scores best how often.

`reward_per_cost`        reward / cost among arms above the quality floor; the others -1 + reward
`reward`                 reward
`cheapest_non_inferior`  -cost among arms above the quality floor; the others -inf

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

Kind = Literal["reward_per_cost", "reward", "cheapest_non_inferior"]
DRAWS = 4_096
BLOCK = 512


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

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"range [{self.low}, {self.high}] must be finite and rise")
        if self.kind != "reward" and self.reward_margin is None and self.min_reward is None:
            raise ValueError(
                f"objective {self.kind!r} needs reward_margin or min_reward: cheap is not good enough"
            )

    @property
    def width(self) -> float:
        """Highest minus lowest reward."""
        return self.high - self.low


def scores(objective: Objective, rewards: Floats, costs_usd: Floats, control: int = 0) -> Floats:
    """Score of every arm in every joint draw; both inputs of shape (draws, arms)."""
    if objective.kind == "reward":
        return rewards
    good = _good_enough(objective, rewards, control)
    if objective.kind == "cheapest_non_inferior":
        return np.where(good, -costs_usd, -np.inf)
    return _reward_per_cost(objective, rewards, costs_usd, good)


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

    Every normal is used with both signs, which halves the time and steadies the result. Draws are taken in
    blocks that stay in the processor's cache, arm by arm in memory as each later step runs along one arm.
    A draw in which no arm is good enough elects the control, if it is live, as that is served elsewhere too.
    """
    chance, blocks = np.zeros(live.size), max(1, -(-draws // BLOCK))
    for _ in range(blocks):
        half = generator.standard_normal((2, live.size, BLOCK // 2))
        of_reward, of_cost = np.concatenate([half, -half], axis=2).transpose(0, 2, 1)
        drawn = scores(objective, contrasts.draws(of_reward), costs.draws(of_cost), control)
        if live[control]:
            drawn[:, control] = np.maximum(drawn[:, control], np.finfo(np.float64).min)
        chance[live] += best_of_draws(drawn[:, live]) / blocks
    return chance


def _good_enough(objective: Objective, rewards: Floats, control: int) -> NDArray[np.bool_]:
    """Whether an arm's reward reaches the absolute floor and the one relative to the control's draw."""
    floor = np.full((rewards.shape[0], 1), -np.inf)
    if objective.reward_margin is not None:
        floor = rewards[:, control, None] - objective.reward_margin
    if objective.min_reward is not None:
        floor = np.maximum(floor, objective.min_reward)
    return rewards >= floor


def _reward_per_cost(
    objective: Objective, rewards: Floats, costs_usd: Floats, good: NDArray[np.bool_]
) -> Floats:
    """Reward per dollar; arms below the floor come last, ordered by reward.

    Draws are cut to the range of the reward, as a posterior tail outside it is no possible reward. The
    second term of `last` is zero unless rewards can be negative; it keeps "below the floor" last then too.
    """
    possible = np.clip(rewards, objective.low, objective.high)
    ratio = possible / costs_usd
    last = (possible - objective.low) / objective.width - 1 + np.minimum(ratio.min(axis=1, keepdims=True), 0)
    return np.where(good, ratio, last)
