"""Pooling between experiments: what each running one has found of its models, for those that ask (`bandit.pool`).

The planner keeps the newest look of every running experiment here, so pooling reads nothing from the store. A look
that is a second old will do: pooling moves shares and reaches no test.
"""

from dataclasses import dataclass, field
from itertools import combinations

from bandit.pooling import Contrast, pooled
from experiments.definition.experiment import Experiment
from experiments.inference.sequence import Estimate
from experiments.verdict.tick import Tick

Pair = tuple[str, str]
Lent = tuple[tuple[int, Contrast], ...]


@dataclass(frozen=True)
class _Found:
    """One experiment's differences of models, in widths of its reward."""

    reward: tuple[str, str]
    """Metric and kind; differences of another reward are no evidence."""
    differences: dict[Pair, Contrast]


@dataclass
class Neighbours:
    """The newest findings of each running experiment."""

    _found: dict[int, _Found] = field(default_factory=dict)

    def note(self, experiment_id: int, definition: Experiment, seen: Tick) -> None:
        """Keep what a look has found."""
        self._found[experiment_id] = _Found(_reward(definition), _differences(definition, seen))

    def lent_to(self, experiment_id: int, definition: Experiment) -> Lent:
        """What the others found of each candidate against this control; nothing unless `bandit.pool` is set."""
        if not definition.bandit.pool:
            return ()
        others = [
            found
            for other, found in self._found.items()
            if other != experiment_id and found.reward == _reward(definition)
        ]
        lent = []
        for arm, name in enumerate(definition.candidates[1:], start=1):
            pair = (definition.control, name)
            prior = pooled([found.differences[pair] for found in others if pair in found.differences])
            if prior is not None:
                lent.append((arm, prior))
        return tuple(lent)

    def forget(self, running: set[int]) -> None:
        """Drop experiments that run no more: their models may have changed since."""
        self._found = {key: found for key, found in self._found.items() if key in running}


def _reward(definition: Experiment) -> tuple[str, str]:
    return definition.reward.metric, definition.reward.kind


def _differences(definition: Experiment, seen: Tick) -> dict[Pair, Contrast]:
    """Second minus first model of every ordered pair that the look knows.

    Two candidates are compared through the control, whose noise they share: the sum of both variances is more than
    the variance of their difference, so a pair seen that way counts too little rather than too much.
    """
    width = definition.reward.width
    known = {one.candidate: one.reward.estimate for one in seen.comparisons if one.reward.known}
    found = {(definition.control, name): _contrast(each, width) for name, each in known.items()}
    for one, other in combinations(known, 2):
        to_one, to_other = found[definition.control, one], found[definition.control, other]
        found[one, other] = Contrast(to_other.value - to_one.value, to_one.variance + to_other.variance)
    return found | {
        (other, one): Contrast(-each.value, each.variance) for (one, other), each in found.items()
    }


def _contrast(estimate: Estimate, width: float) -> Contrast:
    return Contrast(estimate.value / width, 1 / (estimate.information * width**2))
