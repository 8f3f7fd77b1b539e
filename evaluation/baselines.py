"""Baselines: what other ways of serving the same recorded prompts would have given, known from the full matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.recorded import Category, Floats, Recording


@dataclass(frozen=True)
class Served:
    """Mean outcome per prompt of one way to serve; `model` is "" where it is a mixture."""

    model: str
    reward: float
    cost_usd: float


def uniform(category: Category) -> Served:
    """Every model gets the same share."""
    return Served("", float(category.reward.mean()), float(category.cost_usd.mean()))


def single(category: Category, models: Sequence[str], model: str) -> Served:
    """One model serves everything."""
    column = list(models).index(model)
    return Served(model, float(category.reward[:, column].mean()), float(category.cost_usd[:, column].mean()))


def best_single(recording: Recording) -> str:
    """The model with the best mean reward over the whole recording; of equal ones the cheapest."""
    rewards = np.concatenate([category.reward for category in recording.categories]).mean(axis=0)
    return recording.models[_best(rewards, recording.mean_cost_usd())]


def oracle(category: Category, models: Sequence[str]) -> Served:
    """The category's best model by reward; of equal ones the cheapest."""
    rewards, costs = category.reward.mean(axis=0), category.cost_usd.mean(axis=0)
    return single(category, models, models[_best(rewards, costs)])


def thrifty_oracle(category: Category, models: Sequence[str], control: str, margin: float) -> Served:
    """The best reward per dollar among models whose mean reward is at most `margin` under the control's."""
    rewards, costs = category.reward.mean(axis=0), category.cost_usd.mean(axis=0)
    good = rewards >= rewards[list(models).index(control)] - margin
    per_usd = np.where(good, rewards / np.maximum(costs, 1e-12), -1.0)
    return single(category, models, models[int(per_usd.argmax())])


def _best(rewards: Floats, costs_usd: Floats) -> int:
    return int(np.lexsort((costs_usd, -rewards))[0])
