"""Answers of an upstream: what was asked for, or what follows from the status instead."""

import re
from typing import Any

import orjson

from router.batching.batch_api import BatchApiError
from router.transport.transport import Reply

_ID = re.compile(r"[A-Za-z0-9_\-]{1,200}")


def read_object(reply: Reply, what: str, made: bool = False) -> dict[str, Any]:  # reason: an upstream's JSON
    """The object of a good answer. `made` says that the question may have had an effect, whatever is answered."""
    check(reply, what, made)
    try:
        fields = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise BatchApiError("unsure" if made else "later", f"{what}: the answer is no JSON object")
    return fields


def check(reply: Reply, what: str, made: bool = False) -> None:
    """Raise for any status but a good one."""
    if reply.status in (200, 201):
        return
    message = f"{what}: status {reply.status}"
    if reply.status >= 500 or reply.status == 408:
        raise BatchApiError("unsure" if made else "later", message)
    if reply.status in (404, 410):
        raise BatchApiError("gone", message)
    raise BatchApiError("later" if reply.status in (409, 425, 429) else "refused", message)


def checked_id(value: object, what: str, made: bool = False) -> str:
    """An id that may stand in a path."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise BatchApiError("unsure" if made else "later", f"{what}: the answer names no id")
