"""Heads: multinomial logistic regressions between domains, and between the tasks of a domain."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar

from evaluation.classification.labels import LabelsRefused

Floats = NDArray[np.float64]
TOP = ""
"""Name of the head between domains."""
_ITERATIONS = 2_000


@dataclass(frozen=True)
class Fitted:
    """One head: its choices, and a weight of each gram for each of them."""

    choices: tuple[str, ...]
    weights: Floats
    """Shape (choices, grams)."""

    def scores(self, rows: sparse.csr_matrix) -> Floats:
        """Score of each choice for each text."""
        found: Floats = np.asarray(rows @ self.weights.T)
        return found


def choices_of(tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Tasks of each domain, all by name."""
    domains: dict[str, list[str]] = {}
    for task in sorted(set(tasks)):
        domains.setdefault(task.split("/")[0], []).append(task)
    return {domain: tuple(each) for domain, each in domains.items()}


def fit_heads(rows: sparse.csr_matrix, tasks: Sequence[str], strength: float) -> dict[str, Fitted]:
    """A head between domains, and one in each domain of several tasks. `strength` is scikit-learn's C."""
    domains = choices_of(tasks)
    labels = np.array([task.split("/")[0] for task in tasks])
    heads = {TOP: _fit(rows, labels, tuple(domains), strength)}
    for domain, choices in domains.items():
        if len(choices) > 1:
            inside = np.flatnonzero(labels == domain)
            heads[domain] = _fit(rows[inside], np.array(tasks)[inside], choices, strength)
    return heads


def _fit(
    rows: sparse.csr_matrix, labels: NDArray[np.str_], choices: tuple[str, ...], strength: float
) -> Fitted:
    if len(choices) == 1:
        return Fitted(choices, np.zeros((1, rows.shape[1])))
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise LabelsRefused(
            "training needs scikit-learn; install it with: pip install 'pointsman[classify]'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a nearly converged fit is judged on held-out texts
        model = LogisticRegression(C=strength, fit_intercept=False, max_iter=_ITERATIONS).fit(rows, labels)
    assert tuple(model.classes_) == choices
    weights = np.asarray(model.coef_)
    if len(choices) == 2:  # two classes are fitted as one log-odds, here shared out between both
        weights = np.vstack([-weights / 2, weights / 2])
    return Fitted(choices, weights)


def log_softmax(scores: Floats) -> Floats:
    """Logarithm of the probabilities of each row's scores."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def probabilities(
    scores: Mapping[str, Floats], domains: Mapping[str, tuple[str, ...]], temperatures: Mapping[str, float]
) -> Floats:
    """Probability of each task, domain by domain, from the scores of all heads."""
    top = np.exp(log_softmax(scores[TOP] / temperatures[TOP]))
    columns = []
    for place, (domain, tasks) in enumerate(domains.items()):
        if len(tasks) == 1:
            columns.append(top[:, place : place + 1])
        else:
            columns.append(
                top[:, place : place + 1] * np.exp(log_softmax(scores[domain] / temperatures[domain]))
            )
    found: Floats = np.hstack(columns)
    return found


def temperature(scores: Floats, right: NDArray[np.int64]) -> float:
    """The divisor of scores that makes held-out labels likeliest (Guo et al. 2017, "temperature scaling")."""
    if scores.shape[1] < 2 or not len(right):
        return 1.0

    def loss(log_temperature: float) -> float:
        chances = log_softmax(scores / np.exp(log_temperature))
        return -float(chances[np.arange(len(right)), right].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
