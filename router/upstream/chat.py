"""Chat requests: what a client may send, what a choice may depend on, and what the upstream gets.

A request is forwarded by allow-list: a field that is not named here is refused, so that nobody can smuggle
in a URL, a key or a provider. Where a thing can be said twice, a header goes before the `model` field, and
that before `metadata`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from experiments.definition.names import check_name, check_task
from router.deciding.choose import RouteRequest
from router.deciding.tasks import AUTO_MODEL
from router.errors import InvalidRequest

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

TASK_PREFIX = "task/"
MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 32, 64, 512
MAX_NAME_CHARACTERS = 1_024
"""Longest name of a unit, session or user."""
MAX_CHOICES = 128

_TASK, _OVERRIDE, _TIER = b"x-pointsman-task", b"x-pointsman-override", b"x-pointsman-tier"
_UNIT, _SESSION = b"x-pointsman-unit", b"x-session-id"
HINT_HEADERS = frozenset({_TASK, _OVERRIDE, _TIER, _UNIT, _SESSION})

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Chat:
    """One checked chat request."""

    route: RouteRequest
    messages: Sequence[object]
    stream: bool
    wants_usage: bool
    """The client asked for the usage chunk of a stream."""
    choices: int
    forwarded: bytes
    """JSON object of all that the upstream gets, the model's name excepted."""

    def body_for(self, model: str) -> bytes:
        """The body for an upstream that knows the model by this name."""
        return b'{"model":' + orjson.dumps(model) + b"," + self.forwarded[1:]


def read_chat(body: bytes, headers: Headers = (), reads_text: bool = True) -> Chat:
    """Check a request; raises InvalidRequest naming the field. The text is looked for only if a rule reads it."""
    fields = _parse(body)
    if not fields.keys() <= ALLOWED_FIELDS:
        name = min(fields.keys() - ALLOWED_FIELDS)[:100]
        raise InvalidRequest(f"field {name!r} is not part of the chat API here; leave it out", name)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise InvalidRequest("messages must be a list of at least one message object", "messages")
    route = _route(fields, _hints(headers), newest_user_text(messages) if reads_text else "")
    forwarded = {name: value for name, value in fields.items() if name in FORWARDED_FIELDS}
    stream, options = _stream(fields)
    if stream:
        forwarded["stream_options"] = {**options, "include_usage": True}
    wants_usage = options.get("include_usage") is True
    return Chat(route, messages, stream, wants_usage, _choices(fields.get("n")), _dump(forwarded))


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


def _parse(body: bytes) -> dict[str, Any]:  # reason: a client's JSON of any shape
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"the body is not JSON: {error.msg} at {place}") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    return fields


def _dump(forwarded: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(forwarded)
    except orjson.JSONEncodeError:
        raise InvalidRequest("the body is nested too deeply; use at most 250 levels") from None


def _stream(fields: Mapping[str, Any]) -> tuple[bool, Mapping[str, object]]:  # reason: as _parse
    """Whether to stream, and with which options."""
    stream, options = fields.get("stream"), fields.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream must be true or false", "stream")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object", "stream_options")
    return bool(stream), options or {}


def _route(
    fields: Mapping[str, Any], hints: Mapping[bytes, str], text: str
) -> RouteRequest:  # reason: as _parse
    metadata = _metadata(fields.get("metadata"))
    task, override = _read_model(fields.get("model"))
    if _TASK in hints:
        task = _checked_task(hints[_TASK], "x-pointsman-task")
    elif task is None and "task" in metadata:
        task = _checked_task(metadata["task"], "metadata.task")
    if _OVERRIDE in hints:
        override = _checked_model(hints[_OVERRIDE], "x-pointsman-override")
    tier = None
    if _TIER in hints:
        tier = _checked_tier(hints[_TIER], "x-pointsman-tier")
    elif "tier" in metadata:
        tier = _checked_tier(metadata["tier"], "metadata.tier")
    return RouteRequest(
        task=task,
        metadata=metadata,
        text=text,
        unit=hints.get(_UNIT),
        session=hints.get(_SESSION) or _bounded(metadata.get("session_id"), "metadata.session_id"),
        user=_user(fields.get("user")),
        override=override,
        tier=tier,
    )


def _read_model(model: object) -> tuple[str | None, str | None]:
    """Task and pinned model that the `model` field names; neither for `auto`."""
    if not isinstance(model, str):
        raise InvalidRequest('model must be "auto", "task/<name>" or a model of GET /v1/models', "model")
    if model == AUTO_MODEL:
        return None, None
    if model.startswith(TASK_PREFIX):
        return _checked_task(model[len(TASK_PREFIX) :], "model"), None
    return None, _checked_model(model, "model")


def _hints(headers: Headers) -> dict[bytes, str]:
    """Our own request headers; an empty one counts as not sent."""
    hints: dict[bytes, str] = {}
    for name, value in headers:
        if name in HINT_HEADERS:
            field = name.decode("ascii")
            if name in hints:
                raise InvalidRequest(f"header {field} is given twice; send it once", field)
            try:
                hints[name] = _bounded(value.decode("utf-8"), field) or ""
            except UnicodeDecodeError:
                raise InvalidRequest(f"header {field} is not UTF-8", field) from None
    return {name: value for name, value in hints.items() if value} if hints else hints


def _metadata(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_METADATA:
        raise InvalidRequest(f"metadata must be an object of at most {MAX_METADATA} strings", "metadata")
    for key, text in value.items():
        field = f"metadata.{key[:MAX_METADATA_KEY]}"
        if len(key) > MAX_METADATA_KEY:
            raise InvalidRequest(f"a metadata key is longer than {MAX_METADATA_KEY} characters", field)
        if not isinstance(text, str) or len(text) > MAX_METADATA_VALUE:
            raise InvalidRequest(
                f"{field} must be a string of at most {MAX_METADATA_VALUE} characters", field
            )
    return value


def _user(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidRequest("user must be a string", "user")
    return _bounded(value, "user")


def _bounded(value: str | None, field: str) -> str | None:
    if value is not None and len(value) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"{field} is longer than {MAX_NAME_CHARACTERS} characters", field)
    return value or None


def _checked_task(task: str, field: str) -> str:
    try:
        return check_task(task)
    except ValueError as error:
        raise InvalidRequest(str(error), field) from None


def _checked_model(model: str, field: str) -> str:
    try:
        return check_name(model)
    except ValueError as error:
        raise InvalidRequest(f"{error}; GET /v1/models lists the models", field) from None


def _checked_tier(tier: str, field: str) -> int:
    if len(tier) != 1 or tier not in "123456789":
        raise InvalidRequest(f"tier {tier[:20]!r} must be a whole number from 1 to 9", field)
    return int(tier)


def _choices(value: object) -> int:
    """How many answers were asked for; the upstream judges the number, only a stream's end depends on it."""
    return value if type(value) is int and 1 <= value <= MAX_CHOICES else 1
