"""Chat requests: what a client may send, and what the upstream gets.

A request is forwarded by allow-list: a field that is not named here is refused, so that nobody can smuggle
in a URL, a key or a provider. The configuration may allow a model further fields; clients cannot.
"""

from collections.abc import Iterable

from router.errors import InvalidRequest
from router.upstream.call import Call
from router.upstream.hints import Headers, dump_fields, parse_body, read_route, read_stream

FORWARDED_FIELDS = frozenset({
    "messages", "stream", "audio", "frequency_penalty", "function_call", "functions", "logit_bias",
    "logprobs", "max_completion_tokens", "max_tokens", "modalities", "moderation", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed",
    "service_tier", "stop", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
    "verbosity", "web_search_options",
})  # fmt: skip
"""Fields that the upstream gets as they are."""
OWN_FIELDS = frozenset({"model", "metadata", "store", "stream_options"})
"""Fields that end here: `model` and `stream_options` are set anew, `metadata` and `store` are not passed on."""
ALLOWED_FIELDS = FORWARDED_FIELDS | OWN_FIELDS
MAX_CHOICES = 128
NONE: frozenset[str] = frozenset()


def read_chat(
    body: bytes, headers: Headers = (), reads_text: bool = True, allowed: frozenset[str] = NONE
) -> Call:
    """Check a request; raises InvalidRequest naming the field. The text is looked for only if a rule reads it.

    `allowed` names the fields that some model of the configuration allows beyond the usual ones.
    """
    fields = parse_body(body)
    further = refuse_unknown(fields, ALLOWED_FIELDS, allowed, "chat")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise InvalidRequest("messages must be a list of at least one message object", "messages")
    route = read_route(fields, headers, newest_user_text(messages) if reads_text else "")
    forwarded = {name: value for name, value in fields.items() if name in FORWARDED_FIELDS}
    stream, options = read_stream(fields)
    if stream:
        forwarded["stream_options"] = {**options, "include_usage": True}
    return Call(
        "chat", route, messages, dump_fields(forwarded), forwarded, further, stream,
        wants_usage=options.get("include_usage") is True, choices=_choices(fields.get("n")),
    )  # fmt: skip


def refuse_unknown(
    fields: dict[str, object], known: frozenset[str], allowed: frozenset[str], api: str
) -> dict[str, object]:
    """The fields that only some models get; raises InvalidRequest for one that no model gets."""
    if fields.keys() <= known:
        return {}
    unknown = fields.keys() - known
    if not unknown <= allowed:
        name = min(unknown - allowed)[:100]
        raise InvalidRequest(f"field {name!r} is not part of the {api} API here; leave it out", name)
    return {name: fields[name] for name in unknown}


def newest_user_text(messages: Iterable[object]) -> str:
    """Text of the newest user message, its parts one to a line; "" if there is none."""
    for message in reversed(list(messages)):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            texts = (part.get("text") for part in parts if isinstance(part, dict))
            return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _choices(value: object) -> int:
    """How many answers were asked for; the upstream judges the number, only a stream's end depends on it."""
    return value if type(value) is int and 1 <= value <= MAX_CHOICES else 1
