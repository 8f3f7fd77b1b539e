"""Embedding requests and answers: the same routing, decision and metering as for chat."""

from dataclasses import dataclass
from typing import Any

from router.errors import InvalidRequest
from router.transport.transport import BrokenAnswer
from router.upstream.call import Call
from router.upstream.chat import NONE, refuse_unknown
from router.upstream.hints import Headers, dump_fields, parse_body, read_route
from router.upstream.replies import Completion, dump_reply, read_object
from router.upstream.usage import Usage, read_embedding_usage

FORWARDED_FIELDS = frozenset({"input", "dimensions", "encoding_format", "user"})
ALLOWED_FIELDS = FORWARDED_FIELDS | {"model"}


def read_embeddings(
    body: bytes, headers: Headers = (), reads_text: bool = True, allowed: frozenset[str] = NONE
) -> Call:
    """Check a request; raises InvalidRequest naming the field."""
    fields = parse_body(body)
    further = refuse_unknown(fields, ALLOWED_FIELDS, allowed, "embeddings")
    prompt = _prompt(fields.get("input"))
    text = "\n".join(each for each in prompt if isinstance(each, str)) if reads_text else ""
    route = read_route(fields, headers, text)
    forwarded = {name: value for name, value in fields.items() if name in FORWARDED_FIELDS}
    return Call("embeddings", route, prompt, dump_fields(forwarded), forwarded, further)


def _prompt(value: object) -> list[object]:
    """The texts or lists of tokens to embed."""
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(each, str) or _is_tokens(each) for each in value):
            return value
        if _is_tokens(value):
            return [value]
    raise InvalidRequest(
        "input must be a text, a list of texts, or a list of tokens; none of them empty", "input"
    )


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


@dataclass(frozen=True, slots=True)
class Embedded:
    """How embeddings are read and written."""

    def read(self, body: bytes) -> Completion:
        """Check that a reply holds embeddings; raises BrokenAnswer otherwise."""
        fields = read_object(body)
        data = fields.get("data")
        if not isinstance(data, list) or not data or not all(map(_is_embedding, data)):
            raise BrokenAnswer("the reply holds no embeddings")
        return Completion(fields, read_embedding_usage(fields.get("usage")), 0)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client. The API has no `id` of its own; here it is the decision's."""
        fields = completion.fields
        fields["id"], fields["model"] = decision_id, model
        fields["usage"] = _usage_fields(fields.get("usage"), usage, cost_usd)
        return dump_reply(fields)


def _is_embedding(item: Any) -> bool:  # reason: as the upstream wrote it
    return isinstance(item, dict) and isinstance(item.get("embedding"), list | str)


def _usage_fields(reported: object, usage: Usage, cost_usd: float | None) -> dict[str, object]:
    if not usage.estimated and isinstance(reported, dict):
        return {**reported, "cost": cost_usd}
    counts: dict[str, object] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return {**counts, "estimated": True, "cost": cost_usd}
