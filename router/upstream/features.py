"""Features: what a request's body asks of the model, read cheaply and only where the configuration cares.

Nothing is decoded: images and audio are seen by the kind of their content parts, lengths by characters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from router.deciding.needs import Needs
from router.deciding.snapshot import Snapshot
from router.upstream.call import Call
from router.upstream.usage import estimate_usage

_NOTHING = Needs()
_IMAGES, _SOUNDS = ("image_url", "input_image", "image"), ("input_audio",)
_LONGEST = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def with_features(call: Call, snapshot: Snapshot) -> Call:
    """The call with its needs filled in from its body, where a model, a rule or a ceiling asks for them."""
    needs = call.route.needs
    if not snapshot.screens and (needs is None or needs.max_cost_usd is None):
        return call
    return replace(call, route=replace(call.route, needs=_with_body(needs or _NOTHING, call)))


def _with_body(needs: Needs, call: Call) -> Needs:
    fields = call.fields
    kinds = set(_kinds(call.prompt))
    return replace(
        needs,
        input_tokens=estimate_usage(call.prompt, 0).input_tokens,
        output_tokens=_longest(fields),
        tools=bool(fields.get("tools") or fields.get("functions")),
        vision=not kinds.isdisjoint(_IMAGES),
        audio=not kinds.isdisjoint(_SOUNDS) or "audio" in _list(fields.get("modalities")),
        json_mode=_asks_json(fields),
    )


def _kinds(prompt: Iterable[object]) -> Iterable[str]:
    """Kinds of the content parts."""
    for message in prompt:
        for part in _list(message.get("content")) if isinstance(message, dict) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str):
                yield kind


def _longest(fields: Mapping[str, Any]) -> int | None:  # reason: a client's JSON
    """Longest answer that the client allows, all its choices together."""
    for name in _LONGEST:
        value = fields.get(name)
        if type(value) is int and value > 0:
            choices = fields.get("n")
            return value * (choices if type(choices) is int and 1 <= choices <= 128 else 1)
    return None


def _asks_json(fields: Mapping[str, Any]) -> bool:  # reason: a client's JSON
    """Whether the answer must be JSON, by the fields of either API."""
    text = fields.get("text")
    for asked in (fields.get("response_format"), text.get("format") if isinstance(text, dict) else None):
        if isinstance(asked, dict) and asked.get("type") in ("json_object", "json_schema"):
            return True
    return False


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
