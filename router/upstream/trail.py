"""The trail of one request: what was tried or passed over, in order, and what came of it."""

import json
from collections.abc import Callable
from typing import NamedTuple

MAX_STEPS = 50
"""Steps that are kept; nobody reads further."""
SERVED = "served"
REFUSED = "refused"
"""Served as well, by an answer in which the model refused."""
LEFT = "left"
HEDGED = "hedged"
"""Slow so far: another attempt begins beside it."""
LOST_RACE = "lost_race"
"""The attempt beside it answered first."""
_NO_FAILURES = (SERVED, REFUSED, LEFT, HEDGED)


class Step(NamedTuple):
    """One attempt, or one model that was passed over."""

    where: str
    """Name of the model, with its deployment where it has several."""
    code: str
    at_ms: int
    """Milliseconds after the request came."""


class Trail:
    """Steps so far."""

    __slots__ = ("_monotonic", "_steps", "started_s")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._steps: list[Step] = []
        self._monotonic = monotonic
        self.started_s = monotonic()
        """When the request came."""

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add(self, where: str, code: str) -> None:
        """One more step."""
        if len(self._steps) < MAX_STEPS:
            self._steps.append(Step(where, code, round((self._monotonic() - self.started_s) * 1e3)))

    def text(self) -> str:
        """The steps for the ledger."""
        return json.dumps(self._steps, separators=(",", ":"))

    def failures(self) -> str:
        """What went wrong, for a line of the log."""
        return ", ".join(
            f"{step.where}: {step.code}" for step in self._steps if step.code not in _NO_FAILURES
        )
