"""Training: what is written is what scikit-learn fitted, sure when it is right, and the same for the same seed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from evaluation.classification.heads import temperature
from evaluation.classification.judged import judge
from evaluation.classification.labels import Labels, LabelsRefused
from evaluation.classification.limits import Wanted, choose_limits
from evaluation.classification.train import Settings, train
from router.classifying.grams import grams
from router.classifying.trained_file import parse
from tests.evaluation.labelled import FOREIGN, LIKED, labelled, sentences, trained, training

WORDS = " ".join([*LIKED.values(), FOREIGN]).split()
TEXTS = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=20).map(" ".join)


@given(TEXTS)
@settings(max_examples=100)
def test_probabilities_sum_to_one_and_the_classified_task_is_the_likeliest(text: str) -> None:
    """The short way that workers take must not differ from looking at every task."""
    ranked, best = trained().ranked(text), trained().classify(text)
    if best is None:
        assert ranked == []
        return
    assert sum(guess.confidence for guess in ranked) == pytest.approx(1, abs=1e-12)
    assert (best.confidence, best.familiar) == (ranked[0].confidence, ranked[0].familiar)
    assert {guess.task for guess in ranked} == set(LIKED)


def test_workers_find_the_probabilities_of_scikit_learn() -> None:
    """Serving is plain Python; training is scikit-learn. Both must mean the same model, to 1e-6."""
    fields = json.loads(training().body)
    texts = [
        *labelled(each=8, seed=5).texts,
        "nothing that was known",
        "函数 python 发票 invoice",
        "refund?! 42",
    ]
    idf = np.sqrt(np.array(fields["squares"]) / 1000)
    counts = CountVectorizer(analyzer=grams, vocabulary=fields["grams"], binary=True).transform(texts)
    known = np.asarray(counts.sum(axis=1)).ravel()
    unknown = np.array([len(grams(text)) for text in texts]) - known
    weighed = sparse.csr_matrix(counts @ sparse.diags(idf))
    length = np.sqrt(
        np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel() + unknown * fields["unknown"] / 1000
    )
    rows = sparse.diags(1 / length) @ weighed
    chances = {name: _model(head, idf).predict_proba(rows) for name, head in fields["heads"].items()}
    for index, text in enumerate(texts):
        found = {guess.task: guess.confidence for guess in trained().ranked(text)}
        for place, (domain, tasks) in enumerate(fields["domains"].items()):
            for inner, task in enumerate(tasks):
                within = chances[domain][index, inner] if len(tasks) > 1 else 1.0
                assert found[task] == pytest.approx(chances[""][index, place] * within, abs=1e-6)


def _model(head: dict[str, list[list[int] | None]], idf: np.ndarray) -> LogisticRegression:
    """scikit-learn's own model with the weights of a file's head."""
    width = len(next(row for row in head["weights"] if row))
    weights = np.array([row or [0] * width for row in head["weights"]]).T * head["step"] / idf
    model = LogisticRegression()
    model.classes_ = np.arange(width)
    model.coef_ = weights if width > 2 else weights[1:] - weights[:1]
    model.intercept_ = np.zeros(len(model.coef_))
    return model


def test_the_same_labels_and_seed_give_the_same_file_and_another_seed_other_folds() -> None:
    """A file can be made again by whoever has the labels; its digest then says that it is the same."""
    again = train(labelled(), Settings(precision=0.9, folds=3, seed=1))
    assert again.body == training().body
    other = training(seed=2)
    assert json.loads(other.body)["floor"] != json.loads(again.body)["floor"]


def test_texts_of_its_tasks_are_found_by_domain_and_task() -> None:
    """Four tasks, two of them within one domain, on texts that training has not seen."""
    judgement = judge(trained(), labelled(seed=9))
    assert judgement.accuracy is not None
    assert judgement.accuracy > 0.95
    assert judgement.coverage is not None
    assert judgement.coverage > 0.8
    assert {task.task for task in judgement.tasks} == set(LIKED)
    assert judgement.calibration_error is not None
    assert judgement.calibration_error < 0.12


@pytest.mark.parametrize("taught", [False, True])
def test_text_out_of_scope_goes_to_the_default(taught: bool) -> None:
    """What belongs to no task must not reach a specialist; examples of it help, and are not needed."""
    strangers = sentences(FOREIGN, 60, np.random.default_rng(11))
    scope = judge(trained(taught), Labels(tuple(strangers), ("default",) * 60)).out_of_scope
    assert scope is not None
    assert scope.to_default > (0.98 if taught else 0.8)
    assert (scope.recognised > 0.9) == taught


def test_a_text_of_unknown_words_has_every_task_alike() -> None:
    """A classifier that knows nothing about a text must not be sure of anything."""
    guess = trained().classify("xyzzy qwfpg zxcvd")
    assert guess is not None
    assert not guess.familiar
    assert guess.confidence < 0.5


def test_a_stricter_wish_for_precision_leaves_more_texts_to_the_default() -> None:
    """The threshold is the lowest that is right often enough on held-out texts, and never below one half."""
    rng, names = np.random.default_rng(3), np.array(["a", "b", "c"])
    scores = rng.normal(0, 2, (3_000, 3))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    tasks = names[(rng.random((3_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)].tolist()
    found = [choose_limits({"": scores}, tasks, {"": 1.0}, Wanted(wish, 1.0)) for wish in (0.7, 0.85, 0.95)]
    thresholds = [limits.threshold for limits, _ in found]
    assert 0.5 <= thresholds[0] < thresholds[1] < thresholds[2]
    assert [held.coverage for _, held in found] == sorted((held.coverage for _, held in found), reverse=True)
    assert all(held.precision >= wish for (_, held), wish in zip(found, (0.7, 0.85, 0.95), strict=True))
    with pytest.raises(LabelsRefused, match=r"no threshold makes 99\.9%.*lower --precision"):
        choose_limits({"": scores}, rng.permutation(tasks).tolist(), {"": 1.0}, Wanted(0.999, 1.0))


def test_the_floor_keeps_the_wanted_share_of_rightly_taken_texts() -> None:
    """Declaring texts unfamiliar costs a known part of the tasks' own texts."""
    rng = np.random.default_rng(4)
    scores = np.column_stack([rng.normal(4, 1, 2_000), np.zeros(2_000)])
    both, tasks = np.vstack([scores, scores[:, ::-1]]), ["a"] * 2_000 + ["b"] * 2_000
    limits, _ = choose_limits({"": both}, tasks, {"": 1.0}, Wanted(0.5, 0.9))
    assert (scores.max(axis=1) >= limits.floor).mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (Labels(("a b",) * 20, ("one",) * 20), "1 task"),
        (Labels(("a b",) * 21, ("one",) * 20 + ("two",)), "task 'two' has 1 texts, must have at least 10"),
        (Labels(("a b",) * 40, ("one",) * 20 + ("default",) * 20), "a choice needs two tasks"),
        (
            Labels(tuple(chr(0x4E00 + n) for n in range(40)), ("one",) * 20 + ("two",) * 20),
            "nothing to learn",
        ),
    ],
)
def test_labels_that_teach_nothing_are_refused_by_what_is_missing(labels: Labels, words: str) -> None:
    """Better no classifier than one that guesses."""
    with pytest.raises(LabelsRefused, match=words):
        train(labels)


def test_a_temperature_makes_confidence_true() -> None:
    """Known answer: scores that are three times too large are divided by three."""
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 2, (40_000, 4))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    right = (rng.random((40_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert temperature(3 * scores, right) == pytest.approx(3, rel=0.03)


def test_a_domain_of_a_single_task_needs_no_second_step() -> None:
    """`support/billing` alone in its domain is what the domain stands for."""
    labels = labelled()
    kept = [
        (text, task)
        for text, task in zip(labels.texts, labels.tasks, strict=True)
        if task != "support/shipping"
    ]
    alone = parse(train(Labels(*zip(*kept, strict=True)), Settings(precision=0.9, folds=2)).body)
    guess = alone.classify("refund the invoice charge please my payment receipt")
    assert guess is not None
    assert guess.task == "support/billing"
    assert alone.within == {}


def test_tasks_of_one_domain_alone_are_told_apart() -> None:
    """With a single domain only the second step decides."""
    labels = labelled()
    kept = [
        (text, task)
        for text, task in zip(labels.texts, labels.tasks, strict=True)
        if task.startswith("support/")
    ]
    inner = parse(train(Labels(*zip(*kept, strict=True)), Settings(precision=0.9, folds=2, keep=1.0)).body)
    guess = inner.classify("parcel delivery courier late package address")
    assert guess is not None
    assert guess.task == "support/shipping"
    assert guess.confidence > 0.8
