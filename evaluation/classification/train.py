"""Training: from labelled texts to the bytes of a classifier's file.

Every text is held out once: folds tell how sure the classifier may be (one temperature for each head) and from
which confidence on it is right often enough (the threshold). The weights that are kept are fitted on all texts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy import sparse

from evaluation.classification.heads import (
    TOP,
    Fitted,
    Floats,
    choices_of,
    fit_heads,
    temperature,
)
from evaluation.classification.labels import Labels, LabelsRefused
from evaluation.classification.limits import HeldOut, Limits, Wanted, choose_limits
from evaluation.classification.matrix import Grams, known_grams, matrix
from router.classifying.guess import OUT_OF_SCOPE
from router.classifying.trained_file import FORMAT, MAX_BYTES, MAX_TASKS, VERSION

LEAST_TEXTS = 10
"""Texts that each task must have."""
MOST_GRAMS, MOST_WEIGHTS = 20_000, 400_000
_LARGEST_WEIGHT = 2_047
"""Weights are stored as whole numbers up to this, times a step."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train."""

    precision: float = 0.95
    """Share of the classified texts that shall be right."""
    keep: float = 0.95
    """Share of the rightly taken texts that shall count as familiar; the others are the price of a scope."""
    strength: float = 10.0
    """Inverse of the penalty on weights (scikit-learn's C)."""
    folds: int = 5
    pairs: bool = True
    """Whether neighbouring words are grams too."""
    seed: int = 1


@dataclass(frozen=True)
class Training:
    """The file, and what is to be said about it."""

    body: bytes
    threshold: float
    temperatures: Mapping[str, float]
    grams: int
    held_out: HeldOut


class _Progress:
    """Counts work done against work in all."""

    def __init__(self, total: int, show: Callable[[int, int], object]) -> None:
        self._done, self._total, self._show = 0, total, show

    def advance(self, work: int = 1) -> None:
        """Some more is done."""
        self._done += work
        self._show(self._done, self._total)


def train(
    labels: Labels,
    settings: Settings = Settings(),
    show: Callable[[int, int], object] = lambda _done, _total: None,  # frozen
) -> Training:
    """Train on labelled texts; raises LabelsRefused where they cannot teach what is asked.

    `show` is told the work done and all work, counted in texts.
    """
    _check(labels, settings)
    texts, domains = labels.texts, choices_of(labels.tasks)
    progress = _Progress((3 + settings.folds) * len(texts), show)
    most = min(MOST_GRAMS, MOST_WEIGHTS // len(set(labels.tasks)))
    known = known_grams(texts, most, settings.pairs, progress.advance)
    if not known.names:
        raise LabelsRefused("no word stands in two texts; there is nothing to learn from")
    rows = matrix(texts, known, progress.advance)
    scores = _held_out_scores(rows, labels.tasks, settings, progress)
    temperatures = _temperatures(scores, labels.tasks, domains)
    limits, held_out = choose_limits(
        scores, labels.tasks, temperatures, Wanted(settings.precision, settings.keep)
    )
    heads = fit_heads(rows, labels.tasks, settings.strength)
    progress.advance(len(texts))
    about = {"texts": dict(labels.counts), "precision": settings.precision, "keep": settings.keep,
             "strength": settings.strength, "folds": settings.folds, "seed": settings.seed}  # fmt: skip
    cooled = {name: _cooled(head, temperatures[name]) for name, head in heads.items()}
    body = _body(known, domains, cooled, limits, about)
    return Training(body, limits.threshold, temperatures, len(known.names), held_out)


def _check(labels: Labels, settings: Settings) -> None:
    counts = labels.counts
    if not 2 <= len(counts) <= MAX_TASKS:
        raise LabelsRefused(f"{len(counts)} task(s) are labelled, must be 2 to {MAX_TASKS}")
    for task, count in counts.items():
        if count < max(LEAST_TEXTS, settings.folds):
            least = max(LEAST_TEXTS, settings.folds)
            raise LabelsRefused(
                f"task {task!r} has {count} texts, must have at least {least}; label more, or leave it out"
            )
    if OUT_OF_SCOPE in counts and len(counts) < 3:
        raise LabelsRefused("one task and texts out of scope are labelled; a choice needs two tasks")


def _held_out_scores(
    rows: sparse.csr_matrix, tasks: Sequence[str], settings: Settings, progress: _Progress
) -> dict[str, Floats]:
    """Scores of every text under heads that were fitted without it."""
    fold_of = _folds(tasks, settings)
    domains = choices_of(tasks)
    scores = {TOP: np.zeros((len(tasks), len(domains)))}
    scores |= {name: np.zeros((len(tasks), len(each))) for name, each in domains.items() if len(each) > 1}
    for fold in range(settings.folds):
        kept, out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        for name, head in fit_heads(
            rows[kept], [tasks[index] for index in kept.tolist()], settings.strength
        ).items():
            scores[name][out] = head.scores(rows[out])
        progress.advance(len(tasks))
    return scores


def _folds(tasks: Sequence[str], settings: Settings) -> NDArray[np.int64]:
    """A fold for each text; every task is spread over all folds."""
    draw = np.random.default_rng(settings.seed)
    fold_of = np.zeros(len(tasks), dtype=np.int64)
    names = np.array(tasks)
    for task in sorted(set(tasks)):
        own = draw.permutation(np.flatnonzero(names == task))
        fold_of[own] = np.arange(len(own)) % settings.folds
    return fold_of


def _temperatures(
    scores: Mapping[str, Floats], tasks: Sequence[str], domains: Mapping[str, tuple[str, ...]]
) -> dict[str, float]:
    """A temperature for each head, from the texts that it has to judge."""
    places = {domain: place for place, domain in enumerate(domains)}
    own = np.array([places[task.split("/")[0]] for task in tasks])
    found = {TOP: temperature(scores[TOP], own)}
    for domain in scores.keys() - {TOP}:
        inside = np.flatnonzero(own == places[domain])
        right = np.array([domains[domain].index(tasks[index]) for index in inside.tolist()])
        found[domain] = temperature(scores[domain][inside], right)
    return found


def _cooled(head: Fitted, divisor: float) -> Fitted:
    """The head with its temperature in its weights."""
    return Fitted(head.choices, head.weights / divisor)


def _body(
    known: Grams, domains: Mapping[str, tuple[str, ...]], heads: Mapping[str, Fitted], limits: Limits,
    about: Mapping[str, object],
) -> bytes:  # fmt: skip
    """The file: one line of JSON. Weights are multiplied by their gram's idf and rounded to whole steps."""
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "threshold": limits.threshold,
        "floor": limits.floor,
        "pairs": known.pairs,
        "unknown": known.unknown,
        "about": about,
        "domains": domains,
        "grams": known.names,
        "squares": known.squares.tolist(),
        "heads": {name: _head_fields(head, known) for name, head in heads.items()},
    }
    body = orjson.dumps(fields)
    if len(body) > MAX_BYTES:
        raise LabelsRefused(
            f"the classifier has {len(body):,} bytes, must have at most {MAX_BYTES:,}; label fewer tasks"
        )
    return body


def _head_fields(head: Fitted, known: Grams) -> dict[str, object]:
    weights = (head.weights * known.idf).T
    step = float(np.abs(weights).max()) / _LARGEST_WEIGHT or 1.0
    steps = np.rint(weights / step).astype(int)
    return {
        "step": step,
        "weights": [row if any(row) else None for row in steps.tolist()],
    }
