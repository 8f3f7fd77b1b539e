"""Texts as a sparse matrix of weighed grams, laid out as the classifier will see them when it serves."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from router.classifying.grams import grams
from router.classifying.trained import SQUARE_UNIT
from router.classifying.trained_file import LONGEST_GRAM

LEAST_TEXTS = 2
"""Texts that a gram must occur in: what one text alone says teaches nothing about others."""
_MOST_COUNTED = 3_000_000
"""Grams counted at once; beyond it those seen once so far are forgotten, which bounds memory."""


@dataclass(frozen=True)
class Grams:
    """The known grams with their squared idf, in thousandths."""

    names: tuple[str, ...]
    squares: NDArray[np.int64]
    unknown: int
    pairs: bool

    @property
    def idf(self) -> NDArray[np.float64]:
        """Weight of each gram."""
        found: NDArray[np.float64] = np.sqrt(self.squares / SQUARE_UNIT)
        return found


def known_grams(texts: Sequence[str], most: int, pairs: bool, advance: Callable[[], object]) -> Grams:
    """The `most` commonest grams, with idf = ln((1 + n) / (1 + df)) + 1 as scikit-learn has it."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(grams(text, pairs))
        if len(counts) > _MOST_COUNTED:
            counts = Counter({gram: count for gram, count in counts.items() if count > 1})
        advance()
    common = [
        (gram, count) for gram, count in counts.items() if count >= LEAST_TEXTS and len(gram) <= LONGEST_GRAM
    ]
    common.sort(key=lambda each: (-each[1], each[0]))
    chosen = sorted(common[:most])
    return Grams(
        names=tuple(gram for gram, _ in chosen),
        squares=np.array([_square(len(texts), count) for _, count in chosen], dtype=np.int64),
        unknown=_square(len(texts), 1),
        pairs=pairs,
    )


def matrix(texts: Sequence[str], known: Grams, advance: Callable[[], object]) -> sparse.csr_matrix:
    """One row a text, of length one over all its grams, the unknown ones included; columns are the known grams."""
    place = {gram: index for index, gram in enumerate(known.names)}
    columns: list[NDArray[np.int32]] = []
    values: list[NDArray[np.float64]] = []
    starts = [0]
    for text in texts:
        pieces = grams(text, known.pairs)
        found = np.array(sorted(place[piece] for piece in pieces if piece in place), dtype=np.int32)
        squares = known.squares[found].sum() + known.unknown * (len(pieces) - len(found))
        columns.append(found)
        values.append(known.idf[found] / np.sqrt(max(squares, 1) / SQUARE_UNIT))
        starts.append(starts[-1] + len(found))
        advance()
    shape = (len(texts), len(known.names))
    return sparse.csr_matrix((np.concatenate(values), np.concatenate(columns), starts), shape=shape)


def _square(texts: int, count: int) -> int:
    return round((log((1 + texts) / (1 + count)) + 1) ** 2 * SQUARE_UNIT)
