"""POST /v1/route and POST /v1/feedback: body in, one use case, answer out.

Routing is checked by hand: a validated model costs ten times what the decision does. The model
`api.admin.schemas.RouteBody` documents the same rules, and a test holds the two against each other.
"""

from collections.abc import Sequence

import orjson

from api.serving.metrics import Counters
from api.serving.problems import error_object
from api.serving.replies import Reply, json_reply
from router.deciding.choose import Copy, Decision, RouteRequest
from router.deciding.covariate import check_covariate
from router.deciding.explained import considered
from router.deciding.needs import HINTS, asked_needs
from router.engine import Engine
from router.errors import InvalidRequest
from router.recording.feedback import FeedbackItem, parse_items
from storage.records import FeedbackReply, FeedbackState

MAX_NAME_CHARACTERS = 400
MAX_UNIT_CHARACTERS = 1_000
MAX_METADATA = 64
MAX_TIER = 9
_TEXTS = (
    ("task", MAX_NAME_CHARACTERS),
    ("override", MAX_NAME_CHARACTERS),
    ("unit", MAX_UNIT_CHARACTERS),
    ("session_id", MAX_UNIT_CHARACTERS),
    ("user", MAX_UNIT_CHARACTERS),
    ("trace_id", MAX_UNIT_CHARACTERS),
)
_NEEDS = frozenset({*HINTS, "needs"})
_FIELDS = frozenset(
    {name for name, _ in _TEXTS} | {"metadata", "text", "tier", "covariate", "explain"} | _NEEDS
)


class Decisions:
    """The two routes over one engine."""

    def __init__(self, engine: Engine, counters: Counters) -> None:
        self._engine = engine
        self._counters = counters

    async def route(self, body: bytes) -> Reply:
        """Which model to call, and why."""
        request = parse_route(body)
        decision = await self._engine.route_async(request, offering=True)
        if decision.copy_to:
            self._counters.copied("offered" if decision.copy is not None else "budget")
        fields = decision_fields(decision)
        if request.explain:
            fields["considered"] = considered(self._engine.snapshot, request, decision)
        return json_reply(fields)

    async def feedback(self, body: bytes) -> Reply:
        """A state for each item once all are durable; 403 for a single item whose id is forged."""
        items = parse_items(body)
        replies = await self._engine.give_feedback_async(items)
        for reply in replies:
            self._counters.feedback(reply.state)
        results = result_fields(items, replies)
        if body.lstrip()[:1] != b"{":
            return json_reply({"results": results}, 202)
        answer: dict[str, object] = {"results": results, "state": replies[0].state}
        if replies[0].state is not FeedbackState.FORGED:
            return json_reply(answer, 202)
        error = error_object("forged_decision_id", replies[0].detail, "decision_id", 0)
        return json_reply({"error": error, **answer}, 403)


def parse_route(body: bytes) -> RouteRequest:
    """The request for a decision; raises InvalidRequest naming the field."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from None
    if type(data) is not dict:
        raise InvalidRequest("the body must be a JSON object")
    if not data.keys() <= _FIELDS:
        raise _unknown_field(data)
    for name, limit in _TEXTS:
        value = data.get(name)
        if value is not None and (type(value) is not str or len(value) > limit):
            raise InvalidRequest(f"{name} must be a text of at most {limit} characters", name)
    text = data.get("text")
    if text is not None and type(text) is not str:
        raise InvalidRequest("text must be a text", "text")
    return RouteRequest(
        data.get("task"), _metadata(data.get("metadata")), text or "", data.get("unit"), data.get("session_id"),
        data.get("user"), data.get("override"), _tier(data.get("tier")), check_covariate(data.get("covariate")),
        None if _NEEDS.isdisjoint(data) else asked_needs(*map(data.get, (*HINTS, "needs"))),
        data.get("trace_id"),
        _explain(data.get("explain")),
    )  # fmt: skip


def decision_fields(decision: Decision) -> dict[str, object]:
    """A decision on the wire."""
    return {
        "decision_id": decision.id,
        "model": decision.model,
        "candidate": decision.candidate,
        "policy": decision.policy,
        "predicted": decision.predicted,
        "experiment": decision.experiment,
        "task": decision.task,
        "task_reason": decision.task_reason,
        "confidence": decision.confidence,
        "propensity": decision.propensity,
        "reason": decision.reason,
        "explanation": decision.explanation,
        "fallbacks": decision.fallbacks,
        "degraded": decision.degraded,
        "copy": None if decision.copy is None else _copy_fields(decision.copy),
    }


def _copy_fields(copy: Copy) -> dict[str, str]:
    return {"decision_id": copy.id, "model": copy.model, "candidate": copy.candidate}


def result_fields(items: Sequence[FeedbackItem], replies: Sequence[FeedbackReply]) -> list[dict[str, object]]:
    """Feedback states on the wire; `detail` only where there is something to say."""
    results: list[dict[str, object]] = []
    for item, reply in zip(items, replies, strict=True):
        result: dict[str, object] = {
            "decision_id": item.decision_id, "state": reply.state, "effective": reply.effective,
        }  # fmt: skip
        if reply.detail:
            result["detail"] = reply.detail
        results.append(result)
    return results


def _unknown_field(data: dict[str, object]) -> InvalidRequest:
    name = min(data.keys() - _FIELDS)
    return InvalidRequest(f"unknown field {name[:80]!r}; known are {', '.join(sorted(_FIELDS))}", name[:80])


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if type(value) is not dict or len(value) > MAX_METADATA:
        raise InvalidRequest(f"metadata must be an object of at most {MAX_METADATA} texts", "metadata")
    for name, text in value.items():
        if type(text) is not str:
            raise InvalidRequest(f"metadata {name[:80]!r} must be a text", "metadata")
    return value


def _explain(value: object) -> bool:
    if value is not None and type(value) is not bool:
        raise InvalidRequest("explain must be true or false", "explain")
    return value is True


def _tier(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= MAX_TIER:
        raise InvalidRequest(f"tier must be a whole number from 1 to {MAX_TIER}", "tier")
    return value
