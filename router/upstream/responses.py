"""Requests of the responses API, passed through without state.

Each request stands for itself: the next turn of a conversation may go to another model at another provider,
which knows nothing of what this one was told. So nothing is stored upstream, and fields that refer to what
a provider stored are refused.
"""

from collections.abc import Iterable

from router.errors import InvalidRequest
from router.upstream.call import Call
from router.upstream.chat import NONE, newest_user_text, refuse_unknown
from router.upstream.hints import Headers, dump_fields, parse_body, read_route, read_stream

FORWARDED_FIELDS = frozenset({
    "access_programs", "context_management", "image", "include", "input", "instructions", "max_output_tokens",
    "max_tool_calls", "moderation", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "stream", "stream_options",
    "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
})  # fmt: skip
OWN_FIELDS = frozenset({"model", "metadata", "store"})
"""Fields that end here, as in chat; `store` is always false upstream."""
STATEFUL_FIELDS = frozenset({"background", "conversation", "previous_response_id", "prompt"})
"""Fields that refer to what one provider keeps."""
ALLOWED_FIELDS = FORWARDED_FIELDS | OWN_FIELDS | STATEFUL_FIELDS


def read_response(
    body: bytes, headers: Headers = (), reads_text: bool = True, allowed: frozenset[str] = NONE
) -> Call:
    """Check a request; raises InvalidRequest naming the field."""
    fields = parse_body(body)
    further = refuse_unknown(fields, ALLOWED_FIELDS, allowed, "responses")
    for name in sorted(STATEFUL_FIELDS & fields.keys()):
        if fields[name] not in (None, False):
            message = f"{name} refers to what one provider stored, and the next model may be another's"
            raise InvalidRequest(f"{message}; send the whole conversation in input", name)
    items = _items(fields.get("input"))
    route = read_route(fields, headers, newest_user_text(items) if reads_text else "")
    forwarded = {name: value for name, value in fields.items() if name in FORWARDED_FIELDS}
    forwarded["store"] = False
    stream, _ = read_stream(fields)
    prompt = (*items, *_instructions(fields.get("instructions")))
    return Call("responses", route, prompt, dump_fields(forwarded), forwarded, further, stream)


def _items(value: object) -> list[object]:
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    raise InvalidRequest("input must be a text or a list of at least one item", "input")


def _instructions(value: object) -> Iterable[object]:
    return (value,) if isinstance(value, str) else ()
