"""Limits: when a classifier names no task, chosen on texts that its heads had not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.classification.heads import TOP, Floats, choices_of, probabilities
from evaluation.classification.labels import LabelsRefused
from router.classifying.guess import OUT_OF_SCOPE

LEAST_ACCEPTED = 20
"""Held-out texts that a threshold must accept, lest one lucky text choose it."""
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.5, 0.99


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the limits are for."""

    precision: float
    """Share of the classified texts that shall be right."""
    keep: float
    """Share of the rightly taken texts that shall count as familiar."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Below either of them the default serves."""

    threshold: float
    """Of the confidence."""
    floor: float
    """Of the score of the likeliest domain: how much of what its texts have is in the text at all."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What the folds say of texts that training had not seen."""

    texts: int
    accuracy: float
    """Without limits, out-of-scope texts included."""
    precision: float
    """Share of right tasks among the classified texts."""
    coverage: float
    """Share of the texts in scope that are classified."""


def choose_limits(
    scores: Mapping[str, Floats], tasks: Sequence[str], temperatures: Mapping[str, float], wanted: Wanted
) -> tuple[Limits, HeldOut]:
    """The floor that keeps as many texts as wanted, and the lowest threshold that is right as often as wanted.

    Probabilities say which of the tasks a text belongs to if to any; a text of a kind that was never labelled can
    have a high one. Its score seldom is as high as theirs, which is what the floor looks at.
    """
    domains, labelled = choices_of(tasks), np.array(tasks)
    chances = probabilities(scores, domains, temperatures)
    named = np.array([task for each in domains.values() for task in each])[chances.argmax(axis=1)]
    confidence, best = chances.max(axis=1), (scores[TOP] / temperatures[TOP]).max(axis=1)
    right, inside = named == labelled, labelled != OUT_OF_SCOPE
    taken = right & inside
    floor = float(np.quantile(best[taken], 1 - wanted.keep)) if taken.any() else 0.0
    routed = (named != OUT_OF_SCOPE) & (best >= floor)
    seen = (0.0, 0.0)
    for threshold in np.arange(LOWEST_THRESHOLD, HIGHEST_THRESHOLD + 0.005, 0.01).round(2).tolist():
        accepted = routed & (confidence >= threshold)
        if accepted.sum() < LEAST_ACCEPTED:
            break
        precision = float(right[accepted].mean())
        if precision >= wanted.precision:
            held_out = HeldOut(len(tasks), float(right.mean()), precision, float(accepted[inside].mean()))
            return Limits(threshold, floor), held_out
        seen = max(seen, (precision, threshold))
    raise LabelsRefused(
        f"no threshold makes {wanted.precision:.1%} of the classified texts right; the best, {seen[1]:g}, reaches "
        f"{seen[0]:.1%} of held-out texts. Label more texts, merge tasks that are alike, or lower --precision"
    )
