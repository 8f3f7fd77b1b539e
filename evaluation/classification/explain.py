"""Why a classifier decided as it did: the words of a text that spoke for its task."""

from dataclasses import dataclass

from router.classifying.grams import WORD, word_grams
from router.classifying.trained import Trained

MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Said:
    """One word, or two neighbouring ones, and how much it raises the task's score."""

    words: str
    pull: float


def decisive(trained: Trained, text: str, task: str, most: int = MOST_WORDS) -> list[Said]:
    """The strongest words first. A word counts with its pieces; pieces of writing without spaces stand alone."""
    pulls = trained.pulls(text, task)
    whole = {piece[len(WORD) :] for piece in pulls if piece.startswith(WORD)}
    totals: dict[str, float] = {}
    left = dict(pulls)
    for word in sorted(whole):
        own = word_grams(word) if " " not in word else (WORD + word,)
        totals[word] = sum(pulls.get(piece, 0.0) for piece in own)
        for piece in own:
            left.pop(piece, None)
    totals |= {
        piece: pull for piece, pull in left.items() if not piece.startswith("^") and not piece.endswith("$")
    }
    ordered = sorted(totals.items(), key=lambda each: (-each[1], each[0]))
    return [Said(words, pull) for words, pull in ordered[:most] if pull > 0]
