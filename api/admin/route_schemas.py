"""Shapes of routing on the wire: what a request for a decision may say, and what is answered."""

from typing import Annotated

from pydantic import Field

from api.admin.schemas import Wire
from api.serving.decisions import MAX_METADATA, MAX_NAME_CHARACTERS, MAX_TIER, MAX_UNIT_CHARACTERS
from experiments.definition.names import Name
from router.config.abilities import LatencyClass
from router.config.task import MAX_COST_USD
from router.deciding.choose import Reason
from router.deciding.covariate import LARGEST_COVARIATE
from router.deciding.needs import MAX_WORDS, MOST_TOKENS
from router.deciding.tasks import TaskReason

UnitText = Annotated[str, Field(max_length=MAX_UNIT_CHARACTERS)]
NameText = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]


class NeedsBody(Wire):
    """What a request will carry; models that declare that they cannot take it are left out."""

    input_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0
    """By default estimated from the length of `text`."""
    output_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0
    """Longest answer that the request allows; 1,000 are assumed where a cost is estimated without it."""
    tools: bool = False
    vision: bool = False
    audio: bool = False
    json_mode: bool = False


class RouteBody(Wire):
    """A request for a decision; every field is optional."""

    task: NameText | None = None
    """Task named by the caller; otherwise rules on metadata and text find it."""
    metadata: Annotated[dict[str, str], Field(max_length=MAX_METADATA)] | None = None
    """What metadata rules look at."""
    text: str | None = None
    """What keyword rules look at; it is not stored."""
    unit: UnitText | None = None
    """What is assigned and kept together, where it is neither the session nor the user."""
    session_id: UnitText | None = None
    user: UnitText | None = None
    trace_id: UnitText | None = None
    """Workflow or trace that the request is part of."""
    override: NameText | None = None
    """Model to use whatever experiments run; it is left out of them."""
    tier: Annotated[int, Field(ge=1, le=MAX_TIER)] | None = None
    """Class of models to use whatever experiments run."""
    covariate: (
        Annotated[float, Field(ge=-LARGEST_COVARIATE, le=LARGEST_COVARIATE, allow_inf_nan=False)] | None
    ) = None
    """A number known about the unit beforehand, which comparisons may adjust for; its first decision counts."""
    max_cost: Annotated[float, Field(gt=0, le=MAX_COST_USD, allow_inf_nan=False)] | None = None
    """Most that the request may cost by the price list, in US dollars."""
    latency: LatencyClass | None = None
    residency: Name | None = None
    """Where its data must stay."""
    language: Name | None = None
    domain: Name | None = None
    skills: Annotated[list[Name], Field(max_length=MAX_WORDS)] | None = None
    tags: Annotated[list[Name], Field(max_length=MAX_WORDS)] | None = None
    needs: NeedsBody | None = None
    """What the request will carry, for a model to be able to serve it."""
    explain: bool | None = None
    """Whether the answer says everything that was considered."""


class ExplainAnswer(Wire):
    """What would become of a request now."""

    model: str
    candidate: str | None
    policy: str | None
    experiment: str | None
    task: str
    task_reason: TaskReason
    propensity: float
    reason: Reason
    explanation: str
    fallbacks: list[str]
    considered: list[str]
    """Everything that was considered, in the order in which it counted."""


class CopyAnswer(Wire):
    """A further model to ask the same in mode shadow: its answer is thrown away, and its tool calls are not run."""

    decision_id: str
    """Of the copy; its feedback names it, and that of the served answer the decision's own."""
    model: str
    """The model to call."""
    candidate: str


class RouteAnswer(Wire):
    """One decision and everything that explains it."""

    decision_id: str
    """Signed; feedback for this decision names it."""
    model: str
    """The model to call."""
    candidate: str | None
    """The same model, or the policy that chose it, where an experiment decided."""
    policy: str | None
    """Policy that chose the model, where one serves."""
    predicted: float | None
    """The policy's own word for the probability that the model succeeds."""
    experiment: str | None
    task: str
    task_reason: TaskReason
    confidence: float | None
    """Of the classifier in the task, where one was asked."""
    propensity: float
    """Probability with which this unit was given this candidate."""
    reason: Reason
    explanation: str
    fallbacks: list[str]
    """Models to try in this order when the decided one gives no answer."""
    degraded: bool
    """Taken without a fresh view of the ledger; left out of the statistics."""
    copy_: Annotated[CopyAnswer | None, Field(alias="copy")]
    """What may be asked of a further model as well, in mode shadow; null as a rule."""
    considered: list[str] | None = None
    """Everything that was considered, where `explain` asked for it."""
