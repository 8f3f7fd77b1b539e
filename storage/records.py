"""Rows that cross the Store protocol: state that is changed by compare-and-set, and the append-only ledger.

Times are milliseconds since 1970 (`*_at_ms`), money is US dollars (`*_usd`). Every row is immutable.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from experiments.evidence.epochs import Epoch
from experiments.evidence.record import record

Scope = Literal["traffic", "feedback", "view", "admin"]
RouteSource = Literal["file", "hand", "promotion", "rollback"]
UNTIMED_MS = -1.0
"""Latency of an answer that nobody waited for, as of a provider's batch: it counts in no histogram."""


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """The configuration document in force, as validated JSON."""

    body: str
    version: int
    applied_at_ms: int


@dataclass(frozen=True, slots=True)
class RouteRow:
    """The champion of one task; the reserved task `default` serves requests whose task is unknown."""

    task: str
    model: str
    version: int
    source: RouteSource
    changed_at_ms: int
    changed_by: str
    previous: str | None = None
    file_model: str | None = None
    """Champion that the file named when it was last applied; `plan` shows where it differs."""


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """One experiment and where it stands in its life."""

    id: int
    name: str
    definition: Experiment
    state: ExperimentState
    version: int
    salt: str
    created_at_ms: int
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    dropped: tuple[int, ...] = ()
    """Arms that get no further traffic."""
    predecessor: str | None = None
    """Experiment whose promotion this holdback watches."""
    ended_because: str = ""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A bearer key; only its hash is stored."""

    id: str
    hash: str
    scopes: tuple[Scope, ...]
    created_at_ms: int
    revoked_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who changed what, when and why; `digest` is of the evidence or document that the change rests on."""

    at_ms: int
    actor: str
    action: str
    subject: str
    why: str = ""
    digest: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Everything a snapshot is built from, read in one transaction."""

    version: int
    config: ConfigRow | None
    routes: tuple[RouteRow, ...]
    experiments: tuple[ExperimentRow, ...]
    epochs: tuple[Epoch, ...]
    """The newest epoch of each experiment that has one."""
    keys: tuple[KeyRow, ...]


@dataclass(frozen=True, slots=True)
class PutConfig:
    """Replace the configuration if its version is still `expected` (0: there is none)."""

    body: str
    expected: int


@dataclass(frozen=True, slots=True)
class PutRoute:
    """Write a champion if the stored row's version is still `row.version`; the store adds one (0: new)."""

    row: RouteRow


@dataclass(frozen=True, slots=True)
class PutExperiment:
    """Write an experiment if the stored row's version is still `row.version`; the store adds one (0: new).

    A name is used once, and one experiment per task is running or paused; the store refuses otherwise.
    """

    row: ExperimentRow


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    """Close the open epoch at `epoch.opened_at_ms` and open `epoch`, if `epoch.number` is the next one.

    Epoch 0 is written closed, beside the others, and is never the open one.
    """

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CloseEpoch:
    """Close the open epoch of a paused or ended experiment; nothing happens where none is open."""

    experiment_id: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class FreezeReport:
    """Keep the report on which an experiment ended; refused if one is kept already."""

    experiment_id: int
    body: str


@dataclass(frozen=True, slots=True)
class PutKey:
    """Write a key by id, new or replaced (to revoke it)."""

    row: KeyRow


Change = PutConfig | PutRoute | PutExperiment | OpenEpoch | CloseEpoch | FreezeReport | PutKey


@dataclass(frozen=True, slots=True)
class Lease:
    """The planner's right to act: valid until `expires_at_ms` unless a greater `token` was given out."""

    name: str
    holder: str
    token: int
    expires_at_ms: int


@record(frozen=True, slots=True)
class Assignment:
    """A sticky unit's first row: its candidate for the life of the experiment."""

    epoch: int
    arm: int
    propensity: float


@record(frozen=True, slots=True)
class DecisionRow:
    """One routing choice. Outside experiments `experiment_id`, `epoch` and `arm` are 0."""

    number: int
    """Milliseconds << 22 | worker << 16 | sequence: the primary key, rising with time."""
    experiment_id: int
    epoch: int
    arm: int
    unit: bytes
    task: str
    model: str
    reason: str
    propensity: float
    degraded: bool = False
    covariate: float | None = None
    """What was known of the unit before it was assigned; the unit's first decision fixes it."""
    found: str = ""
    """What named the task; a classifier's word with its band of confidence and its name."""
    predicted: float | None = None
    """Probability of success that the policy stated for the model that it chose."""


@record(frozen=True, slots=True)
class CallRow:
    """What came back from the upstream for one decision of the gateway."""

    number: int
    experiment_id: int
    epoch: int
    arm: int
    unit: bytes
    served_model: str
    """Model that answered, or the last one tried."""
    diverted: bool
    """Another model than the decision's answered."""
    error: str | None
    """Code of the failure that reached the client; None for a complete answer."""
    cost_usd: float | None
    """Cost of all attempts; None when a price is unknown."""
    cost_estimated: bool
    """The upstream reported no usage and the cost rests on sizes."""
    price_version: str
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float
    """UNTIMED_MS where it was not measured."""
    first_token_ms: float | None
    attempts: int
    finished_at_ms: int
    trail: str = ""
    """What was tried and what came of it, as JSON: `[[where, code, milliseconds after the request came], ...]`."""


@record(frozen=True, slots=True)
class FeedbackRow:
    """Metric values reported for one decision, whose fields come from its verified id."""

    number: int
    experiment_id: int
    epoch: int
    arm: int
    unit: bytes
    values: tuple[tuple[str, float], ...]
    """(metric, value) pairs; the first names the reply's state."""
    received_at_ms: int
    occurred_at_ms: int | None = None
    idempotency_key: str | None = None
    comment: str = ""

    @property
    def order_at_ms(self) -> int:
        """Time by which values of one effect key are ordered."""
        return self.received_at_ms if self.occurred_at_ms is None else self.occurred_at_ms


class FeedbackState(StrEnum):
    """What became of a feedback item."""

    ACCEPTED = "accepted"
    """Durable, without effect now: the decision was degraded, or its effect is decided later."""
    APPLIED = "applied"
    """Durable and counted."""
    DUPLICATE = "duplicate"
    """The same value, or the same idempotency key, is there already; counted once."""
    SUPERSEDED = "superseded"
    """Another value was there; the later of the two counts (`effective`)."""
    LATE = "late"
    """Durable, not counted: the reward window of its unit is over."""
    UNKNOWN = "unknown"
    """Durable, not counted: a valid id outside any experiment, or of one that is gone."""
    FORGED = "forged"
    """Refused: the id's signature does not verify."""


@record(frozen=True, slots=True)
class FeedbackReply:
    """State of one feedback item; `effective` is the value that counts now."""

    state: FeedbackState
    effective: float | None = None
    detail: str = ""


@record(frozen=True, slots=True)
class Batch:
    """Rows for one ledger transaction, applied in the order decisions, calls, feedback."""

    decisions: tuple[DecisionRow, ...] = ()
    calls: tuple[CallRow, ...] = ()
    feedback: tuple[FeedbackRow, ...] = ()

    def __len__(self) -> int:
        return len(self.decisions) + len(self.calls) + len(self.feedback)


@dataclass(frozen=True, slots=True)
class TrafficCount:
    """Decisions of one task by reason, inside (experiment_id > 0) and outside experiments."""

    task: str
    experiment_id: int
    reason: str
    decisions: int


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The newest report of an experiment as the planner rendered it."""

    body: str
    rendered_at_ms: int
    frozen: bool = False


@record(frozen=True, slots=True)
class Effect:
    """The value that counts for one effect key (decision number, metric)."""

    value: float
    order_at_ms: int
    digest: str


@dataclass(slots=True)
class CellDelta:
    """Signed change of one cell, collected over a transaction."""

    counts: list[int] = field(default_factory=lambda: [0] * 7)
    moments: dict[str, list[float]] = field(default_factory=dict)
    latency: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """All rows of one decision, as they are exported."""

    decision: dict[str, object]
    call: dict[str, object] | None
    feedback: tuple[dict[str, object], ...]
