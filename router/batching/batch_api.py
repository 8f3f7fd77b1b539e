"""An upstream's batch API, whichever dialect it speaks."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from router.availability.sites import Site
from router.transport.transport import Deadlines
from router.upstream.exchange import Exchange
from storage.spool.rows import GroupRow

QUICK = Deadlines(connect_s=5.0, idle_s=60.0, total_s=60.0)
LONG = Deadlines(connect_s=5.0, idle_s=120.0, total_s=1_800.0)
MAX_RESULT_BYTES = 2_000_000_000
SIGN = "pointsman_group"
"""Under this name an upstream keeps which group a batch was made of."""
Trouble = Literal["refused", "gone", "later", "unsure"]


class BatchApiError(Exception):
    """The upstream did not do what was asked.

    `refused`: it will not. `gone`: it knows nothing of it. `later`: it has not, and may. `unsure`: it may have.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group is sent, with which key."""

    site: Site
    key: str | None
    exchange: Exchange
    url: str
    """Path of the endpoint, as lines name it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a group."""

    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """Where an upstream's batch stands."""

    ended: bool
    sources: tuple[str, ...] = ()
    """Where its results are, once it has ended."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one request; without a status it was not answered."""

    custom_id: str
    status: int | None
    body: bytes = b""


class BatchApi(Protocol):
    """Everything raises BatchApiError."""

    most_lines: int
    most_bytes: int

    def write(self, path: Path, asked: Iterable[Asked], url: str) -> None:
        """Write a group's requests as the upstream wants them."""

    async def send(self, place: Place, group: GroupRow, path: Path) -> str:
        """Make a batch; its id at the upstream."""

    async def find(self, place: Place, group: GroupRow, known: frozenset[str]) -> str | None:
        """The batch that was made of a group before, if there is one; `known` are those of other groups."""

    async def look(self, place: Place, upstream_id: str) -> Look:
        """Where it stands."""

    async def fetch(self, place: Place, source: str, path: Path) -> None:
        """Write results to a file."""

    def read(self, line: bytes) -> Result | None:
        """One line of the results; None where it is none."""

    async def cancel(self, place: Place, upstream_id: str) -> None:
        """Ask it to stop."""
