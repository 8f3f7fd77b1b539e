"""The dialect of OpenAI, and of all who speak as OpenAI does: bodies pass as they are."""

from router.config.model import Model
from router.transport.transport import Reply, Upstream
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.chat_events import ChatEvents, OpenAIDecoder
from router.upstream.embeddings import Embedded
from router.upstream.events import Events
from router.upstream.exchange import Recipient, Untranslatable
from router.upstream.replies import Completion, read_completion, write_completion
from router.upstream.response_replies import Responded, ResponseEvents
from router.upstream.usage import Usage


class _OpenAI:
    """What the endpoints share."""

    path: str

    def body(self, call: Call, name: str, model: Model) -> bytes:
        """The client's body under the upstream's name of the model."""
        return call.body_for(name, model)

    def target(self, recipient: Recipient, call: Call, body: bytes) -> Upstream:  # noqa: ARG002  # whatever is sent
        """The endpoint below the model's base URL, with the key as bearer token."""
        key = recipient.key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return Upstream(recipient.model.base_url + self.path, key, headers)

    def error(self, reply: Reply) -> Reply:
        """As it is."""
        return reply


class Chat(_OpenAI):
    """`/chat/completions`."""

    path = "/chat/completions"

    def read(self, body: bytes, now_ms: int) -> Completion:  # noqa: ARG002  # the upstream says when
        """A chat answer; raises BrokenAnswer if it is none."""
        return read_completion(body)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return write_completion(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:  # noqa: ARG002  # as in read
        """The events of a stream."""
        return ChatEvents(attempt, call, OpenAIDecoder())


class Embeddings(_OpenAI):
    """`/embeddings`."""

    path = "/embeddings"
    _replies = Embedded()

    def read(self, body: bytes, now_ms: int) -> Completion:  # noqa: ARG002  # embeddings have no date
        """Embeddings; raises BrokenAnswer if there are none."""
        return self._replies.read(body)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return self._replies.write(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:  # noqa: ARG002  # no request asks for it
        """Embeddings are never streamed."""
        raise Untranslatable("embeddings are not streamed")


class Responses(_OpenAI):
    """`/responses`."""

    path = "/responses"
    _replies = Responded()

    def read(self, body: bytes, now_ms: int) -> Completion:  # noqa: ARG002  # the upstream says when
        """An answer; raises BrokenAnswer if it is none."""
        return self._replies.read(body)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return self._replies.write(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:  # noqa: ARG002  # as in read
        """The events of a stream."""
        return ResponseEvents(attempt)
