"""The trail of one request: what was tried or passed over, in order, and what came of it."""

import json
from typing import NamedTuple

MAX_STEPS = 50
"""Steps that are kept; nobody reads further."""
SERVED = "served"
LEFT = "left"


class Step(NamedTuple):
    """One attempt, or one model that was passed over."""

    where: str
    """Name of the model, with its deployment where it has several."""
    code: str
    at_ms: int
    """Milliseconds after the request came."""


class Trail:
    """Steps so far."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add(self, where: str, code: str, after_s: float) -> None:
        """One more step."""
        if len(self._steps) < MAX_STEPS:
            self._steps.append(Step(where, code, round(after_s * 1e3)))

    def text(self) -> str:
        """The steps for the ledger."""
        return json.dumps(self._steps, separators=(",", ":"))

    def failures(self) -> str:
        """What went wrong, for a line of the log."""
        return ", ".join(
            f"{step.where}: {step.code}" for step in self._steps if step.code not in (SERVED, LEFT)
        )
