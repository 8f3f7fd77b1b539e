"""The story of one decision: what was decided and why, what was tried, what came of it, what was reported."""

import json
from collections.abc import Mapping
from typing import Any

from api.admin.schemas import Wire
from router.deciding.choose import EXPLANATIONS
from router.deciding.decision_id import ID_CHARACTERS, read_id
from router.errors import InvalidRequest, NotFound
from storage.records import Story
from storage.store import Store


class TriedLine(Wire):
    """One attempt, or one model that was passed over."""

    where: str
    """Model, with its deployment where it has several."""
    code: str
    """`served`, `left` for a client that went away, or the code of what failed."""
    at_ms: int
    """Milliseconds after the request came."""


class CallStory(Wire):
    """What came back from the upstream."""

    served_model: str
    diverted: bool
    """Another model than the decided one answered."""
    error: str | None
    cost_usd: float | None
    cost_estimated: bool
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float
    """-1 for an answer of a batch API, whose time says nothing."""
    first_token_ms: float | None
    attempts: int
    finished_at_ms: int


class ReportedLine(Wire):
    """One value of feedback and what became of it."""

    metric: str
    value: float
    state: str
    received_at_ms: int


class DecisionStory(Wire):
    """One decision from its choice to its feedback."""

    decision_id: str
    decided_at_ms: int
    task: str
    found: str
    """What named the task."""
    model: str
    predicted: float | None
    """Probability of success that a policy stated for the model that it chose."""
    reason: str
    explanation: str
    experiment: str | None
    epoch: int
    arm: int
    propensity: float
    degraded: bool
    tried: list[TriedLine]
    """Attempts in order; empty where no call is recorded (yet)."""
    call: CallStory | None
    feedback: list[ReportedLine]


def decision_story(store: Store, decision_id: str) -> DecisionStory:
    """The story of a decision by its id; raises InvalidRequest for what is no id, and NotFound.

    The id's signature is not checked: whoever may read the ledger may read any of its rows.
    """
    named = read_id(decision_id)
    if named is None:
        raise InvalidRequest(f"a decision's id has {ID_CHARACTERS} characters, as the reply's `id` shows it")
    story = store.story(named.experiment_id, named.number)
    if story is None:
        raise NotFound("the ledger holds no such decision (yet): rows are written within a second")
    names = {row.id: row.name for row in store.state().experiments}
    decision = _kept(story.decision)
    return DecisionStory(
        decision_id=decision_id,
        decided_at_ms=named.at_ms,
        **{
            name: decision[name]
            for name in (
                "task",
                "found",
                "model",
                "predicted",
                "reason",
                "epoch",
                "arm",
                "propensity",
                "degraded",
            )
        },
        explanation=_EXPLAINED.get(decision["reason"], ""),
        experiment=names.get(named.experiment_id),
        tried=_tried(story),
        call=None if story.call is None else CallStory(**_some(story.call, CallStory)),
        feedback=[ReportedLine(**_some(each, ReportedLine)) for each in story.feedback],
    )


_EXPLAINED: Mapping[str, str] = {str(reason): text for reason, text in EXPLANATIONS.items()}


def _tried(story: Story) -> list[TriedLine]:
    """The trail; a call without one was answered by its first attempt."""
    if story.call is None:
        return []
    call = _kept(story.call)
    trail = json.loads(call["trail"]) if call["trail"] else [(call["served_model"], "served", 0)]
    return [TriedLine(where=where, code=code, at_ms=at_ms) for where, code, at_ms in trail]


def _kept(fields: Mapping[str, object]) -> dict[str, Any]:  # reason: exported rows hold values of many types
    return dict(fields)


def _some(fields: Mapping[str, object], shape: type[Wire]) -> dict[str, Any]:  # reason: as above
    """The fields that a shape has; the model checks their types."""
    return {name: fields[name] for name in shape.model_fields}
