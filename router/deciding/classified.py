"""What a classifier's word is worth: a declared task when it is sure enough, else the default and why."""

from collections.abc import Callable, Sequence

from router.classifying.guess import OUT_OF_SCOPE, Guess, band
from router.classifying.trained_file import ClassifierRefused, trained_of
from router.config.classifier import Classifier
from router.config.document import Document
from router.deciding.tasks import DEFAULT_TASK, Found, TaskReason, nearest

DIGEST_CHARACTERS = 8
"""Of a classifier's digest, beside each of its decisions."""
ASKED_THRESHOLD = 0.6
"""Of a classifier over HTTP, where none is declared."""
_UNAVAILABLE = Found(DEFAULT_TASK, "unavailable", "unavailable")

Classify = Callable[[str], Guess | None]


class Threshold:
    """Turns guesses into tasks; a `Judge`."""

    def __init__(self, tasks: Sequence[str], threshold: float, name: str, classify: Classify | None) -> None:
        """`name` tells classifiers apart in the ledger; without `classify` the guess comes with the request."""
        self._declared = {task: Found(task, "classified") for task in tasks}
        self._threshold = threshold
        self._name = name
        self._classify = classify

    def find(self, text: str, guess: Guess | None) -> Found:
        """The task of a text, or the default with the reason why none was named."""
        if self._classify is not None:
            guess = self._classify(text)
            if guess is None:  # no word is in it
                return Found(DEFAULT_TASK, "unsure", self._label("unsure", 0.0), 0.0)
        return _UNAVAILABLE if guess is None else self._judged(guess)

    def _judged(self, guess: Guess) -> Found:
        if guess.confidence < self._threshold:
            return self._found(DEFAULT_TASK, "unsure", guess)
        if guess.task == OUT_OF_SCOPE or not guess.familiar:
            return self._found(DEFAULT_TASK, "out_of_scope", guess)
        if guess.task in self._declared:
            return self._found(guess.task, "classified", guess)
        parent = nearest(guess.task, self._declared)
        if parent is None:
            return self._found(DEFAULT_TASK, "out_of_scope", guess)
        return Found(parent.task, "ancestor", self._label("classified", guess.confidence), guess.confidence)

    def _found(self, task: str, reason: TaskReason, guess: Guess) -> Found:
        return Found(task, reason, self._label(reason, guess.confidence), guess.confidence)

    def _label(self, reason: TaskReason, confidence: float) -> str:
        return f"{reason} {band(confidence)} {self._name}"


def judge_of(settings: Classifier | None, tasks: Sequence[str]) -> Threshold | None:
    """The judge that a configuration asks for; one whose file cannot be read finds nothing and says `unavailable`."""
    if settings is None:
        return None
    if settings.url is not None:
        threshold = ASKED_THRESHOLD if settings.threshold is None else settings.threshold
        return Threshold(tasks, threshold, "http", None)
    try:
        trained = trained_of(settings.packed or "")
    except ClassifierRefused:  # written by a later release, perhaps; traffic flows on
        return Threshold(tasks, 1.0, "unreadable", None)
    threshold = trained.threshold if settings.threshold is None else settings.threshold
    return Threshold(tasks, threshold, trained.digest[:DIGEST_CHARACTERS], trained.classify)


def asks(document: Document) -> bool:
    """Whether a server is asked for the tasks of texts."""
    return document.classifier is not None and document.classifier.url is not None
