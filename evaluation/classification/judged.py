"""Judging: what a classifier makes of labelled texts, with and without leaving doubtful ones to the default.

Texts whose label the classifier does not know, or that are labelled `default`, are out of scope: right is to leave
them to the default.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.classification.labels import Labels
from evaluation.classification.outcome import (
    BinPart,
    ConfusionPart,
    CurvePoint,
    Judgement,
    ScopePart,
    TaskPart,
)
from router.classifying.guess import OUT_OF_SCOPE
from router.classifying.trained import Trained

BINS = 10
MOST_POINTS, MOST_CONFUSIONS = 101, 10
_NOTHING = ""


@dataclass(frozen=True)
class _Answers:
    """The likeliest task of each text, and what was right."""

    named: NDArray[np.str_]
    confidence: NDArray[np.float64]
    labelled: NDArray[np.str_]
    familiar: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    """In scope: labelled with a task that the classifier knows."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the likeliest task is the labelled one."""
        found: NDArray[np.bool_] = self.named == self.labelled
        return found

    def classified(self, threshold: float) -> NDArray[np.bool_]:
        """Texts for which a task is named, the others go to the default."""
        found: NDArray[np.bool_] = (
            self.familiar
            & (self.confidence >= threshold)
            & (self.named != OUT_OF_SCOPE)
            & (self.named != _NOTHING)
        )
        return found


def judge(
    trained: Trained,
    labels: Labels,
    threshold: float | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Judgement:
    """Everything that `pointsman classify eval` says; `threshold` is the classifier's own unless given."""
    limit = trained.threshold if threshold is None else threshold
    answers = _answers(trained, labels, advance)
    inside, right, classified = answers.inside, answers.right, answers.classified(limit)
    within, of_scope = inside & classified, int(inside.sum())
    tasks = _tasks(answers, within)
    return Judgement(
        digest=trained.digest,
        threshold=limit,
        texts=len(labels.texts),
        in_scope=of_scope,
        accuracy=_mean(right, inside),
        macro_f1=float(np.mean([task.f1 for task in tasks])) if tasks else None,
        coverage=_mean(classified, inside),
        accuracy_classified=_mean(right, within),
        wrong_of_all=float((within & ~right).sum()) / of_scope if of_scope else None,
        calibration_error=_calibration_error(answers),
        bins=_bins(answers),
        tasks=tasks,
        confusions=_confusions(answers, within),
        out_of_scope=_scope(answers, classified),
        curve=_curve(answers),
    )


def _answers(trained: Trained, labels: Labels, advance: Callable[[], object]) -> _Answers:
    named, confidence, familiar = [], [], []
    for text in labels.texts:
        guess = trained.classify(text)
        named.append(_NOTHING if guess is None else guess.task)
        confidence.append(0.0 if guess is None else guess.confidence)
        familiar.append(guess is not None and guess.familiar)
        advance()
    known = set(trained.tasks) - {OUT_OF_SCOPE}
    inside = np.array([task in known for task in labels.tasks], dtype=bool)
    return _Answers(
        np.array(named), np.array(confidence), np.array(labels.tasks), np.array(familiar, dtype=bool), inside
    )


def _mean(values: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    return float(values[among].mean()) if among.any() else None


def _tasks(answers: _Answers, within: NDArray[np.bool_]) -> tuple[TaskPart, ...]:
    """Each labelled task in scope; precision and recall of the likeliest task, without a threshold."""
    parts = []
    for task in sorted(set(answers.labelled[answers.inside].tolist())):
        own, said = answers.labelled == task, (answers.named == task) & answers.inside
        both = float((own & said).sum())
        parts.append(
            TaskPart(
                task=task,
                texts=int(own.sum()),
                precision=both / said.sum() if said.any() else None,
                recall=both / own.sum(),
                f1=2 * both / (own.sum() + said.sum()),
                coverage=float(within[own].mean()),
                accuracy_classified=_mean(answers.right, within & own),
            )
        )
    return tuple(parts)


def _confusions(answers: _Answers, within: NDArray[np.bool_]) -> tuple[ConfusionPart, ...]:
    wrong = answers.inside & ~answers.right & (answers.named != _NOTHING)
    pairs = Counter(zip(answers.labelled[wrong].tolist(), answers.named[wrong].tolist(), strict=True))
    kept = within & ~answers.right
    classified = Counter(zip(answers.labelled[kept].tolist(), answers.named[kept].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda each: (-each[1], each[0]))
    return tuple(
        ConfusionPart(labelled=pair[0], named=pair[1], texts=count, classified=classified[pair])
        for pair, count in ordered[:MOST_CONFUSIONS]
    )


def _scope(answers: _Answers, classified: NDArray[np.bool_]) -> ScopePart | None:
    """What becomes of texts that belong to no task."""
    outside = ~answers.inside
    if not outside.any():
        return None
    mistaken = Counter(answers.named[outside & classified].tolist())
    return ScopePart(
        texts=int(outside.sum()),
        to_default=float((~classified[outside]).mean()),
        recognised=float((answers.named[outside] == OUT_OF_SCOPE).mean()),
        taken_for=dict(sorted(mistaken.items(), key=lambda each: (-each[1], each[0]))),
    )


def _bands(answers: _Answers) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.minimum((answers.confidence * BINS).astype(np.int64), BINS - 1)
    return found


def _bins(answers: _Answers) -> tuple[BinPart, ...]:
    """Confidence against accuracy in tenths; texts in scope."""
    bands, parts = _bands(answers), []
    for band in range(BINS):
        own = answers.inside & (bands == band)
        if own.any():
            parts.append(
                BinPart(
                    low=band / BINS,
                    texts=int(own.sum()),
                    confidence=float(answers.confidence[own].mean()),
                    accuracy=float(answers.right[own].mean()),
                )
            )
    return tuple(parts)


def _calibration_error(answers: _Answers) -> float | None:
    """Expected calibration error: |confidence - accuracy| over tenths, weighed by texts (Guo et al. 2017)."""
    total = int(answers.inside.sum())
    if not total:
        return None
    return sum(part.texts * abs(part.confidence - part.accuracy) for part in _bins(answers)) / total


def _curve(answers: _Answers) -> tuple[CurvePoint, ...]:
    """Error among the classified texts against how many are classified, as the threshold falls; texts in scope."""
    order = np.argsort(-answers.confidence[answers.inside], kind="stable")
    confidence = answers.confidence[answers.inside][order]
    wrong = ~answers.right[answers.inside][order]
    ends = (
        np.flatnonzero(np.append(confidence[1:] < confidence[:-1], True)) if len(order) else np.array([], int)
    )
    chosen = ends[np.unique(np.linspace(0, len(ends) - 1, min(len(ends), MOST_POINTS)).round().astype(int))] if len(ends) else ends  # fmt: skip  # noqa: E501
    errors = np.cumsum(wrong)
    return tuple(
        CurvePoint(
            threshold=float(confidence[end]),
            coverage=float((end + 1) / len(order)),
            error=float(errors[end] / (end + 1)),
        )
        for end in chosen.tolist()
    )
