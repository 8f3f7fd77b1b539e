"""Chat requests in the words of Anthropic's messages API.

What has no words there is refused by name, never left out in silence; only hints that change no answer's
meaning (`seed`, `verbosity`, `prompt_cache_key` and the like) end here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from router.upstream.dialects.chat_words import HINTS, NEUTRAL
from router.upstream.exchange import Untranslatable

DEFAULT_MAX_TOKENS = 8_192
MAX_TEMPERATURE = 1.0
Json = Any  # reason: a client's JSON, of any shape
_HINTS = HINTS | {"seed"}
_SAME = frozenset({"temperature", "top_p", "stream"})
_ELSEWHERE = frozenset({
    "messages", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "response_format", "reasoning_effort", "service_tier", "user", "safety_identifier",
})  # fmt: skip
"""Fields translated below."""
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_TIERS = {"auto": "auto", "default": "standard_only"}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def translate(fields: Mapping[str, Json], default_max_tokens: int | None) -> dict[str, Json]:
    """The fields of a request to `/messages`, the model's name excepted; raises Untranslatable."""
    _refuse(fields)
    system, messages = _messages(fields["messages"])
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    body: dict[str, Json] = {
        "max_tokens": limit or default_max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if system:
        body["system"] = system
    body |= {name: fields[name] for name in sorted(_SAME) if fields.get(name) is not None}
    stop = fields.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    user = fields.get("user") or fields.get("safety_identifier")
    if user:
        body["metadata"] = {"user_id": user}
    if fields.get("service_tier") is not None:
        body["service_tier"] = _named(_TIERS, "service_tier", fields["service_tier"])
    return body | _tools(fields) | _output(fields)


def _refuse(fields: Mapping[str, Json]) -> None:
    for name, value in fields.items():
        if value is None or name in _HINTS or name in _SAME or name in _ELSEWHERE:
            continue
        if value not in NEUTRAL.get(name, ()):
            raise Untranslatable(f"{name} has no counterpart in Anthropic's API; leave it out")
    temperature = fields.get("temperature")
    if isinstance(temperature, int | float) and temperature > MAX_TEMPERATURE:
        raise Untranslatable(f"temperature == {temperature:g}, must be at most {MAX_TEMPERATURE:g} there")


def _named(names: Mapping[str, str], field: str, value: Json) -> str:
    if not isinstance(value, str) or value not in names:
        raise Untranslatable(f"{field} {str(value)[:40]!r} has no counterpart; known are {', '.join(names)}")
    return names[value]


def _output(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Effort and format of the answer."""
    config: dict[str, Json] = {}
    effort, wanted = fields.get("reasoning_effort"), fields.get("response_format")
    if effort is not None and effort != "none":
        config["effort"] = _named(_EFFORTS, "reasoning_effort", effort)
    shape = wanted if isinstance(wanted, dict) else {}
    kind = shape.get("type")
    if kind == "json_schema":
        inner = shape.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, dict) else None
        if not isinstance(schema, dict):
            raise Untranslatable("response_format json_schema needs a schema")
        config["format"] = {"type": "json_schema", "schema": schema}
    elif wanted is not None and kind != "text":
        raise Untranslatable(f"response_format {kind!r} has no counterpart; use json_schema")
    return {"output_config": config} if config else {}


def _tools(fields: Mapping[str, Json]) -> dict[str, Json]:
    tools = fields.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise Untranslatable("tools must be a list")
    body: dict[str, Json] = {"tools": [_tool(tool) for tool in tools]}
    choice = _choice(fields.get("tool_choice"))
    if fields.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return body | ({"tool_choice": choice} if choice else {})


def _tool(tool: Json) -> dict[str, Json]:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Untranslatable("only tools of type function have a counterpart")
    made: dict[str, Json] = {"name": function["name"]}
    if function.get("description"):
        made["description"] = function["description"]
    made["input_schema"] = function.get("parameters") or {"type": "object", "properties": {}}
    if function.get("strict") is True:
        made["strict"] = True
    return made | _cache_mark(tool)


def _choice(choice: Json) -> dict[str, Json]:
    if choice is None:
        return {}
    if isinstance(choice, dict):
        function = choice.get("function")
        if choice.get("type") != "function" or not isinstance(function, dict):
            raise Untranslatable("tool_choice of this type has no counterpart")
        return {"type": "tool", "name": function.get("name")}
    return {"type": _named(_CHOICES, "tool_choice", choice)}


def _messages(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """System prompts, wherever they stand, and the turns; neighbours of one role are one turn."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _blocks(message.get("content"), "system")
            continue
        speaker = "assistant" if role == "assistant" else "user"
        blocks = list(_turn(message, role))
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    if not turns:
        raise Untranslatable("it needs at least one message that is not a system prompt")
    return system, turns


def _turn(message: Mapping[str, Json], role: Json) -> Iterator[Json]:
    if role == "tool":
        yield _tool_result(message)
    elif role == "user":
        yield from _blocks(message.get("content"), "user")
    elif role == "assistant":
        if message.get("function_call"):
            raise Untranslatable("function_call has no counterpart; use tool_calls")
        yield from _blocks(message.get("content"), "assistant")
        yield from map(_tool_use, message.get("tool_calls") or ())
    else:
        raise Untranslatable(f"messages of role {str(role)[:40]!r} have no counterpart")


def _tool_result(message: Mapping[str, Json]) -> Json:
    content = message.get("content")
    result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
    if content:
        result["content"] = content if isinstance(content, str) else _blocks(content, "tool")
    return result | _cache_mark(message)


def _tool_use(call: Json) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise Untranslatable("only tool calls of type function have a counterpart")
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except (orjson.JSONDecodeError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise Untranslatable("the arguments of a tool call must be a JSON object there")
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": arguments}


def _blocks(content: Json, role: str) -> list[Json]:
    """Content as blocks; empty text, which is refused there, says nothing."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks = []
    for part in content if isinstance(content, list) else ():
        block = _block(part, role)
        if block is not None:
            blocks.append(block | _cache_mark(part))
    return blocks


def _block(part: Json, role: str) -> dict[str, Json] | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal"):
        text = part.get(kind)
        return {"type": "text", "text": text} if text else None
    if role in ("user", "tool"):
        if kind == "image_url":
            return {"type": "image", "source": _image(part.get("image_url"))}
        if kind == "file":
            return {"type": "document", "source": _file(part.get("file"))}
    raise Untranslatable(f"content of type {str(kind)[:40]!r} has no counterpart in a {role} message")


def _image(image: Json) -> Json:
    url = image.get("url") if isinstance(image, dict) else None
    if isinstance(url, str) and url.startswith("data:"):
        return _data(url)
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise Untranslatable("an image needs a URL that starts with data: or https://")


def _file(file: Json) -> Json:
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str) or not data.startswith("data:application/pdf;"):
        raise Untranslatable("a file has a counterpart only as PDF in file_data, as a data: URL")
    return _data(data)


def _data(url: str) -> Json:
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, coding = head.partition(";")
    if not comma or coding != "base64":
        raise Untranslatable("a data: URL must be in base64")
    return {"type": "base64", "media_type": media_type, "data": data}


def _cache_mark(part: Json) -> dict[str, Json]:
    """The mark up to which a provider may cache, which several clients set on parts of chat requests."""
    mark = part.get("cache_control") if isinstance(part, dict) else None
    return {"cache_control": mark} if mark else {}
