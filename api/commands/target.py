"""What commands work on: the store itself, or a server that has it. Both answer in the shapes of the HTTP API."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from api.commands.output import Fields

Move = Literal["start", "pause", "stop"]
ReportForm = Literal["text", "json", "html", "csv"]


class Target(Protocol):
    """A store or a server; raises PointsmanError and StoreError."""

    def experiments(self) -> list[Fields]:
        """All experiments, the newest first."""

    def move(self, move: Move, name: str, why: str) -> Fields:
        """Start, pause or stop an experiment."""

    def report(self, name: str, form: ReportForm) -> str:
        """An experiment's report."""

    def power(self, name: str, units_per_day: float | None) -> Fields:
        """Units and days to a verdict."""

    def promote(self, name: str, why: str, candidate: str | None, force: bool) -> Fields:
        """Make a candidate the champion."""

    def rollback(self, task: str, why: str) -> Fields:
        """Give a task its previous champion back."""

    def routes(self) -> list[Fields]:
        """Every task and its champion."""

    def mix(self) -> str:
        """The declared mix of tiers beside what is served, in a sentence; "" where none is declared."""

    def explain(self, asked: Fields) -> Fields:
        """What would become of a request; `asked` is a body of /v1/route."""

    def set_route(self, task: str, model: str, why: str) -> Fields:
        """Name a champion by hand."""

    def audit(self, limit: int) -> list[Fields]:
        """The newest changes first."""

    def decision(self, decision_id: str) -> Fields:
        """One decision from its choice to its feedback."""

    def export(self, kind: str, experiment: str | None) -> Iterator[str]:
        """Rows of the ledger as lines of JSON."""

    def keys(self) -> list[Fields]:
        """All keys without their secrets."""

    def add_key(self, key_id: str, scopes: Sequence[str]) -> str:
        """A new key, shown once."""

    def revoke_key(self, key_id: str) -> None:
        """End a key."""
