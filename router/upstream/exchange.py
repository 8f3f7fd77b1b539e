"""An exchange: how one endpoint is spoken with upstreams of one dialect."""

from typing import Protocol

from router.config.model import Model
from router.transport.transport import Upstream
from router.upstream.account import Account
from router.upstream.call import Call
from router.upstream.events import Events
from router.upstream.replies import Completion
from router.upstream.usage import Usage


class Untranslatable(Exception):
    """The request asks for something that the dialect has no words for; the message says what."""


class Exchange(Protocol):
    """Requests out, answers in; clients see the shapes of OpenAI's API on both ways."""

    def target(self, model: Model, key: str | None) -> Upstream:
        """Where to send, and with which headers."""

    def body(self, call: Call, name: str, model: Model) -> bytes:
        """The body for a model of this name; raises Untranslatable."""

    def read(self, body: bytes, now_ms: int) -> Completion:
        """A whole answer; raises BrokenAnswer if it is none."""

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""

    def events(self, account: Account, call: Call, now_ms: int) -> Events:
        """The events of a stream."""

    def error(self, body: bytes) -> bytes:
        """An error's body in OpenAI's shape, as far as it has one."""
