"""Chat requests in the words of Gemini's `generateContent`.

What has no words there is refused by name, never left out in silence.
"""

import re
from collections.abc import Iterator, Mapping

import orjson

from router.upstream.dialects.chat_words import (
    HINTS,
    Data,
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

API = "Gemini's API"
UNSIGNED = "skip_thought_signature_validator"
"""What Google has callers say for a call whose thought signature they never had, as when another model made it."""
_SETTINGS = {
    "temperature": "temperature", "top_p": "topP", "seed": "seed", "n": "candidateCount",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
}  # fmt: skip
_ELSEWHERE = frozenset({
    "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    "reasoning_effort", "service_tier", "user", "safety_identifier",
})  # fmt: skip
_KNOWN = HINTS | _SETTINGS.keys() | _ELSEWHERE
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
_VERSION = re.compile(r"gemini-(\d+)")
_IMAGES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif",
}  # fmt: skip


def translate(fields: Mapping[str, Json], model: str) -> dict[str, Json]:
    """The fields of a request; raises Untranslatable."""
    if fields.get("parallel_tool_calls") is False:
        raise Untranslatable(f"parallel_tool_calls has no counterpart in {API}; leave it out")
    refuse_others(fields, _KNOWN | {"parallel_tool_calls"}, API)
    system, contents = _contents(fields["messages"])
    body: dict[str, Json] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    settings = sampling(fields, _SETTINGS, "maxOutputTokens", "stopSequences") | _format(
        fields.get("response_format")
    )
    thinking = _thinking(fields.get("reasoning_effort"), model)
    if thinking:
        settings["thinkingConfig"] = thinking
    if settings:
        body["generationConfig"] = settings
    if fields.get("service_tier") not in (None, "auto"):
        body["serviceTier"] = named(_TIERS, "service_tier", fields["service_tier"])
    return body | _tools(fields)


def _format(wanted: Json) -> dict[str, Json]:
    described = schema_of(wanted)
    if described is not None:
        return {"responseMimeType": "application/json", "responseJsonSchema": described["schema"]}
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind not in (None, "text"):
        raise Untranslatable(f"response_format {str(kind)[:40]!r} has no counterpart in {API}")
    return {}


def _thinking(effort: Json, model: str) -> dict[str, Json]:
    """Effort as a level, or as the budget of tokens that models before Gemini 3 take."""
    if effort is None:
        return {}
    version = _VERSION.search(model)
    if version is None or int(version[1]) >= 3:
        return {"thinkingLevel": named(_LEVELS, "reasoning_effort", effort)}
    named(dict.fromkeys(_BUDGETS, ""), "reasoning_effort", effort)
    return {"thinkingBudget": _BUDGETS[effort]}


def _tools(fields: Mapping[str, Json]) -> dict[str, Json]:
    if not fields.get("tools"):
        return {}
    functions = functions_of(fields["tools"])
    body: dict[str, Json] = {"tools": [{"functionDeclarations": [_declared(each) for each in functions]}]}
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        calling = {"mode": "ANY", "allowedFunctionNames": [chosen_function(choice)]}
    elif choice in (None, "auto") and any(each.get("strict") is True for each in functions):
        calling = {"mode": "VALIDATED"}
    elif choice is None:
        return body
    else:
        calling = {"mode": named(_MODES, "tool_choice", choice)}
    return body | {"toolConfig": {"functionCallingConfig": calling}}


def _declared(function: Mapping[str, Json]) -> Json:
    made = {"name": function["name"]}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


def _contents(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """System prompts, wherever they stand, and the turns; neighbours of one role are one turn."""
    system: list[Json] = []
    turns: list[Json] = []
    calls: dict[str, str] = {}
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _texts(message.get("content"), role)
            continue
        speaker = "model" if role == "assistant" else "user"
        parts = list(_turn(message, role, calls))
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": speaker, "parts": parts})
    if not turns:
        raise Untranslatable("it needs at least one message that is not a system prompt")
    return system, turns


def _turn(message: Mapping[str, Json], role: Json, calls: dict[str, str]) -> Iterator[Json]:
    """Parts of one message; `calls` learns the names of functions, which answers to calls must repeat."""
    if role == "user":
        for kind, part in parts_of(message.get("content")):
            yield _part(kind, part)
    elif role == "assistant":
        yield from _said(message, calls)
    elif role == "tool":
        yield _result(message, calls)
    else:
        raise Untranslatable(f"messages of role {str(role)[:40]!r} have no counterpart")


def _said(message: Mapping[str, Json], calls: dict[str, str]) -> Iterator[Json]:
    if message.get("function_call") or message.get("audio"):
        raise Untranslatable(
            "function_call and audio of an assistant message have no counterpart; use tool_calls"
        )
    texts = _texts(message.get("content"), "assistant")
    signature = _signature(message)
    if texts and signature:
        texts[-1]["thoughtSignature"] = signature
    yield from texts
    for place, call in enumerate(calls_of(message)):
        calls[call.id] = call.name
        part: dict[str, Json] = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
        signature = _signature(call.fields) or (UNSIGNED if place == 0 else None)
        yield part | ({"thoughtSignature": signature} if signature else {})


def _signature(place: Mapping[str, Json]) -> str | None:
    """Where our answers, and Google's own for this API, put the signature of a thought."""
    extra = place.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None


def _result(message: Mapping[str, Json], calls: Mapping[str, str]) -> Json:
    identity = message.get("tool_call_id")
    if not isinstance(identity, str) or identity not in calls:
        raise Untranslatable("tool_call_id names no call that stands before it in the conversation")
    text = "\n".join(part["text"] for part in _texts(message.get("content"), "tool"))
    return {"functionResponse": {"id": identity, "name": calls[identity], "response": _object(text)}}


def _object(text: str) -> dict[str, Json]:
    """The result of a function, which must be an object there."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    return value if isinstance(value, dict) else {"output": value}


def _texts(content: Json, role: Json) -> list[dict[str, Json]]:
    texts = []
    for kind, part in parts_of(content):
        if kind != "text":
            raise no_counterpart(kind, role)
        texts.append({"text": part["text"]})
    return texts


def _part(kind: Json, part: Mapping[str, Json]) -> Json:
    """One piece of what a user sent."""
    inner = part.get(kind) if isinstance(kind, str) else None
    given = inner if isinstance(inner, dict) else {}
    if kind == "text":
        return {"text": part["text"]}
    if kind == "image_url":
        return _image(given.get("url"))
    if kind == "file":
        return _inline(data_of(given.get("file_data")))
    if kind == "input_audio" and isinstance(given.get("format"), str):
        return _inline(Data(f"audio/{given['format']}", given.get("data") or ""))
    raise no_counterpart(kind, "user")


def _image(url: Json) -> Json:
    if not isinstance(url, str) or not url.startswith("https://"):
        return _inline(data_of(url))
    media_type = _IMAGES.get(url.partition("?")[0].rpartition(".")[2].lower())
    if media_type is None:
        raise Untranslatable(
            f"an image's address must end in one of .{', .'.join(_IMAGES)}; or send it as a data: URL"
        )
    return {"fileData": {"mimeType": media_type, "fileUri": url}}


def _inline(data: Data) -> Json:
    return {"inlineData": {"mimeType": data.media_type, "data": data.base64}}
