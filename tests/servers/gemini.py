"""Answers of a Gemini upstream, in the shapes of `google.genai.types` (google-genai 3.6.1) as JSON writes them."""

from collections.abc import Mapping
from typing import Any

import orjson

from tests.servers.upstream import Request, Script, Wire, event, stream, whole

USAGE = {
    "promptTokenCount": 100, "cachedContentTokenCount": 70, "candidatesTokenCount": 12, "thoughtsTokenCount": 8,
    "totalTokenCount": 120,
}  # fmt: skip
"""GenerateContentResponseUsageMetadata: thoughts beside the candidates, cached tokens within the prompt."""


def candidate(*parts: Mapping[str, Any], finish: str | None = "STOP", index: int = 0) -> dict[str, Any]:
    """A Candidate."""
    made: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish is not None:
        made["finishReason"] = finish
    return made | ({"index": index} if index else {})


def generated(*candidates: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A GenerateContentResponse."""
    return {
        "candidates": list(candidates) or [candidate({"text": "four"})], "usageMetadata": USAGE,
        "modelVersion": "gemini-3.5-flash", "responseId": "resp-1", **changes,
    }  # fmt: skip


def events(*answers: Mapping[str, Any]) -> list[bytes]:
    """A stream's events; by default a text in two pieces."""
    begun = {**USAGE, "candidatesTokenCount": 1}
    usual = (
        generated(candidate({"text": "fo"}, finish=None), usageMetadata=begun),
        generated(candidate({"text": "ur"})),
    )
    return [event(answer) for answer in answers or usual]


def gemini(*candidates: Mapping[str, Any], **changes: Any) -> Script:
    """Answer well: whole or streamed, as the address asks."""

    async def script(request: Request, wire: Wire) -> None:
        if ":streamGenerateContent" in request.path:
            await stream(*events())(request, wire)
        else:
            await wire.send(whole(orjson.dumps(generated(*candidates, **changes))))

    return script


def failure(code: int, message: str, name: str, *details: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an error, as `google.genai.errors.APIError` reads it."""
    return {"error": {"code": code, "message": message, "status": name, "details": list(details)}}
