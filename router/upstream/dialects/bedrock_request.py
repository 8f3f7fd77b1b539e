"""Chat requests in the words of Bedrock's Converse API.

What has no words there is refused by name, never left out in silence. Which of its fields a model understands
is the model's business: one that does not know it answers 400.
"""

from collections.abc import Iterable, Iterator, Mapping

import orjson

from router.upstream.dialects.chat_words import (
    HINTS,
    Json,
    calls_of,
    chosen_function,
    data_of,
    functions_of,
    named,
    no_counterpart,
    parts_of,
    refuse_others,
    sampling,
    schema_of,
)
from router.upstream.exchange import Untranslatable

API = "Bedrock's Converse API"
_SETTINGS = {"temperature": "temperature", "top_p": "topP"}
_ELSEWHERE = frozenset({
    "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    "reasoning_effort", "service_tier", "user", "safety_identifier", "seed",
})  # fmt: skip
_KNOWN = HINTS | _SETTINGS.keys() | _ELSEWHERE
_EFFORTS = {word: word for word in ("low", "medium", "high", "xhigh", "max")} | {"minimal": "low"}
_TIERS = {"default": "default", "flex": "flex", "priority": "priority"}
_CHOICES = {"auto": "auto", "required": "any"}
_IMAGES = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
    "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip


def translate(fields: Mapping[str, Json]) -> dict[str, Json]:
    """The fields of a request; raises Untranslatable."""
    if fields.get("parallel_tool_calls") is False:
        raise Untranslatable(f"parallel_tool_calls has no counterpart in {API}; leave it out")
    refuse_others(fields, _KNOWN | {"parallel_tool_calls"}, API)
    temperature = fields.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        raise Untranslatable(f"temperature == {temperature:g}, must be at most 1 there")
    system, messages = _messages(fields["messages"])
    body: dict[str, Json] = {"messages": messages}
    if system:
        body["system"] = system
    settings = sampling(fields, _SETTINGS, "maxTokens", "stopSequences")
    if settings:
        body["inferenceConfig"] = settings
    output = _output(fields)
    if output:
        body["outputConfig"] = output
    if fields.get("service_tier") not in (None, "auto"):
        body["serviceTier"] = {"type": named(_TIERS, "service_tier", fields["service_tier"])}
    return body | _tools(fields)


def _output(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Effort and format of the answer."""
    output: dict[str, Json] = {}
    effort, wanted = fields.get("reasoning_effort"), fields.get("response_format")
    if effort not in (None, "none"):
        output["effort"] = named(_EFFORTS, "reasoning_effort", effort)
    described = schema_of(wanted)
    if described is not None:
        inner = {"schema": orjson.dumps(described["schema"]).decode()}
        inner |= {name: described[name] for name in ("name", "description") if described.get(name)}
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": inner}}
    elif wanted is not None and not (isinstance(wanted, dict) and wanted.get("type") == "text"):
        raise Untranslatable(f"response_format of this type has no counterpart in {API}; use json_schema")
    return output


def _tools(fields: Mapping[str, Json]) -> dict[str, Json]:
    if not fields.get("tools"):
        return {}
    tools: list[Json] = []
    for function, tool in zip(functions_of(fields["tools"]), fields["tools"], strict=True):
        tools += [{"toolSpec": _specified(function)}, *_cache_points(tool)]
    config: dict[str, Json] = {"tools": tools}
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        config["toolChoice"] = {"tool": {"name": chosen_function(choice)}}
    elif choice is not None:
        config["toolChoice"] = {named(_CHOICES, "tool_choice", choice): {}}
    return {"toolConfig": config}


def _specified(function: Mapping[str, Json]) -> Json:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    made: dict[str, Json] = {"name": function["name"], "inputSchema": {"json": schema}}
    if function.get("description"):
        made["description"] = function["description"]
    return made | ({"strict": True} if function.get("strict") is True else {})


def _messages(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """System prompts, wherever they stand, and the turns; neighbours of one role are one turn."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in messages:
        role = message.get("role")
        blocks = list(_turn(message, role))
        speaker = "assistant" if role == "assistant" else "user"
        if role in ("system", "developer"):
            system += blocks
        elif turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    if not turns:
        raise Untranslatable("it needs at least one message that is not a system prompt")
    _number(block for turn in turns for block in turn["content"])
    return system, turns


def _number(blocks: Iterable[Json]) -> None:
    """Name the documents, as must be done there, by nothing that a client chose."""
    documents = [block["document"] for block in blocks if "document" in block]
    for number, document in enumerate(documents, 1):
        document["name"] = f"document {number}"


def _turn(message: Mapping[str, Json], role: Json) -> Iterator[Json]:
    if role == "tool":
        result = {"toolUseId": message.get("tool_call_id"), "content": list(_blocks(message, "tool"))}
        yield {"toolResult": result}
        yield from _cache_points(message)
        return
    if role not in ("user", "assistant", "system", "developer"):
        raise Untranslatable(f"messages of role {str(role)[:40]!r} have no counterpart")
    yield from _blocks(message, role)
    if role == "assistant":
        if message.get("function_call") or message.get("audio"):
            raise Untranslatable(
                "function_call and audio of an assistant message have no counterpart; use tool_calls"
            )
        for call in calls_of(message):
            yield {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}


def _blocks(message: Mapping[str, Json], role: str) -> Iterator[Json]:
    for kind, part in parts_of(message.get("content")):
        yield _block(kind, part, role)
        if role != "tool":
            yield from _cache_points(part)


def _block(kind: Json, part: Mapping[str, Json], role: str) -> dict[str, Json]:
    inner = part.get(kind) if isinstance(kind, str) else None
    given = inner if isinstance(inner, dict) else {}
    if kind == "text":
        return {"text": part["text"]}
    if role in ("user", "tool") and kind == "image_url":
        data = data_of(given.get("url"))
        return {
            "image": {"format": named(_IMAGES, "image", data.media_type), "source": {"bytes": data.base64}}
        }
    if role == "user" and kind == "file":
        data = data_of(given.get("file_data"))
        form = named(_DOCUMENTS, "file", data.media_type)
        return {"document": {"format": form, "source": {"bytes": data.base64}}}
    raise no_counterpart(kind, role)


def _cache_points(part: Mapping[str, Json]) -> Iterator[Json]:
    """The mark up to which the provider may cache, which several clients set on parts of chat requests."""
    mark = part.get("cache_control")
    if isinstance(mark, dict):
        ttl = mark.get("ttl")
        yield {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl in ("5m", "1h") else {})}}
