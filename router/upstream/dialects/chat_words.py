"""Parts of chat requests and answers that several dialects read and write in the same way."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from router.config.model import Model
from router.transport.transport import BrokenAnswer
from router.upstream.call import Call
from router.upstream.exchange import Untranslatable
from router.upstream.usage import Usage

Json = Any  # reason: JSON of a client or an upstream, of any shape
HINTS = frozenset({
    "verbosity", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "stream_options",
})  # fmt: skip
"""Fields that may be left out everywhere: they ask for nothing that an answer must have."""
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,), "logprobs": (False,), "frequency_penalty": (0, 0.0), "presence_penalty": (0, 0.0),
    "logit_bias": ({},), "modalities": (["text"],), "functions": ([],), "top_logprobs": (0,),
}  # fmt: skip
"""Values that ask for nothing."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a `data:` URL holds, still in base64."""

    media_type: str
    base64: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A tool call of the conversation."""

    id: str
    name: str
    arguments: dict[str, Json]
    fields: Mapping[str, Json]
    """The call as the client sent it."""


def refuse_others(fields: Mapping[str, Json], known: Collection[str], api: str) -> None:
    """Raise Untranslatable for a field that is not known, unless it asks for nothing."""
    for name, value in fields.items():
        if value is not None and name not in known and value not in NEUTRAL.get(name, ()):
            raise Untranslatable(f"{name} has no counterpart in {api}; leave it out")


def named(names: Mapping[str, str], field: str, value: Json) -> str:
    """The counterpart of a word."""
    if not isinstance(value, str) or value not in names:
        raise Untranslatable(f"{field} {str(value)[:40]!r} has no counterpart; known are {', '.join(names)}")
    return names[value]


def data_of(url: Json) -> Data:
    """The content of a `data:` URL."""
    if not isinstance(url, str) or not url.startswith("data:"):
        raise Untranslatable("an image or file must be given as a data: URL")
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, coding = head.partition(";")
    if not comma or coding != "base64" or not media_type:
        raise Untranslatable("a data: URL must name its media type and be in base64")
    return Data(media_type.lower(), data)


def parts_of(content: Json) -> Iterator[tuple[Json, dict[str, Json]]]:
    """Kind and part of each piece of a message's content; empty texts say nothing."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "refusal":
            kind, part = "text", {**part, "text": part.get("refusal")}
        part = part if isinstance(part, dict) else {}
        if kind == "text" and not isinstance(part.get("text"), str | None):
            raise Untranslatable("the text of a message must be a string")
        if kind != "text" or part.get("text"):
            yield kind, part


def no_counterpart(kind: Json, role: Json) -> Untranslatable:
    """What to raise for a piece of content."""
    return Untranslatable(f"content of type {str(kind)[:40]!r} has no counterpart in a {role} message")


def functions_of(tools: Json) -> list[dict[str, Json]]:
    """The function of each tool."""
    if not isinstance(tools, list):
        raise Untranslatable("tools must be a list")
    found = []
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Untranslatable("only tools of type function have a counterpart")
        found.append(function)
    return found


def chosen_function(choice: Mapping[str, Json]) -> Json:
    """Name of the one function that `tool_choice` asks for."""
    function = choice.get("function")
    if choice.get("type") != "function" or not isinstance(function, dict):
        raise Untranslatable("tool_choice of this type has no counterpart")
    return function.get("name")


def calls_of(message: Mapping[str, Json]) -> Iterator[FunctionCall]:
    """The tool calls of an assistant message."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Untranslatable("only tool calls of type function have a counterpart")
        if not isinstance(call.get("id"), str):
            raise Untranslatable("a tool call needs an id")
        try:
            arguments = orjson.loads(function.get("arguments") or "{}")
        except (orjson.JSONDecodeError, TypeError):
            arguments = None
        if not isinstance(arguments, dict):
            raise Untranslatable("the arguments of a tool call must be a JSON object there")
        yield FunctionCall(call["id"], function["name"], arguments, call)


def schema_of(wanted: Json) -> dict[str, Json] | None:
    """The schema description of a `response_format`, if it has one."""
    shape = wanted if isinstance(wanted, dict) else {}
    if shape.get("type") != "json_schema":
        return None
    inner = shape.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise Untranslatable("response_format json_schema needs a schema")
    return inner


def dump_request(fields: Mapping[str, Json], call: Call, model: Model) -> bytes:
    """The body: translated fields under what this model allows its clients, and under the operator's."""
    allowed = {name: value for name, value in call.further.items() if name in model.allow_fields}
    try:
        return orjson.dumps(merged(merged(fields, allowed), model.extra_body))
    except orjson.JSONEncodeError:
        raise Untranslatable("the request is nested too deeply") from None


def merged(below: Json, above: Mapping[str, Json]) -> dict[str, Json]:
    """Both, object by object; where both say something, what is above counts.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    result = dict(below)
    for name, value in above.items():
        mine = result.get(name)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        result[name] = merged(mine, value) if both else value
    return result


def dump_arguments(value: Json) -> str:
    """The arguments of a tool call as the text that they are in the chat API."""
    try:
        return orjson.dumps(value if value is not None else {}).decode()
    except orjson.JSONEncodeError:
        raise BrokenAnswer("the arguments of a tool call are nested too deeply") from None


def completion_fields(choices: list[Json], usage: Usage | None, now_ms: int) -> dict[str, Json]:
    """A whole chat answer; its id and model are set where it is written."""
    return {
        "id": "", "object": "chat.completion", "created": now_ms // 1_000, "model": "", "choices": choices,
        "usage": usage_object(usage) if usage else None,
    }  # fmt: skip


def chunk_fields(choices: list[Json], created: int) -> dict[str, Json]:
    """A chunk of a streamed one."""
    return {
        "id": "",
        "object": "chat.completion.chunk",
        "created": created,
        "model": "",
        "choices": choices,
    }


def usage_object(usage: Usage) -> dict[str, Json]:
    """Usage as the chat API writes it."""
    inside = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.written_tokens + usage.written_1h_tokens,
    }
    if usage.written_1h_tokens:
        inside["cache_write_1h_tokens"] = usage.written_1h_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": inside,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def event_part(event: Mapping[str, Json], name: str) -> dict[str, Json]:
    """What an event of a stream must hold under a name."""
    part = event.get(name)
    if not isinstance(part, dict):
        raise BrokenAnswer(f"an event of the stream holds no {name}")
    return part


def delta_text(delta: Mapping[str, Json], name: str) -> str:
    """The text that a delta of a stream must hold under a name."""
    text = delta.get(name)
    if not isinstance(text, str):
        raise BrokenAnswer(f"a delta of the stream holds no {name}")
    return text


def sampling(fields: Mapping[str, Json], names: Mapping[str, str], limit: str, stops: str) -> dict[str, Json]:
    """Settings of the sampler in an API's own words: those in `names`, the longest answer, and where to stop."""
    settings = {theirs: fields[ours] for ours, theirs in names.items() if fields.get(ours) is not None}
    longest, stop = fields.get("max_completion_tokens") or fields.get("max_tokens"), fields.get("stop")
    if longest:
        settings[limit] = longest
    if stop:
        settings[stops] = [stop] if isinstance(stop, str) else stop
    return settings
