"""Shapes on the wire: the bodies that the admin routes take and all answers, as the OpenAPI page shows them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from experiments.definition.experiment import Experiment, Mode, Unit
from experiments.definition.lifecycle import ExperimentState
from experiments.definition.names import Name
from router.recording.feedback import FeedbackItem
from storage.records import FeedbackState, RouteSource, Scope

Why = Annotated[str, Field(max_length=1_000)]


class Wire(BaseModel):
    """Base of all shapes: frozen and strict."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class FeedbackResult(Wire):
    """What became of one feedback item."""

    decision_id: str
    state: FeedbackState
    effective: float | None
    """The value that counts now."""
    detail: str = ""


class FeedbackAnswer(Wire):
    """States in the order of the items; `state` is the one of a body that was a single item."""

    results: list[FeedbackResult]
    state: FeedbackState | None = None


class ErrorObject(Wire):
    """What went wrong, in the shape of OpenAI's API."""

    message: str
    type: str
    code: str
    """Stable name of the error."""
    param: str | None
    """Field at fault."""
    index: int | None = None
    """Item at fault, in a list."""


class ErrorAnswer(Wire):
    """Every error answer."""

    error: ErrorObject


class ChatBody(BaseModel):
    """OpenAI's chat completion request; the model gets its further fields, a field it does not have is refused."""

    model_config = ConfigDict(extra="allow")

    model: str
    """`task/<name>`, `auto`, or the name of a declared model, which pins it."""
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]  # reason: OpenAI's shape, passed on
    stream: bool = False
    user: str | None = None
    metadata: dict[str, str] | None = None


class ChatAnswer(BaseModel):
    """OpenAI's chat completion; `id` is the decision id, `usage.cost` the price of the answer in US dollars."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["chat.completion"]
    model: str
    choices: list[dict[str, Any]]  # reason: OpenAI's shape, passed on
    usage: dict[str, Any] | None = None  # reason: OpenAI's shape, passed on


class EmbeddingsBody(BaseModel):
    """OpenAI's embeddings request."""

    model_config = ConfigDict(extra="allow")

    model: str
    """As in chat completions."""
    input: str | list[str] | list[int] | list[list[int]]
    user: str | None = None


class EmbeddingsAnswer(BaseModel):
    """OpenAI's embeddings, with the decision id as `id`."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["list"]
    model: str
    data: list[dict[str, Any]]  # reason: OpenAI's shape, passed on
    usage: dict[str, Any]  # reason: OpenAI's shape, passed on


class ResponsesBody(BaseModel):
    """OpenAI's responses request; what refers to a stored response is refused."""

    model_config = ConfigDict(extra="allow")

    model: str
    """As in chat completions."""
    input: str | list[dict[str, Any]]  # reason: OpenAI's shape, passed on
    stream: bool = False
    user: str | None = None
    metadata: dict[str, str] | None = None


class ResponsesAnswer(BaseModel):
    """OpenAI's response; `id` is the decision id, `usage.cost` the price of the answer in US dollars."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"]
    model: str
    output: list[dict[str, Any]]  # reason: OpenAI's shape, passed on
    usage: dict[str, Any]  # reason: OpenAI's shape, passed on


class ModelEntry(BaseModel):
    """One name that may stand in a request's `model`."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["model"]


class ModelList(BaseModel):
    """What may stand in a request's `model`."""

    object: Literal["list"]
    data: list[ModelEntry]


class Health(Wire):
    """The server answers."""

    status: Literal["ok"]


class CandidateShare(Wire):
    """One candidate's part of new traffic."""

    candidate: str
    share: float
    dropped: bool


class ExperimentAnswer(Wire):
    """One experiment and where it stands."""

    name: str
    task: str
    state: ExperimentState
    mode: Mode
    unit: Unit
    control: str
    verdict: str | None
    """Of the newest report; None before the first."""
    leader: str | None
    """Candidate that the verdict names."""
    units: int | None
    """Units assigned, by the newest report."""
    plan: str | None
    """When a verdict is likely, at the pace so far; None before the planner's first look and after the end."""
    discovery: bool | None
    """Whether it is one of the discoveries at its alpha among all that run (e-BH); None unless it runs."""
    epoch: int | None
    shares: list[CandidateShare]
    """Shares of the newest epoch; the configured ones before the start."""
    version: int
    created_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None
    ended_because: str
    predecessor: str | None
    """Experiment whose promotion this one watches."""
    definition: Experiment


class ExperimentList(Wire):
    """All experiments."""

    experiments: list[ExperimentAnswer]


class RouteEntry(Wire):
    """A task and the model that serves it outside experiments."""

    task: str
    champion: str
    own: bool
    """False where the champion is a parent task's or the default."""
    version: int
    source: RouteSource | None
    changed_at_ms: int | None
    changed_by: str | None
    previous: str | None


class TierEntry(Wire):
    """One tier of the mix; 0 stands for models without a tier."""

    tier: int
    declared: float
    decisions: int
    share: float | None
    """None while nothing was served."""


class MixEntry(Wire):
    """The declared mix of tiers beside what this server has decided since its start."""

    tiers: list[TierEntry]
    decisions: int
    p_value: float | None
    """Of the counts against the declared shares."""
    drift: bool
    """Whether chance does not explain the difference, and it is 5 points or more."""
    sentence: str


class RouteList(Wire):
    """The routing table."""

    routes: list[RouteEntry]
    mix: MixEntry | None = None
    """None where no mix is declared."""


class AuditLine(Wire):
    """Who changed what, when and why."""

    at_ms: int
    actor: str
    action: str
    subject: str
    why: str
    digest: str
    """Of the evidence or document that the change rests on."""
    forced: bool


class AuditList(Wire):
    """The newest entries first."""

    entries: list[AuditLine]


class TrafficLine(Wire):
    """Recorded decisions of one task, experiment and reason."""

    task: str
    experiment: str | None
    reason: str
    decisions: int


class TrafficList(Wire):
    """Where the traffic went."""

    traffic: list[TrafficLine]


class MoveBody(Wire):
    """Why an experiment is started, paused or stopped."""

    why: Why = ""


class PromoteBody(Wire):
    """Why a candidate becomes the champion."""

    why: Why
    candidate: Name | None = None
    """By default the one that the verdict names."""
    force: bool = False
    """Promote against the evidence; the audit record says so."""


class PromotionAnswer(Wire):
    """A task's new champion and the evidence it rests on."""

    task: str
    old: str
    new: str
    successor: str | None
    """Holdback experiment that watches it."""
    digest: str
    forced: bool


class RollbackBody(Wire):
    """Why a task gets its previous champion back."""

    why: Why


class SetRouteBody(Wire):
    """A task's champion by hand."""

    model: Name
    why: Why = ""
    expected_version: Annotated[int, Field(ge=0)] | None = None
    """Refuse if the row has another version by now."""


class NewKeyBody(Wire):
    """A bearer key to make."""

    id: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]


class NewKeyAnswer(Wire):
    """The key itself, shown this once."""

    id: str
    scopes: list[Scope]
    key: str


class KeyEntry(Wire):
    """A key without its secret."""

    id: str
    scopes: list[Scope]
    created_at_ms: int
    revoked_at_ms: int | None


class KeyList(Wire):
    """All keys."""

    keys: list[KeyEntry]


FeedbackBody = FeedbackItem | Annotated[list[FeedbackItem], Field(min_length=1, max_length=1_000)]
