"""What naming a task costs in a worker: the classifier alone, and `route()` with it.

python -m benchmarks.classify
"""

import json

import numpy as np

from benchmarks.choose import MODEL, best_us
from evaluation.classification.labels import Labels
from evaluation.classification.train import Settings, train
from router.applying.plan import seed
from router.classifying.grams import word_grams
from router.classifying.trained import Trained
from router.classifying.trained_file import pack, parse
from router.clock import machine_clock
from router.config.document import Document
from router.deciding.choose import RouteRequest
from router.deciding.decision_id import Signer, SigningKey
from router.engine import Engine
from storage.memory.store import MemoryStore

TASKS, TEXTS, VOCABULARY, WORDS = 7, 400, 6_000, 30


def labelled(rng: np.random.Generator) -> Labels:
    """Texts of made-up words: common ones shared by all tasks, and some that each task likes."""
    letters = list("etaoinshrdlucmfwypvbgk")
    words = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(VOCABULARY)]
    common = 1 / np.arange(1, VOCABULARY + 1)
    texts, tasks = [], []
    for task in range(TASKS):
        liked = common.copy()
        liked[task::TASKS] *= 4
        for _ in range(TEXTS):
            texts.append(" ".join(rng.choice(words, WORDS, p=liked / liked.sum())))
            tasks.append(f"task-{task}")
    return Labels(tuple(texts), tuple(tasks))


def engine(trained: bytes | None) -> Engine:
    """An engine of several tasks without rules."""
    raw: dict[str, object] = {
        "models": {"model": MODEL},
        "default": "model",
        "tasks": {f"task-{task}": {} for task in range(TASKS)},
    }
    if trained is not None:
        raw["classifier"] = {"file": "tasks.classifier.json", "packed": pack(trained)}
    store = MemoryStore()
    seed(store, Document.model_validate(raw), machine_clock, "benchmark")
    return Engine(store, Signer(SigningKey(1, b"k" * 32)), 0, machine_clock, follow=False)


def unheard_us(trained: Trained, text: str) -> float:
    """Microseconds for a text none of whose words was heard before."""

    def anew() -> None:
        word_grams.cache_clear()
        trained.classify(text)

    return best_us(anew)


def main() -> None:
    """Print a line for each figure."""
    labels = labelled(np.random.default_rng(1))
    body = train(labels, Settings(precision=0.5, folds=2)).body
    trained, text = parse(body), labels.texts[0]
    grams = len(json.loads(body)["grams"])
    size = f"a file of {len(body):,} bytes: {TASKS} tasks, {grams:,} grams"
    print(f"{size}; a text of {WORDS} words, {len(text)} characters")
    alone = best_us(lambda: trained.classify(text))
    print(f"classify: {alone:.0f} us; with words not heard before: {unheard_us(trained, text):.0f} us")
    request = RouteRequest(text=text)
    for name, file in (("without", None), ("with", body)):
        routing = engine(file)
        print(f"route() {name} the classifier: {best_us(lambda: routing.route(request)):.1f} us")  # noqa: B023  # called at once
        routing.close()


if __name__ == "__main__":
    main()
