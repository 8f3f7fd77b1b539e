"""Grams: the pieces of a text that a classifier weighs, the same in training and while serving.

Each piece counts once, however often the text repeats it.
"""

import re
from functools import lru_cache

from router.classifying.scripts import MARKS, UNSPACED, normal

HEAD, TAIL = 1_400, 600
"""Characters that are read at the beginning and at the end of a text: what is asked stands at either."""
LONGEST_WORD = 30
"""Characters of a word that are looked at; longer ones are mostly keys and codes."""
_TOKENS = re.compile(rf"([{UNSPACED}]+)|(\d+)|((?:[^\W\d{UNSPACED}]|[{MARKS}])+)|([^\w\s]{{1,3}})")
_NUMBER = "0"
WORD = "w "
"""Begins the gram of a whole word, or of two."""
_PIECES = (3, 4)
_UNSPACED_PIECES = (1, 2, 3)
_KEPT_WORDS = 2_048


def grams(text: str, pairs: bool = True) -> set[str]:
    """Words, neighbouring words and pieces of words; without `pairs` nothing depends on the order of words.

    A number stands for all numbers. Writing without spaces gives pieces of one to three characters.

    >>> sorted(grams("Pay 30"))
    ['^pa', '^pay', 'ay$', 'pay', 'pay$', 'w 0', 'w pay', 'w pay 0']
    """
    found: set[str] = set()
    before = ""
    for unspaced, number, word, symbols in _TOKENS.findall(_read(text)):
        if unspaced:
            found.update(_cut(unspaced, _UNSPACED_PIECES))
            before = ""
            continue
        token = word[:LONGEST_WORD] or (_NUMBER if number else symbols)
        found.update(word_grams(token) if word else (f"w {token}",))
        if pairs and before:
            found.add(f"w {before} {token}")
        before = token
    return found


def _read(text: str) -> str:
    """What is read of a text, in one spelling and case."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]} {text[-TAIL:]}"
    return normal(text).lower()


@lru_cache(maxsize=_KEPT_WORDS)
def word_grams(word: str) -> tuple[str, ...]:
    """A word, and its pieces with its ends marked; most words of a text were seen before."""
    return (WORD + word, *_cut(f"^{word}$", _PIECES))


def _cut(text: str, lengths: tuple[int, ...]) -> list[str]:
    return [text[start : start + size] for size in lengths for start in range(len(text) - size + 1)]
