"""Made-up multiple-choice questions and the answers simulated models give to them.

Everything follows from (seed, question, model) by hashing: a model gives the same answer to the same question
whenever it is asked, and whoever grades knows the key without asking anybody. No data set's text is used.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from math import exp
from statistics import NormalDist

from examples.figures import Subject

LETTERS = "ABCDEFGHIJ"
ANSWER_SPREAD, QUESTION_SPREAD = 0.5, 0.3
"""Standard deviations of the logarithm of a length in tokens."""
CHARACTERS_PER_TOKEN = 4
_ASKED = re.compile(r"Question (([a-z_]+)-\d{1,9})[.:]")
_ANSWERED = re.compile(r"The answer is \(([A-J])\)\.\s*\Z")
_REASONING = "so the statement holds for this case and the next one follows from it, "
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is recognised in a prompt."""

    id: str
    subject: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says to a question."""

    text: str
    input_tokens: int
    output_tokens: int


def question_text(subject: str, number: int) -> str:
    """The prompt of question `number` of a subject.

    >>> print(question_text("law", 17))
    Question law-17. Which of these statements about law holds for case 17?
    (A) the first (B) the second (C) the third (D) the fourth (E) the fifth
    (F) the sixth (G) the seventh (H) the eighth (I) the ninth (J) the tenth
    Answer with one letter.
    """
    return (
        f"Question {subject}-{number}. Which of these statements about {subject.replace('_', ' ')} holds for "
        f"case {number}?\n"
        "(A) the first (B) the second (C) the third (D) the fourth (E) the fifth\n"
        "(F) the sixth (G) the seventh (H) the eighth (I) the ninth (J) the tenth\n"
        "Answer with one letter."
    )


def asked(prompt: str) -> Asked | None:
    """The question in a prompt, or None if it holds none."""
    found = _ASKED.search(prompt)
    return Asked(found[1], found[2]) if found else None


def key_letter(seed: int, question_id: str) -> str:
    """The right answer."""
    return LETTERS[int(_uniform(seed, question_id, "key") * len(LETTERS))]


def chosen_letter(text: str) -> str | None:
    """The letter that an answer ends with, or None if it names none.

    >>> chosen_letter("It follows. The answer is (C).")
    'C'
    """
    found = _ANSWERED.search(text)
    return found[1] if found else None


def answer(seed: int, question: Asked, model: str, subject: Subject) -> Answer:
    """A model's answer: right with its measured accuracy, as long as its answers are on average."""
    figures = subject.models[model]
    letter = key_letter(seed, question.id)
    if _uniform(seed, question.id, model, "right") >= figures.accuracy:
        others = LETTERS.replace(letter, "")
        letter = others[int(_uniform(seed, question.id, model, "letter") * len(others))]
    output_tokens = _length(
        figures.output_tokens, ANSWER_SPREAD, _uniform(seed, question.id, model, "length")
    )
    input_tokens = _length(subject.input_tokens, QUESTION_SPREAD, _uniform(seed, question.id, "length"))
    return Answer(_reasoning(output_tokens) + f"The answer is ({letter}).", input_tokens, output_tokens)


def _length(mean: float, spread: float, uniform: float) -> int:
    """Tokens with this mean: log-normal, at least one."""
    return max(1, round(mean * exp(spread * _NORMAL.inv_cdf(uniform) - spread**2 / 2)))


def _reasoning(tokens: int) -> str:
    """Words that fill an answer up to its length."""
    characters = max(0, tokens * CHARACTERS_PER_TOKEN - 20)
    return (_REASONING * (characters // len(_REASONING) + 1))[:characters] + "\n"


def _uniform(seed: int, *parts: str) -> float:
    """A number in (0, 1) that follows from its parts."""
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) / 2**53
