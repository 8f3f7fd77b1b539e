"""The dialect of Anthropic's messages API: chat requests are translated, and so are their answers."""

from dataclasses import replace
from typing import Any

import orjson

from router.config.model import Model
from router.transport.transport import BrokenAnswer, Reply, Upstream
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.chat_events import ChatEvents
from router.upstream.dialects.anthropic_request import translate
from router.upstream.dialects.anthropic_stream import MessageDecoder
from router.upstream.dialects.anthropic_words import finish_of, read_message_usage
from router.upstream.dialects.chat_words import usage_object
from router.upstream.events import Events
from router.upstream.exchange import Recipient, Untranslatable
from router.upstream.replies import Completion, completion_of, read_object, write_completion
from router.upstream.usage import Usage

VERSION = "2023-06-01"
_TOO_LONG = "prompt is too long"
Json = Any  # reason: as the upstream wrote it


class Messages:
    """`/messages`, for the chat endpoint; see `router.upstream.exchange.Exchange`."""

    def body(self, call: Call, name: str, model: Model) -> bytes:
        """The translated request; raises Untranslatable."""
        fields = translate(call.fields, model.default_max_tokens)
        try:
            return orjson.dumps({"model": name, **call.with_extras(fields, model)})
        except orjson.JSONEncodeError:
            raise Untranslatable("the arguments of a tool call are nested too deeply") from None

    def target(self, recipient: Recipient, call: Call, body: bytes) -> Upstream:  # noqa: ARG002  # whatever is sent
        """`/messages` below the model's base URL, with the key in its own header."""
        key = recipient.key
        headers = {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})
        return Upstream(recipient.model.base_url + "/messages", key, headers)

    def read(self, body: bytes, now_ms: int) -> Completion:
        """A message as a chat answer; raises BrokenAnswer if it is none."""
        message = read_object(body)
        content = message.get("content")
        if message.get("type") != "message" or not isinstance(content, list):
            raise BrokenAnswer("the reply is no message")
        usage = read_message_usage(message.get("usage"))
        choice = {
            "index": 0,
            "message": _message(content),
            "logprobs": None,
            "finish_reason": finish_of(message.get("stop_reason")),
        }
        fields = {
            "id": "", "object": "chat.completion", "created": now_ms // 1_000, "model": "", "choices": [choice],
            "usage": usage_object(usage) if usage else None,
        }  # fmt: skip
        return completion_of(fields, usage)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return write_completion(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:
        """The events of a stream."""
        return ChatEvents(attempt, call, MessageDecoder(now_ms))

    def error(self, reply: Reply) -> Reply:
        """The error in OpenAI's shape: the same fields, and the code by which clients know a long prompt."""
        try:
            error = orjson.loads(reply.body)["error"]
            message = error["message"]
        except (ValueError, TypeError, KeyError):
            return reply
        code = "context_length_exceeded" if _TOO_LONG in str(message).lower() else None
        body = orjson.dumps({"error": {"message": message, "type": error.get("type"), "code": code}})
        return replace(reply, body=body)


def _message(content: list[Json]) -> dict[str, Json]:
    """The message of a chat answer. Thinking is shown beside the text; its signature has no place."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "thinking":
            thoughts.append(str(block.get("thinking", "")))
        elif kind == "tool_use":
            calls.append(_tool_call(block))
    message: dict[str, Json] = {
        "role": "assistant", "content": "".join(texts) if texts or not calls else None, "refusal": None,
    }  # fmt: skip
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _tool_call(block: Json) -> Json:
    try:
        arguments = orjson.dumps(block.get("input") or {}).decode()
    except orjson.JSONEncodeError:
        raise BrokenAnswer("the arguments of a tool call are nested too deeply") from None
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}
