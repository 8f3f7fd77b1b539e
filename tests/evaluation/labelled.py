"""Labelled texts for tests: sentences of words that tasks like, and trained classifiers of them."""

from functools import lru_cache

import numpy as np

from evaluation.classification.labels import Labels
from evaluation.classification.train import Settings, Training, train
from router.classifying.trained import Trained
from router.classifying.trained_file import parse

LIKED = {
    "code": "python function list loop compile error variable array string class",
    "support/billing": "invoice refund charge payment bill receipt money price account tax",
    "support/shipping": "parcel delivery courier address tracking package arrive late shipped box",
    "writing": "poem story essay write rhyme novel letter tone paragraph style",
}
COMMON = (
    "please",
    "can",
    "you",
    "the",
    "a",
    "my",
    "is",
    "it",
    "to",
    "for",
    "and",
    "help",
    "with",
    "me",
    "this",
    "about",
)
FOREIGN = "volcano orchestra glacier penguin telescope sonata harvest lighthouse dinosaur comet"


def sentences(words: str, count: int, rng: np.random.Generator) -> list[str]:
    """Texts of seven to twelve words, about half of them from `words`."""
    liked = words.split()
    return [
        " ".join(str(rng.choice(liked if rng.random() < 0.5 else COMMON)) for _ in range(rng.integers(7, 13)))
        for _ in range(count)
    ]


def labelled(each: int = 60, seed: int = 1, out_of_scope: bool = False) -> Labels:
    """Texts of four tasks, two of them of one domain; `out_of_scope` adds texts that belong to no task."""
    rng = np.random.default_rng(seed)
    wanted = LIKED | ({"default": FOREIGN} if out_of_scope else {})
    rows = [(text, task) for task, words in wanted.items() for text in sentences(words, each, rng)]
    return Labels(tuple(text for text, _ in rows), tuple(task for _, task in rows))


@lru_cache
def training(out_of_scope: bool = False, seed: int = 1) -> Training:
    """A classifier of these texts, trained once."""
    return train(labelled(out_of_scope=out_of_scope), Settings(precision=0.9, folds=3, seed=seed))


def trained(out_of_scope: bool = False) -> Trained:
    """The same, as a worker holds it."""
    return parse(training(out_of_scope).body)
