"""Not enough data: an answer of its own, so that nobody mistakes silence for p = 1."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NotEnoughData:
    """No result yet, and why."""

    reason: str
