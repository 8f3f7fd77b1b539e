r"""Scripts: where a word begins and ends, in languages with spaces between words and in those without.

Python's `\w` knows neither: it takes a Chinese sentence for one word, and cuts a Hindi word at its vowel signs.
"""

import unicodedata

UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese have no spaces between words; Korean has them, and
writes particles onto its nouns. As ranges of a character class."""
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0951-\u0963\u0981-\u0de0"
"""Signs that continue a word and are no letters to a regular expression; from Bengali to Sinhala letters too."""
SPACED_LETTER = rf"[^\W{UNSPACED}]"
"""A letter, digit or underscore of a script with spaces."""


_DOTTED_I = "i\u0307"
"""What a Turkish capital I with a dot folds to."""


def folded(text: str) -> str:
    """The text as keywords are compared: in one spelling, and the same in upper and lower case.

    A sharp s folds to two letters, a final sigma to a sigma, a Turkish dotted capital I to an i. Accents stay: in
    most languages they make another word.

    >>> folded("STRASSE") == folded("Straße"), folded("ΤΌΠΟΣ") == folded("τόπος"), folded("cafe") == folded("Café")
    (True, True, False)
    """
    if text.isascii():
        return text.lower()
    return normal(normal(text).casefold()).replace(_DOTTED_I, "i")


def normal(text: str) -> str:
    """The text in one spelling: composed, and full-width letters as plain ones; its case is kept.

    >>> normal("ＩＮＶＯＩＣＥ")
    'INVOICE'
    """
    return text if text.isascii() else unicodedata.normalize("NFKC", text)
