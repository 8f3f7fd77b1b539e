"""Progress: what a running experiment remembers between looks.

Cells hold the evidence; this holds what depends on *when* it was looked at: the smallest always-valid p
so far, and a verdict once it was declared. Both stay valid because the tests are valid at all looks.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict

REWARD_TESTS = ("reward", "exact", "exact_not_worse")
"""Tests that new prices do not touch."""


class Declared(BaseModel):
    """A promotion that the evidence supported at some look; later looks at the same prices do not take it back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: str
    epoch: int
    at_ms: int
    sentence: str


class Progress(BaseModel):
    """The planner's memory of one experiment, stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    looks: int = 0
    last_epoch: int = 0
    """Newest mature epoch at the last look; a new one makes a new look."""
    cost_series: int = 0
    """Price version at the last look."""
    model_series: int = 0
    """Model version at the last look."""
    smallest_p: dict[str, dict[str, float]] = {}
    """Running minimum of the always-valid p, by candidate and test."""
    e_value: float = 1.0
    """Of "no candidate deserves promotion" at the newest look, for e-BH over several experiments."""
    declared: Declared | None = None
    dropped: dict[str, str] = {}
    """Why candidates were dropped, by candidate."""

    @classmethod
    def loads(cls, body: str) -> Self:
        """From stored JSON; "" is the beginning."""
        return cls.model_validate_json(body) if body else cls()

    def dumps(self) -> str:
        """Stored JSON."""
        return self.model_dump_json()

    def seen(
        self,
        p_values: dict[str, dict[str, float]],
        epoch: int,
        cost_series: int,
        model_series: int = 0,
        watching: bool = False,
    ) -> "Progress":
        """After a look at the epochs up to `epoch`; without a new epoch nothing is a new look.

        A holdback (`watching`) forgets with new prices or models everything that was tested before.
        """
        before = self._under_prices(cost_series)._under_models(model_series)
        if watching and (cost_series, model_series) != (self.cost_series, self.model_series):
            before = before.model_copy(update={"smallest_p": {}, "declared": None})
        if epoch <= before.last_epoch:
            return before
        merged = {
            candidate: {
                test: min(p, before.smallest_p.get(candidate, {}).get(test, 1.0)) for test, p in tests.items()
            }
            for candidate, tests in p_values.items()
        }
        kept = {**before.smallest_p, **merged}
        return before.model_copy(update={"looks": before.looks + 1, "last_epoch": epoch, "smallest_p": kept})

    def _under_models(self, model_series: int) -> "Progress":
        """Another model behind a name: what is known stays, and health asks for a review."""
        if model_series == self.model_series:
            return self
        return self.model_copy(update={"model_series": model_series})

    def _under_prices(self, cost_series: int) -> "Progress":
        """New prices leave what is known of rewards; what was known of costs is of the past."""
        if cost_series == self.cost_series:
            return self
        kept = {
            candidate: {test: p for test, p in tests.items() if test in REWARD_TESTS}
            for candidate, tests in self.smallest_p.items()
        }
        return self.model_copy(update={"cost_series": cost_series, "smallest_p": kept, "declared": None})
