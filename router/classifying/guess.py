"""A guess: the task that a classifier takes a text for, and how sure it is."""

from dataclasses import dataclass

OUT_OF_SCOPE = "default"
"""Task of texts that belong to none of the declared tasks; labels name it too."""
BAND = 10
"""Bands of confidence that the ledger tells apart: tenths."""


@dataclass(frozen=True, slots=True)
class Guess:
    """One task with its probability."""

    task: str
    confidence: float
    familiar: bool = True
    """Whether the text has enough in it of what the task's texts have; else it is taken for out of scope."""


def band(confidence: float) -> str:
    """The tenth that a confidence lies in, by its lower end.

    >>> band(0.87), band(1.0), band(0.03)
    ('0.8', '0.9', '0.0')
    """
    return f"0.{min(int(confidence * BAND), BAND - 1)}"
