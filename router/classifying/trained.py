"""A trained classifier while it serves: whole numbers added up, one division, one softmax.

A text is a set of grams (router.classifying.grams). With idf_g from training and w_gk the weight of gram g for
task k, the score of k is

    sum_g idf_g w_gk / sqrt(sum_g idf_g^2)

over the text's grams: TF-IDF with binary counts and unit length, then multinomial logistic regression without
intercepts. A gram that training never saw has no weight and counts in the length as the rarest do, so a text of
unknown words has every task alike and is taken for none. Where even the best score is lower than almost all texts
of the tasks had, the text is not familiar. Products and squares are stored as whole numbers: their sums do not
depend on an order, so every process finds the same probabilities.

Tasks with a slash are found in two steps: the domain (their first word), then the task within it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from operator import itemgetter

from router.classifying.grams import grams
from router.classifying.guess import Guess

SQUARE_UNIT = 1_000
"""Squares of idf are stored in thousandths."""
Row = tuple[int, ...]
"""Square of a gram's idf, then its weight for each choice of the head."""


@dataclass(frozen=True, slots=True)
class Head:
    """One choice: between domains, or between the tasks of a domain."""

    choices: tuple[str, ...]
    step: float
    """What one unit of a weight stands for."""
    rows: Mapping[str, Row]
    """By gram; those of no weight here may be left out, except between domains."""

    def scores(self, found: Sequence[Row], length: float) -> list[float]:
        """Score of each choice, given the rows of a text's known grams."""
        if not found:
            return [0.0] * len(self.choices)
        unit = self.step / length
        columns = zip(*found, strict=True)
        next(columns)
        return [sum(column) * unit for column in columns]


@dataclass(frozen=True, slots=True)
class Trained:
    """A classifier that was read from a file."""

    digest: str
    threshold: float
    """Confidence below which a text is left to the default, as training chose it."""
    floor: float
    """Score of the likeliest domain below which a text is not familiar."""
    unknown: int
    """Square of the idf of a gram that training never saw, in thousandths."""
    pairs: bool
    """Whether neighbouring words are grams too."""
    top: Head
    """Between domains; its rows hold every known gram."""
    domains: Mapping[str, tuple[str, ...]]
    """Tasks of each domain."""
    within: Mapping[str, Head]
    """Between the tasks of each domain that has several."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that it may name."""
        return tuple(task for tasks in self.domains.values() for task in tasks)

    def classify(self, text: str) -> Guess | None:
        """The likeliest task; None for a text without a word."""
        pieces = grams(text, self.pairs)
        if not pieces:
            return None
        scores, length = self._domains(pieces)
        chances, familiar = softmax(scores), max(scores) >= self.floor
        best = Guess("", 0.0)
        for domain, chance in sorted(
            zip(self.top.choices, chances, strict=True), key=itemgetter(1), reverse=True
        ):
            if chance <= best.confidence:
                break
            task, share = max(self._tasks(domain, pieces, length), key=itemgetter(1))
            if chance * share > best.confidence:
                best = Guess(task, chance * share, familiar)
        return best

    def ranked(self, text: str) -> list[Guess]:
        """Every task with its probability, the likeliest first; empty for a text without a word."""
        pieces = grams(text, self.pairs)
        if not pieces:
            return []
        scores, length = self._domains(pieces)
        chances, familiar = softmax(scores), max(scores) >= self.floor
        guesses = [
            Guess(task, chance * share, familiar)
            for domain, chance in zip(self.top.choices, chances, strict=True)
            for task, share in self._tasks(domain, pieces, length)
        ]
        return sorted(guesses, key=lambda guess: guess.confidence, reverse=True)

    def pulls(self, text: str, task: str) -> dict[str, float]:
        """How much each known gram of a text speaks for a task rather than for an average one."""
        pieces = grams(text, self.pairs)
        _, length = self._domains(pieces)
        domain = next(name for name, tasks in self.domains.items() if task in tasks)
        heads = [(self.top, self.top.choices.index(domain))]
        if domain in self.within:
            heads.append((self.within[domain], self.within[domain].choices.index(task)))
        found: dict[str, float] = {}
        for head, place in heads:
            for piece in pieces & head.rows.keys():
                weights = head.rows[piece][1:]
                pull = (weights[place] - sum(weights) / len(weights)) * head.step / length
                found[piece] = found.get(piece, 0.0) + pull
        return found

    def _domains(self, pieces: set[str]) -> tuple[list[float], float]:
        """Score of each domain, and the text's length in the space of its grams."""
        row_of = self.top.rows.get
        found = [row for piece in pieces if (row := row_of(piece)) is not None]
        squares = sum([row[0] for row in found]) + self.unknown * (len(pieces) - len(found))
        length = sqrt(squares / SQUARE_UNIT)
        return self.top.scores(found, length), length

    def _tasks(self, domain: str, pieces: set[str], length: float) -> list[tuple[str, float]]:
        """Tasks of a domain with their probability in it."""
        head = self.within.get(domain)
        if head is None:
            return [(self.domains[domain][0], 1.0)]
        row_of = head.rows.get
        found = [row for piece in pieces if (row := row_of(piece)) is not None]
        return list(zip(head.choices, softmax(head.scores(found, length)), strict=True))


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities of scores; the largest is taken off first, so nothing overflows.

    >>> softmax([1000.0, 1000.0])
    [0.5, 0.5]
    """
    largest = max(scores)
    weights = [exp(score - largest) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]
