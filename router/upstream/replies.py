"""Chat replies: reading an upstream's answer and giving it the decision's name."""

from typing import Any

import orjson

from experiments.evidence.record import record
from router.transport.transport import BrokenAnswer
from router.upstream.refusals import DECLINED, REFUSALS, check_error, declines
from router.upstream.usage import Usage, answer_characters, read_usage, usage_fields


@record(frozen=True, slots=True)
class Completion:
    """A whole answer as the upstream gave it."""

    fields: dict[str, Any]  # reason: passed on as the upstream wrote them
    usage: Usage | None
    characters: int
    """Length of what the model wrote, counted only where its usage is missing."""
    finish: str = ""
    """Why the model ended, in words of the chat API."""


def read_object(body: bytes) -> dict[str, Any]:  # reason: passed on as the upstream wrote it
    """The JSON object that a reply must be; raises BrokenAnswer otherwise."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BrokenAnswer("the reply is not JSON") from None
    if not isinstance(fields, dict):
        raise BrokenAnswer("the reply is no object")
    return fields


def read_completion(body: bytes) -> Completion:
    """Check that a reply is a chat answer; raises BrokenAnswer otherwise."""
    fields = read_object(body)
    choices = fields.get("choices")
    if (
        not isinstance(choices, list)
        or not choices
        or not all(isinstance(choice, dict) for choice in choices)
    ):
        raise BrokenAnswer("the reply holds no choices")
    return completion_of(fields, read_usage(fields.get("usage"), fields.get("service_tier")))


def completion_of(fields: dict[str, Any], usage: Usage | None) -> Completion:  # reason: as read_object
    """A chat answer whose choices are known to be there."""
    choices = fields["choices"]
    characters = 0 if usage else sum(answer_characters(choice.get("message")) for choice in choices)
    finish = choices[0].get("finish_reason")
    if finish not in REFUSALS and declines(choices[0].get("message")):
        finish = DECLINED
    return Completion(fields, usage, characters, finish if isinstance(finish, str) else "")


def write_completion(
    completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
) -> bytes:
    """The answer for the client: the decision's id, the model's name here, the cost."""
    fields = completion.fields
    fields["id"], fields["model"] = decision_id, model
    fields["usage"] = usage_fields(fields.get("usage"), usage, cost_usd)
    return dump_reply(fields)


def read_chunk(data: bytes) -> dict[str, Any]:  # reason: passed on as the upstream wrote it
    """Check that an event's data is a chunk of a chat answer; raises BrokenAnswer otherwise (StreamRefused is one)."""
    try:
        chunk: dict[str, Any] = orjson.loads(data)  # reason: checked next
    except orjson.JSONDecodeError:
        raise BrokenAnswer("an event of the stream is not JSON") from None
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        check_error(chunk.get("error") if isinstance(chunk, dict) else None)
        raise BrokenAnswer("an event of the stream holds no choices")
    return chunk


def dump_reply(fields: dict[str, Any]) -> bytes:  # reason: as read
    """JSON of a reply; orjson reads deeper than it writes."""
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError:
        raise BrokenAnswer("the reply is nested too deeply") from None
