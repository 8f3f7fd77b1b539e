"""An exchange: how one endpoint is spoken with upstreams of one dialect."""

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from experiments.evidence.record import record
from router.config.model import Model
from router.transport.transport import Reply, Upstream
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.events import Events
from router.upstream.replies import Completion
from router.upstream.usage import Usage


class Untranslatable(Exception):
    """The request asks for something that the dialect has no words for; the message says what."""


@record(frozen=True, slots=True)
class Recipient:
    """Who is asked: one site of a model, and what the server has to show there."""

    model: Model
    name: str
    """Name that the upstream knows the model by."""
    key: str | None = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What `secrets_env` of the configuration names, by the dialect's own words."""


class Exchange(Protocol):
    """Requests out, answers in; clients see the shapes of OpenAI's API on both ways."""

    def body(self, call: Call, name: str, model: Model) -> bytes:
        """The body for a model of this name; raises Untranslatable."""

    def target(self, recipient: Recipient, call: Call, body: bytes) -> Upstream:
        """Where to send that body, and with which headers; raises Untranslatable."""

    def read(self, body: bytes, now_ms: int) -> Completion:
        """A whole answer; raises BrokenAnswer if it is none."""

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:
        """The events of a stream."""

    def error(self, reply: Reply) -> Reply:
        """An error in OpenAI's terms: status, Retry-After, and the shape of its body as far as it has one."""
