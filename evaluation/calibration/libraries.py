"""Other bandit libraries as players, where they are installed (dependency group `calibration`)."""

from importlib import import_module, metadata
from typing import Any

import numpy as np

PACKAGES = {"mabwiser": "mabwiser.mab", "vowpalwabbit": "vowpalwabbit"}
VOWPAL_OPTIONS = "--bag 10"


def version(package: str) -> str | None:
    """Version of an installed package; None where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class Mabwiser:
    """mabwiser's Beta-Bernoulli Thompson sampling: one draw per request, learning after each epoch."""

    def __init__(self, arms: int, random: np.random.Generator) -> None:
        library: Any = import_module(PACKAGES["mabwiser"])  # Any: an optional package without types
        self._arms = list(range(arms))
        self._bandit = library.MAB(
            self._arms, library.LearningPolicy.ThompsonSampling(), seed=int(random.integers(2**31))
        )
        self._random, self._begun = random, False

    def counts(self, requests: int) -> list[int]:
        """The library predicts one request at a time; before it has learned anything the split is even."""
        if not self._begun:
            split: list[int] = self._random.multinomial(
                requests, np.full(len(self._arms), 1 / len(self._arms))
            ).tolist()
            return split
        chosen = [self._bandit.predict() for _ in range(requests)]
        return [chosen.count(arm) for arm in self._arms]

    def learn(self, counts: list[int], wins: list[int]) -> None:
        """Single decisions and rewards, as its interface wants them."""
        rewards = [np.r_[np.ones(w), np.zeros(n - w)] for n, w in zip(counts, wins, strict=True)]
        learn = self._bandit.partial_fit if self._begun else self._bandit.fit
        learn(np.repeat(self._arms, counts), np.concatenate(rewards))
        self._begun = True


class VowpalWabbit:
    """Vowpal Wabbit's contextual bandit without features: exploration by bagging, probabilities per epoch."""

    def __init__(self, arms: int, floor: float, random: np.random.Generator) -> None:
        library: Any = import_module(PACKAGES["vowpalwabbit"])  # Any: an optional package without types
        seed, epsilon = int(random.integers(2**31)), floor * arms
        self._workspace = library.Workspace(
            f"--cb_explore {arms} {VOWPAL_OPTIONS} --epsilon {epsilon} --random_seed {seed} --quiet"
        )
        self._arms, self._random = arms, random
        self._shares = np.full(arms, 1 / arms)

    def counts(self, requests: int) -> list[int]:
        """A draw from the probabilities that it predicts for the epoch."""
        predicted = np.maximum(np.asarray(self._workspace.predict("| always"), dtype=np.float64), 0.0)
        self._shares = predicted / predicted.sum()
        split: list[int] = self._random.multinomial(requests, self._shares).tolist()
        return split

    def learn(self, counts: list[int], wins: list[int]) -> None:
        """Examples `arm:cost:probability` in random order; a success costs 0, a failure 1."""
        lines = [
            f"{arm + 1}:{0 if index < won else 1}:{self._shares[arm]:.9f} | always"
            for arm, (n, won) in enumerate(zip(counts, wins, strict=True))
            for index in range(n)
        ]
        for index in self._random.permutation(len(lines)).tolist():
            self._workspace.learn(lines[index])
