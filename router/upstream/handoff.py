"""Hand-off to a person: a webhook that takes the conversation, spoken to as if it were a model.

It answers `{"reply": "..."}`, a chat completion, or just takes note (any other 2xx): then the client gets the
text that the configuration names. What the hand-off costs is fixed, whatever was said.
"""

from typing import Any

from router.config.model import Model
from router.deciding.choose import Decision
from router.transport.transport import BrokenAnswer, Reply, Upstream
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.chat_events import DONE, ChatEvents, OpenAIDecoder
from router.upstream.events import Events
from router.upstream.exchange import Recipient, Untranslatable
from router.upstream.hints import dump_fields
from router.upstream.replies import Completion, dump_reply, read_object, write_completion
from router.upstream.usage import Usage

NOTHING = Usage(0, 0)
"""A person uses no tokens; the price is of the hand-off."""


class Handoff:
    """One hand-off; an `Exchange`. A webhook that is called twice for one decision sees the same `decision_id`."""

    def __init__(self, decision: Decision, model: Model, call: Call) -> None:
        if call.endpoint != "chat":
            raise Untranslatable(f"a person cannot answer {call.endpoint}")
        self._decision = decision
        self._reply = model.reply

    def body(self, call: Call, name: str, model: Model) -> bytes:  # noqa: ARG002  # as every exchange
        """The conversation, and which decision it belongs to."""
        route = call.route
        return dump_fields({
            "decision_id": self._decision.id, "task": self._decision.task, "model": name,
            "messages": call.fields["messages"], "metadata": route.metadata, "user": route.user,
            "session_id": route.session,
        })  # fmt: skip

    def target(self, recipient: Recipient, call: Call, body: bytes) -> Upstream:  # noqa: ARG002  # as every exchange
        """The webhook itself, with the key as bearer token."""
        key = recipient.key
        return Upstream(recipient.model.base_url, key, {"Authorization": f"Bearer {key}"} if key else {})

    def read(self, body: bytes, now_ms: int) -> Completion:
        """What the person said, or the text that says that one will."""
        said = _said(body)
        fields = {
            "object": "chat.completion", "created": now_ms // 1_000, "handed_off": said is None,
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": None,
                "message": {"role": "assistant", "content": self._reply if said is None else said},
            }],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }  # fmt: skip
        return Completion(fields, NOTHING, 0, "stop")

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return write_completion(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:  # noqa: ARG002  # as every exchange
        """The events of `Spoken`."""
        return ChatEvents(attempt, call, OpenAIDecoder())

    def error(self, reply: Reply) -> Reply:
        """As it is."""
        return reply


class Spoken:
    """A whole answer as the stream that a client asked for; an `UpstreamStream`."""

    status = 200
    retry_after: str | None = None

    def __init__(self, completion: Completion) -> None:
        self._pieces = [_events(completion.fields)]

    async def read(self) -> bytes:
        """All of it, then its end."""
        return self._pieces.pop() if self._pieces else b""

    async def finish(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


def _events(fields: dict[str, Any]) -> bytes:  # reason: the completion's own fields
    choice = fields["choices"][0]
    head = {
        "object": "chat.completion.chunk",
        "created": fields["created"],
        "handed_off": fields["handed_off"],
    }
    chunks = (
        {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": fields["usage"]},
    )
    return b"".join(b"data: " + dump_reply({**head, **chunk}) + b"\n\n" for chunk in chunks) + DONE


def _said(body: bytes) -> str | None:
    """The person's words, from either shape; None where the webhook only took note."""
    try:
        fields = read_object(body)
    except BrokenAnswer:
        return None
    reply = fields.get("reply")
    if isinstance(reply, str) and reply:
        return reply
    try:
        content = fields["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return content if isinstance(content, str) and content else None


def is_taken(model: Model, status: int) -> bool:
    """Whether a status other than 200 is a webhook's word that it took the request."""
    return model.kind == "human" and 200 < status < 300
