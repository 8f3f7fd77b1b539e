"""Answers of the responses API, whole and streamed.

The answer's `id` is the decision's, as everywhere: it is what clients keep, and it refers to nothing that a
provider stored. Text, tool calls and reasoning pass as the upstream wrote them.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from router.errors import StreamBroken
from router.transport.transport import BrokenAnswer
from router.upstream.attempt import Attempt
from router.upstream.events import MOST_HELD_BYTES, Parser, broken_text
from router.upstream.refusals import DECLINED, check_error
from router.upstream.replies import Completion, dump_reply, read_object
from router.upstream.sse import EventParser
from router.upstream.usage import Usage, read_response_usage, response_usage_fields

_PREPARING = ("response.created", "response.in_progress", "response.queued")
"""Events before the model writes: another model can still take over."""
_SILENT = (
    *_PREPARING, "response.output_item.added", "response.content_part.added", "response.refusal.delta",
    "response.refusal.done", "response.reasoning_summary_part.added",
)  # fmt: skip
"""Events that hold nothing of an answer: frames of what may come, or a refusal."""
_FINAL = ("response.completed", "response.incomplete")
_FAILED = ("response.failed", "response.cancelled", "error")
_CUT = {"max_output_tokens": "length", "content_filter": "content_filter"}
Fields = dict[str, Any]  # reason: passed on as the upstream wrote it


@dataclass(frozen=True, slots=True)
class Responded:
    """How whole answers are read and written."""

    def read(self, body: bytes) -> Completion:
        """Check that a reply is an answer; raises BrokenAnswer otherwise."""
        fields = read_object(body)
        if not isinstance(fields.get("output"), list) or fields.get("status") not in (
            "completed",
            "incomplete",
        ):
            raise BrokenAnswer("the reply holds no finished output")
        usage = read_response_usage(fields.get("usage"), fields.get("service_tier"))
        return Completion(fields, usage, 0 if usage else _characters(fields["output"]), _finish(fields))

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client: the decision's id, the model's name here, the cost."""
        return dump_reply(_named(completion.fields, decision_id, model, usage, cost_usd))


class ResponseEvents:
    """The events of one streamed answer; see `router.upstream.events.Events`."""

    def __init__(self, attempt: Attempt) -> None:
        self.parser: Parser = EventParser()
        self.begun = False
        self.done = False
        self.usage: Usage | None = None
        self.finish = ""
        self.spoke = False
        self._holds = attempt.holds
        self._held_bytes = 0
        self._attempt = attempt
        self._id = attempt.decision.id
        self._model = attempt.model
        self._final: Fields = {}
        self._number = 0
        self._held: list[bytes] = []

    def take(self, data: bytes) -> list[bytes]:
        """The event, renamed; those before the model writes wait for its first."""
        event = read_object(data)
        kind, response = event.get("type"), event.get("response")
        if not isinstance(kind, str) or "\n" in kind or "\r" in kind:
            raise BrokenAnswer("an event of the stream has no type")
        if kind in _FAILED:
            check_error(event.get("error"))
            check_error(event)
            check_error(response.get("error") if isinstance(response, dict) else None)
            raise BrokenAnswer("the response failed")
        number = event.get("sequence_number")
        self._number = number if type(number) is int else self._number
        if kind in _FINAL:
            self._finalise(event, response)
            return self._release([])
        if isinstance(response, dict):
            response["id"], response["model"] = self._id, self._model
        delta = event.get("delta")
        if kind.endswith(".delta") and isinstance(delta, str):
            self._attempt.wrote(len(delta))
        written = _event(kind, event)
        return self._release([written], hold=not self.begun and self._waits(kind, event, len(written)))

    def _waits(self, kind: str, event: Fields, size: int) -> bool:
        """Whether nothing of an answer has come that the client should see."""
        if not self._holds:
            return kind in _PREPARING
        self._held_bytes += size
        self.spoke = kind not in _SILENT and not _is_empty(event)
        return not self.spoke and self._held_bytes <= MOST_HELD_BYTES

    def complete(self) -> bool:
        """The final event is there."""
        return self.done

    def last(self, usage: Usage, cost_usd: float | None) -> bytes:
        """The final event, with its usage and cost."""
        _named(self._final["response"], self._id, self._model, usage, cost_usd)
        try:
            return _event(self._final["type"], self._final)
        except BrokenAnswer:  # nested deeper than can be written
            return self.broken()

    def broken(self) -> bytes:
        """An error event; its `error` makes clients raise that know errors only from chat streams."""
        words = {"code": StreamBroken.code, "message": broken_text(self._model), "param": None}
        error = {"type": "error", **words, "sequence_number": self._number + 1}
        return (
            b"event: error\ndata: "
            + orjson.dumps({**error, "error": {**words, "type": "upstream_error"}})
            + b"\n\n"
        )

    def _finalise(self, event: Fields, response: object) -> None:
        if not isinstance(response, dict):
            raise BrokenAnswer("the final event holds no response")
        self.usage = read_response_usage(response.get("usage"), response.get("service_tier"))
        self.finish = _finish(response)
        self._final, self.done = event, True

    def _release(self, events: list[bytes], hold: bool = False) -> list[bytes]:
        self._held += events
        if hold and not self.begun:
            return []
        self.begun = True
        released, self._held = self._held, []
        return released


def _named(fields: Fields, decision_id: str, model: str, usage: Usage, cost_usd: float | None) -> Fields:
    fields["id"], fields["model"] = decision_id, model
    fields["usage"] = response_usage_fields(fields.get("usage"), usage, cost_usd)
    return fields


def _event(kind: str, fields: Fields) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + dump_reply(fields) + b"\n\n"


def _finish(fields: Fields) -> str:
    """Why the model ended, in words of the chat API."""
    details = fields.get("incomplete_details")
    if fields.get("status") == "incomplete":
        reason = details.get("reason") if isinstance(details, dict) else None
        return _CUT.get(str(reason), "length")
    if _declined(fields.get("output")):
        return DECLINED
    kinds = {item.get("type") for item in fields.get("output") or () if isinstance(item, dict)}
    return "tool_calls" if any(str(kind).endswith("_call") for kind in kinds) else "stop"


def _characters(output: list[object]) -> int:
    """Characters of text and arguments in the items of an answer."""
    characters = 0
    for item in output:
        if not isinstance(item, dict):
            continue
        characters += len(item["arguments"]) if isinstance(item.get("arguments"), str) else 0
        parts = item.get("content")
        for part in parts if isinstance(parts, list) else ():
            text = part.get("text") if isinstance(part, dict) else None
            characters += len(text) if isinstance(text, str) else 0
    return characters


def _is_empty(event: Fields) -> bool:
    """Whether an event ends what is nothing but a refusal, or reasoning that is not shown."""
    part, item = event.get("part"), event.get("item")
    if isinstance(part, dict):
        return _is_refusal(part)
    if isinstance(item, dict) and item.get("type") == "reasoning":
        return not item.get("summary") and not item.get("content")
    return _declined([item])


def _declined(output: object) -> bool:
    """Whether all that was written is a refusal; reasoning is no answer."""
    parts: list[object] = []
    for item in output if isinstance(output, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "message" and isinstance(item.get("content"), list):
            parts += item["content"]
        elif kind != "reasoning":
            return False
    return bool(parts) and all(map(_is_refusal, parts))


def _is_refusal(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "refusal"
