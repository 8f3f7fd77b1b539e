"""Request bodies, read with a bound: bytes are counted while they arrive."""

from starlette.types import Message, Receive, Scope

from api.serving.problems import BodyTooLarge

MAX_BODY_BYTES = 1_000_000


class ClientGone(Exception):
    """The client closed its connection before the body was complete; nobody waits for an answer."""


async def read_body(request: Scope, receive: Receive, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body; raises BodyTooLarge as soon as it is known to exceed the limit, and ClientGone."""
    for name, value in request["headers"]:
        if name == b"content-length" and int(value) > limit_bytes:
            raise _too_large(limit_bytes)
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is longer than {limit_bytes} bytes; send less at once")
