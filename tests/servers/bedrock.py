"""Answers of a Bedrock upstream, in the shapes of botocore's service model `bedrock-runtime` (botocore 1.44.8).

Streams are AWS's binary events: a prelude of two lengths and its checksum, headers, payload, checksum.
"""

import hashlib
import hmac
from binascii import crc32
from collections.abc import Mapping
from struct import pack
from typing import Any
from urllib.parse import quote

import orjson

from tests.servers.upstream import Request, Script, Wire, stream, whole

USAGE = {
    "inputTokens": 10, "cacheReadInputTokens": 70, "cacheWriteInputTokens": 20, "outputTokens": 20,
    "totalTokens": 120, "cacheDetails": [{"ttl": "5m", "inputTokens": 15}, {"ttl": "1h", "inputTokens": 5}],
}  # fmt: skip
"""TokenUsage: 100 input tokens in all: 10 fresh, 70 from the cache, 15 and 5 written to it."""


def conversed(*blocks: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A ConverseResponse."""
    message = {"role": "assistant", "content": list(blocks) or [{"text": "four"}]}
    return {
        "output": {"message": message}, "stopReason": "end_turn", "usage": USAGE,
        "metrics": {"latencyMs": 12}, "serviceTier": {"type": "default"}, **changes,
    }  # fmt: skip


def binary_event(payload: object, kind: str, message_type: str = "event") -> bytes:
    """One event on the wire; an exception has its name under another header."""
    name = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}[message_type]
    headers = b"".join(
        pack("!B", len(key)) + key.encode() + b"\x07" + pack("!H", len(value)) + value.encode()
        for key, value in (
            (":message-type", message_type),
            (name, kind),
            (":content-type", "application/json"),
        )
    )
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    lengths = pack("!II", 16 + len(headers) + len(body), len(headers))
    sealed = lengths + pack("!I", crc32(lengths)) + headers + body
    return sealed + pack("!I", crc32(sealed))


def said(*pieces: str, index: int = 0) -> list[bytes]:
    """A block of text, which has no start event."""
    deltas = [{"contentBlockIndex": index, "delta": {"text": piece}} for piece in pieces]
    return [
        *(binary_event(delta, "contentBlockDelta") for delta in deltas),
        binary_event({"contentBlockIndex": index}, "contentBlockStop"),
    ]


def called(identity: str, name: str, *pieces: str, index: int) -> list[bytes]:
    """A tool call whose arguments arrive in pieces."""
    start = {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": identity, "name": name}}}
    deltas = [{"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}} for piece in pieces]
    return [
        binary_event(start, "contentBlockStart"),
        *(binary_event(delta, "contentBlockDelta") for delta in deltas),
        binary_event({"contentBlockIndex": index}, "contentBlockStop"),
    ]


BEGIN = binary_event({"role": "assistant"}, "messageStart")
METADATA = binary_event({"usage": USAGE, "metrics": {"latencyMs": 12}}, "metadata")


def stop(reason: str = "end_turn") -> bytes:
    """The event that says why the model ended."""
    return binary_event({"stopReason": reason}, "messageStop")


def events(*blocks: list[bytes], reason: str = "end_turn") -> list[bytes]:
    """The events of a stream; by default a text in two pieces."""
    content = [event for block in blocks or (said("fo", "ur"),) for event in block]
    return [BEGIN, *content, stop(reason), METADATA]


def bedrock(*blocks: Mapping[str, Any], **changes: Any) -> Script:
    """Answer well: whole or streamed, as the address asks."""

    async def script(request: Request, wire: Wire) -> None:
        if request.path.endswith("/converse-stream"):
            await stream(*events())(request, wire)
        else:
            await wire.send(whole(orjson.dumps(conversed(*blocks, **changes))))

    return script


def signature(request: Request, secret: str, region: str) -> str:
    """The Authorization that AWS computes for a request, by its description of Signature Version 4."""
    shown = dict(part.split("=", 1) for part in request.headers["authorization"].split(" ", 1)[1].split(", "))
    names = shown["SignedHeaders"].split(";")
    canonical = "\n".join((
        "POST", quote(request.path, safe="/~"), "", *(f"{name}:{request.headers[name]}" for name in names), "",
        ";".join(names), hashlib.sha256(request.raw).hexdigest(),
    ))  # fmt: skip
    at = request.headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/bedrock/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    account = shown["Credential"].split("/")[0]
    sealed = hmac.digest(key, text.encode(), "sha256").hex()
    return (
        f"AWS4-HMAC-SHA256 Credential={account}/{scope}, SignedHeaders={';'.join(names)}, Signature={sealed}"
    )
