"""Rows of the spool: files, batches, their lines, and the batches that were made of them at upstreams."""

from dataclasses import dataclass
from typing import Literal

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
OPEN: tuple[Status, ...] = ("validating", "in_progress", "finalizing", "cancelling")
LineState = Literal["new", "single", "batched", "grouped", "done", "failed"]
"""`new`: not decided yet. `single`: to be run by itself. `batched`: to go into a group of its site. `grouped`: in one.
`done` and `failed`: its line of the output or error file is there."""
FINISHED: tuple[LineState, ...] = ("done", "failed")
GroupState = Literal["prepared", "creating", "submitted", "closed"]
"""`creating` is written before the upstream is asked, so that whoever goes on after a crash looks there first."""
Purpose = Literal["batch", "batch_output"]


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of one owner."""

    id: str
    owner: str
    purpose: Purpose
    filename: str
    bytes: int
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch of one owner, with its counts."""

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    metadata: str
    """JSON object of the client's."""
    status: Status
    ends_as: Status
    """What it will be once every line has ended: completed, expired or cancelled."""
    created_at_ms: int
    expires_at_ms: int
    changes: str
    """JSON object: status to the time when it began."""
    errors: str = "[]"
    """JSON list of what is wrong with the input file."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class LineRow:
    """One request of a batch."""

    batch_id: str
    number: int
    """Line of the input file, from 1."""
    custom_id: str
    start: int
    """Where it begins in the input file, in bytes."""
    size: int
    state: LineState = "new"
    decision: str = ""
    """The decision as JSON, once it is taken."""
    site: str = ""
    """Where it is to be sent as part of a batch."""
    group_id: str | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Lines of one batch that go to an upstream's batch API together."""

    id: str
    batch_id: str
    model: str
    site: str
    base_url: str
    state: GroupState
    lines: int
    upstream_id: str = ""
    asked_at_ms: int = 0
    """When the upstream was last asked to make the batch."""
    tries: int = 0
    cancelled: bool = False
    """The upstream was told to stop."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one line ended."""

    number: int
    state: LineState
    result: bytes
    """Its line of the output or error file."""
    call: str = ""
    """Its call row as JSON; "" where nothing was decided for it."""


@dataclass(frozen=True, slots=True)
class Owed:
    """Rows that the ledger has not confirmed yet."""

    batch_id: str
    number: int
    decision: str
    call: str
