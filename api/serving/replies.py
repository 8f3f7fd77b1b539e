"""Whole HTTP answers, and how they go out through ASGI."""

import orjson
from starlette.types import Send

from experiments.evidence.record import record

Headers = tuple[tuple[bytes, bytes], ...]
JSON: Headers = ((b"content-type", b"application/json"),)


@record(frozen=True, slots=True)
class Reply:
    """One HTTP answer; its length header is added on sending."""

    status: int
    body: bytes
    headers: Headers = JSON


def json_reply(content: object, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, orjson.dumps(content))


async def send_reply(send: Send, reply: Reply) -> None:
    """Send head and body."""
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
