"""A call: one checked request of a client, on its way to whichever model is decided for it."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import orjson

from experiments.evidence.record import record
from router.config.model import Model
from router.deciding.choose import RouteRequest
from router.upstream.hints import dump_fields

Endpoint = Literal["chat", "embeddings", "responses"]


@record(frozen=True, slots=True)
class Call:
    """What the client asked for, and what may be forwarded of it."""

    endpoint: Endpoint
    route: RouteRequest
    prompt: Sequence[object]
    """Messages or texts, looked at only to estimate their tokens."""
    forwarded: bytes
    """JSON object of all that every upstream gets, the model's name excepted."""
    fields: Mapping[str, Any]  # reason: a client's JSON
    """The same, for dialects that have other fields."""
    further: Mapping[str, Any] = field(default_factory=dict)  # reason: a client's JSON
    """Fields that only models which allow them get."""
    stream: bool = False
    wants_usage: bool = False
    """The client asked for the usage chunk of a stream."""
    choices: int = 1

    def body_for(self, name: str, model: Model) -> bytes:
        """The body for an upstream of the same dialect that knows the model by this name."""
        head = b'{"model":' + orjson.dumps(name) + b","
        if model.extra_body or (self.further and model.allow_fields):
            return head + dump_fields(self.with_extras(self.fields, model))[1:]
        return head + self.forwarded[1:]

    def with_extras(self, fields: Mapping[str, Any], model: Model) -> dict[str, Any]:  # reason: JSON
        """Fields with those that this model allows, and with the operator's, which go before the client's."""
        allowed = {name: value for name, value in self.further.items() if name in model.allow_fields}
        return {**fields, **allowed, **model.extra_body}
