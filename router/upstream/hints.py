"""Routing hints: what a choice may depend on, from headers, the `model` field and metadata of any endpoint.

Where a thing can be said twice, a header goes before the `model` field, and that before `metadata`.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from experiments.definition.names import check_name, check_task
from router.deciding.choose import RouteRequest
from router.deciding.covariate import read_covariate
from router.deciding.needs import HINTS, Needs, hinted_needs
from router.deciding.tasks import AUTO_MODEL
from router.errors import InvalidRequest

TASK_PREFIX = "task/"
MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 32, 64, 512
MAX_NAME_CHARACTERS = 1_024
"""Longest name of a unit, session or user."""

_TASK, _OVERRIDE, _TIER = b"x-pointsman-task", b"x-pointsman-override", b"x-pointsman-tier"
_UNIT, _SESSION, _COVARIATE = b"x-pointsman-unit", b"x-session-id", b"x-pointsman-covariate"
_NEEDS = {name: b"x-pointsman-" + name.replace("_", "-").encode() for name in HINTS}
_TRACE, _TRACE_PARENT = b"x-pointsman-trace", b"traceparent"
HINT_HEADERS = frozenset({
    _TASK, _OVERRIDE, _TIER, _UNIT, _SESSION, _COVARIATE, _TRACE, _TRACE_PARENT, *_NEEDS.values()
})  # fmt: skip
_TRACE_OF_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""The trace-id of W3C's header, of any version but the forbidden one."""

Headers = Iterable[tuple[bytes, bytes]]


def read_route(
    fields: Mapping[str, Any], headers: Headers, text: str
) -> RouteRequest:  # reason: as parse_body
    """The request for a decision; raises InvalidRequest naming the field."""
    hints = _hints(headers)
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
        covariate=_covariate(hints, metadata),
        trace=_trace(hints, metadata),
        needs=_needs(hints, metadata) if hints or metadata else None,
    )


def _trace(hints: Mapping[bytes, str], metadata: Mapping[str, str]) -> str | None:
    """The trace that the request is part of; a `traceparent` that is none is ignored, as its standard asks."""
    named = hints.get(_TRACE) or _bounded(metadata.get("trace_id"), "metadata.trace_id")
    if named or _TRACE_PARENT not in hints:
        return named
    found = _TRACE_OF_PARENT.fullmatch(hints[_TRACE_PARENT])
    return found[1] if found else None


def _needs(hints: Mapping[bytes, str], metadata: Mapping[str, str]) -> Needs | None:
    return hinted_needs({name: hints.get(header) or metadata.get(name) for name, header in _NEEDS.items()})


def _covariate(hints: Mapping[bytes, str], metadata: Mapping[str, str]) -> float | None:
    if _COVARIATE in hints:
        return read_covariate(hints[_COVARIATE], "x-pointsman-covariate")
    return read_covariate(metadata["covariate"], "metadata.covariate") if metadata.get("covariate") else None


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


@lru_cache(maxsize=1_024)
def _checked_task(task: str, field: str) -> str:
    """Applications name the same few tasks in every request; refusals are not kept."""
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


def read_stream(fields: Mapping[str, Any]) -> tuple[bool, Mapping[str, object]]:  # reason: as parse_body
    """Whether to stream, and with which options."""
    stream, options = fields.get("stream"), fields.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream must be true or false", "stream")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object", "stream_options")
    return bool(stream), options or {}


def parse_body(body: bytes) -> dict[str, Any]:  # reason: a client's JSON of any shape
    """The fields of a request's body; raises InvalidRequest where it is no JSON object."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"the body is not JSON: {error.msg} at {place}") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    return fields


def dump_fields(forwarded: Mapping[str, object]) -> bytes:
    """Fields as the JSON that is sent on; the library reads deeper than it writes."""
    try:
        return orjson.dumps(forwarded)
    except orjson.JSONEncodeError:
        raise InvalidRequest("the body is nested too deeply; use at most 250 levels") from None
