"""Words of Converse's answers that mean the same as words of the chat API: ends, usage and errors."""

from dataclasses import replace

import orjson

from router.transport.transport import BrokenAnswer, Reply
from router.upstream.dialects.chat_words import Json
from router.upstream.usage import Usage, checked_usage, count_in

_FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "model_context_window_exceeded": "length", "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}  # fmt: skip
_MODEL_FAILED = 424
"""The status of a model that failed in the middle of its work; elsewhere that is a 5xx."""
_TOO_LONG = ("input is too long", "prompt is too long", "too many input tokens")


def finish_of(reason: Json) -> str:
    """The chat API's finish_reason; raises BrokenAnswer where the model failed to write what it meant."""
    if not isinstance(reason, str) or reason.startswith("malformed_"):
        raise BrokenAnswer(f"the answer ended with {str(reason)[:40]!r}")
    return _FINISHES.get(reason, "stop")


def read_token_usage(value: Json, tier: Json = None) -> Usage | None:
    """Usage of an answer, or None if it is missing or cannot be true.

    There the input count excludes what was read from and written to the cache; here it includes it.

    >>> usage = read_token_usage({"inputTokens": 10, "cacheReadInputTokens": 90, "outputTokens": 5})
    >>> (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    (100, 90, 5)
    """
    if (
        not isinstance(value, dict)
        or type(value.get("inputTokens")) is not int
        or value.get("outputTokens") is None
    ):
        return None
    read, written = count_in(value, "cacheReadInputTokens"), count_in(value, "cacheWriteInputTokens")
    details = value.get("cacheDetails")
    hours = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    for_an_hour = sum(count_in(each, "inputTokens") for each in hours if each.get("ttl") == "1h")
    for_an_hour = min(for_an_hour, written)
    service = tier.get("type") if isinstance(tier, dict) else None
    return checked_usage(
        Usage(
            count_in(value, "inputTokens") + read + written, count_in(value, "outputTokens"), False, read,
            written - for_an_hour, for_an_hour, service=service if isinstance(service, str) else "",
        )
    )  # fmt: skip


def read_error(reply: Reply) -> Reply:
    """An error in OpenAI's terms; AWS names its kind in a header, so only the message is left here."""
    status = 502 if reply.status == _MODEL_FAILED else reply.status
    try:
        said = orjson.loads(reply.body)
        message = said.get("message") or said["Message"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return replace(reply, status=status)
    long = any(words in str(message).lower() for words in _TOO_LONG)
    code = "context_length_exceeded" if long else None
    error = {"message": message, "type": "invalid_request_error", "code": code}
    return replace(reply, status=status, body=orjson.dumps({"error": error}))
