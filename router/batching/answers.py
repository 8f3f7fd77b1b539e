"""Answers of either batch API: what was asked for, or what follows from the status instead."""

import re
from pathlib import Path
from typing import Any

import orjson

from router.batching.batch_api import LONG, MAX_RESULT_BYTES, QUICK, BatchApiError
from router.transport.courier import Courier
from router.transport.transport import Reply, TransportError, Upstream

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


async def get_object(
    courier: Courier, target: Upstream, what: str
) -> dict[str, Any]:  # reason: an upstream's JSON
    """Ask for an object; asking has no effect, so it may be asked for later."""
    try:
        return read_object(await courier.get(target, QUICK), what)
    except TransportError as error:
        raise BatchApiError("later", f"{what}: {error}") from None


async def cancel(courier: Courier, target: Upstream) -> None:
    """Ask a batch to stop; one that has ended answers that it cannot, which is as good."""
    try:
        reply = await courier.post(target, b"", QUICK)
    except TransportError as error:
        raise BatchApiError("later", f"cancelling the batch: {error}") from None
    if reply.status not in (400, 404, 409):
        check(reply, "cancelling the batch")


async def fetch(courier: Courier, source: Upstream, path: Path) -> None:
    """A file of results; half of it is none."""
    what = "fetching results"
    try:
        status = await courier.download(source, path, MAX_RESULT_BYTES, LONG)
    except TransportError as error:
        raise BatchApiError("later", f"{what}: {error}") from None
    if status != 200:
        check(Reply(status, b""), what)


def dumped(body: object) -> bytes:
    """A body as it goes on; nothing where it is no JSON."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return b""


def checked_id(value: object, what: str, made: bool = False) -> str:
    """An id that may stand in a path."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise BatchApiError("unsure" if made else "later", f"{what}: the answer names no id")
