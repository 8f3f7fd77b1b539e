"""Words of Gemini's answers that mean the same as words of the chat API: ends, usage and errors."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace

import orjson

from router.transport.transport import BrokenAnswer, Reply
from router.upstream.dialects.chat_words import Json
from router.upstream.usage import Usage, checked_usage, count_in

_FILTERED = frozenset({
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR", "OTHER",
    "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER",
})  # fmt: skip
_TOO_LONG = "exceeds the maximum number of tokens"
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d+)?)s")


def finish_of(reason: Json, called: bool) -> str:
    """The chat API's finish_reason; raises BrokenAnswer where the model failed to write what it meant."""
    if reason == "STOP":
        return "tool_calls" if called else "stop"
    if reason == "MAX_TOKENS":
        return "length"
    if isinstance(reason, str) and reason in _FILTERED:
        return "content_filter"
    raise BrokenAnswer(f"the answer ended with {str(reason)[:40]!r}")


def read_gemini_usage(value: Json) -> Usage | None:
    """Usage of an answer, or None if it is missing or cannot be true.

    There thoughts and what tools put into the prompt stand beside the other counts; here they are parts of them.

    >>> counts = {"promptTokenCount": 100, "cachedContentTokenCount": 70, "candidatesTokenCount": 12}
    >>> usage = read_gemini_usage({**counts, "thoughtsTokenCount": 8})
    >>> (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens)
    (100, 70, 20, 8)
    """
    if not isinstance(value, dict) or type(value.get("promptTokenCount")) is not int:
        return None
    thoughts, tier = count_in(value, "thoughtsTokenCount"), value.get("serviceTier")
    return checked_usage(
        Usage(
            count_in(value, "promptTokenCount") + count_in(value, "toolUsePromptTokenCount"),
            count_in(value, "candidatesTokenCount") + thoughts,
            cached_tokens=count_in(value, "cachedContentTokenCount"),
            reasoning_tokens=thoughts,
            service=tier.lower() if isinstance(tier, str) else "",
        )
    )


def read_error(reply: Reply) -> Reply:
    """An error in OpenAI's terms: a bad key is 401 there as here, and the time to wait stands in the body."""
    try:
        said = orjson.loads(reply.body)
        error = (said[0] if isinstance(said, list) else said)["error"]
        message, details = str(error["message"]), error.get("details")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return reply
    details = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    bad_key = any(each.get("reason") == "API_KEY_INVALID" for each in details)
    code = "context_length_exceeded" if _TOO_LONG in message.lower() else None
    body = orjson.dumps({"error": {"message": message, "type": error.get("status"), "code": code}})
    wait = reply.retry_after or _retry_after(details)
    return replace(reply, status=401 if bad_key else reply.status, body=body, retry_after=wait)


def _retry_after(details: Iterable[dict[str, Json]]) -> str | None:
    for each in details:
        found = _SECONDS.fullmatch(str(each.get("retryDelay")))
        if found:
            return str(math.ceil(float(found[1])))
    return None
