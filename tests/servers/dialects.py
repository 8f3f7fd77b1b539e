"""Answers of upstreams other than chat completions: Anthropic's messages, embeddings and responses."""

from collections.abc import Mapping
from typing import Any

import orjson

from tests.servers.upstream import Request, Script, Wire, stream, whole

MESSAGE_USAGE = {
    "input_tokens": 10, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "output_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}, "service_tier": "standard",
}  # fmt: skip
"""100 input tokens in all: 10 fresh, 70 from the cache, 15 and 5 written to it."""
RESPONSE_USAGE = {
    "input_tokens": 100, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 8}, "total_tokens": 120,
}  # fmt: skip


def named_event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event that names its type, as both APIs send them."""
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def text(content: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": content, "citations": None}


def message(*blocks: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A message as Anthropic gives it."""
    return {
        "id": "msg_upstream", "type": "message", "role": "assistant", "model": "claude-upstream",
        "content": list(blocks) or [text("four")], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": MESSAGE_USAGE, **changes,
    }  # fmt: skip


def message_events(
    *blocks: tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]], stop: str = "end_turn"
) -> list[bytes]:
    """The events of a streamed message: each block with its deltas."""
    begin = message(stop_reason=None, content=[], usage={**MESSAGE_USAGE, "output_tokens": 1})
    events: list[Mapping[str, Any]] = [{"type": "message_start", "message": begin}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}})
    events.append({"type": "message_stop"})
    return [named_event(event) for event in events]


def said(*pieces: str) -> tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]:
    """A block of text that arrives in pieces."""
    return text(""), tuple({"type": "text_delta", "text": piece} for piece in pieces)


def called(identity: str, name: str, *pieces: str) -> tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]:
    """A tool call whose arguments arrive in pieces."""
    block = {"type": "tool_use", "id": identity, "name": name, "input": {}}
    return block, tuple({"type": "input_json_delta", "partial_json": piece} for piece in pieces)


def messages(*blocks: Mapping[str, Any], **changes: Any) -> Script:
    """Answer with a message: whole or streamed, as the request asks."""

    async def script(request: Request, wire: Wire) -> None:
        if request.body.get("stream"):
            await stream(*message_events(said("fo", "ur")))(request, wire)
        else:
            await wire.send(whole(orjson.dumps(message(*blocks, **changes))))

    return script


def embeddings(dimensions: int = 3) -> Script:
    """An embedding for each text of the request."""

    async def script(request: Request, wire: Wire) -> None:
        given = request.body["input"]
        count = len(given) if isinstance(given, list) and isinstance(given[0], str | list) else 1
        data = [
            {"object": "embedding", "index": index, "embedding": [0.5 + index] * dimensions}
            for index in range(count)
        ]
        usage = {"prompt_tokens": 100, "total_tokens": 100}
        await wire.send(whole(orjson.dumps({"object": "list", "data": data, "model": "up", "usage": usage})))

    return script


def response(content: str = "four", **changes: Any) -> dict[str, Any]:
    """An answer of the responses API."""
    part = {"type": "output_text", "text": content, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    return {
        "id": "resp_upstream", "object": "response", "created_at": 1_700_000_000, "model": "upstream-name",
        "status": "completed", "output": [item], "usage": RESPONSE_USAGE, "parallel_tool_calls": True, "tools": [],
        "tool_choice": "auto", "metadata": {}, "error": None, "incomplete_details": None, "instructions": None,
        **changes,
    }  # fmt: skip


def response_events(content: str = "four") -> list[bytes]:
    """The events of a streamed response."""
    begun = response(status="in_progress", output=[], usage=None)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": empty},
        *(
            {"type": "response.output_text.delta", **place, "delta": letter, "logprobs": []}
            for letter in content
        ),
        {"type": "response.output_text.done", **place, "text": content, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**empty, "text": content}},
        {"type": "response.output_item.done", "output_index": 0, "item": response(content)["output"][0]},
        {"type": "response.completed", "response": response(content)},
    ]
    return [named_event({**event, "sequence_number": number}) for number, event in enumerate(events)]


def responses(content: str = "four", **changes: Any) -> Script:
    """Answer a responses request: whole or streamed, as it asks."""

    async def script(request: Request, wire: Wire) -> None:
        if request.body.get("stream"):
            await stream(*response_events(content))(request, wire)
        else:
            await wire.send(whole(orjson.dumps(response(content, **changes))))

    return script
