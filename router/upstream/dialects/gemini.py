"""The dialect of Gemini's own API, `generateContent`: chat requests are translated, and so are their answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from router.config.dialects import Dialect
from router.config.model import Model
from router.transport.transport import BrokenAnswer, Reply, Upstream
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.chat_events import ChatEvents
from router.upstream.dialects.chat_words import (
    Json,
    chunk_fields,
    completion_fields,
    dump_arguments,
    dump_request,
    usage_object,
)
from router.upstream.dialects.gemini_request import translate
from router.upstream.dialects.gemini_words import finish_of, read_error, read_gemini_usage
from router.upstream.events import Events
from router.upstream.exchange import Recipient
from router.upstream.replies import Completion, completion_of, read_object, write_completion
from router.upstream.usage import Usage

_SILENT = frozenset({"thought", "thoughtSignature", "partMetadata", "text"})
"""Fields of a part that hold no content of another kind."""


class GenerateContent:
    """`generateContent`, for the chat endpoint; see `router.upstream.exchange.Exchange`."""

    def body(self, call: Call, name: str, model: Model) -> bytes:
        """The translated request; raises Untranslatable."""
        return dump_request(translate(call.fields, name), call, model)

    def target(self, recipient: Recipient, call: Call, body: bytes) -> Upstream:  # noqa: ARG002  # whatever is sent
        """The model's own address, with the key in a header, never in the address."""
        key, name = recipient.key, quote(recipient.name, safe="/@:")
        path = name if "/" in name else f"models/{name}"
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        url = f"{recipient.model.base_url}/{path}:{method}"
        return Upstream(url, key, {"x-goog-api-key": key} if key else {})

    def read(self, body: bytes, now_ms: int) -> Completion:
        """An answer; raises BrokenAnswer if it is none."""
        answer = read_object(body)
        usage = read_gemini_usage(answer.get("usageMetadata"))
        choices = []
        for candidate in _candidates(answer):
            said = _Said(_call_prefix(answer, now_ms))
            said.take(candidate)
            finish = finish_of(candidate.get("finishReason"), bool(said.calls))
            message = {"role": "assistant", "content": None, "refusal": None, **said.fields()}
            choices.append(_choice(candidate, "message", message, finish))
        return completion_of(completion_fields(choices, usage, now_ms), usage)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return write_completion(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:
        """The events of a stream."""
        return ChatEvents(attempt, call, GeminiDecoder(now_ms))

    def error(self, reply: Reply) -> Reply:
        """The error in OpenAI's terms."""
        return read_error(reply)


class GeminiDecoder:
    """Turns events into chunks; see `router.upstream.chat_events.Decoder`. The API marks the end by finish reasons."""

    def __init__(self, now_ms: int) -> None:
        self.done = False
        self._now_ms = now_ms
        self._ending = False
        """A candidate is at its end. Counts of earlier events leave out what is still to come: they are no usage."""
        self._calls: dict[int, int] = {}
        """Tool calls so far of each candidate that has begun."""

    def feed(self, data: bytes) -> Sequence[dict[str, Json]]:
        """The chunk of one event; what holds neither content nor an end begins no answer."""
        answer = read_object(data)
        if "error" in answer:
            raise BrokenAnswer("the stream reports an error")
        choices = [
            choice
            for candidate in _candidates(answer, whole=False)
            if (choice := self._choice(candidate, answer)) is not None
        ]
        self._ending |= any(choice["finish_reason"] is not None for choice in choices)
        usage = read_gemini_usage(answer.get("usageMetadata")) if self._ending else None
        if not choices and usage is None:
            return ()
        chunk = chunk_fields(choices, self._now_ms // 1_000)
        if usage is not None:
            chunk |= {"usage": usage_object(usage), "service_tier": usage.service or None}
        return (chunk,)

    def _choice(self, candidate: dict[str, Json], answer: dict[str, Json]) -> dict[str, Json] | None:
        index = _index(candidate)
        said = _Said(_call_prefix(answer, self._now_ms), self._calls.get(index, 0))
        said.take(candidate)
        reason, delta = candidate.get("finishReason"), said.fields(streamed=True)
        count = said.place + len(said.calls)
        if not delta and reason is None:
            return None
        if index not in self._calls:
            delta = {"role": "assistant", "content": "", **delta}
        self._calls[index] = count
        return _choice(
            candidate, "delta", delta, finish_of(reason, count > 0) if reason is not None else None
        )


@dataclass(slots=True)
class _Said:
    """What one candidate says in one answer or event."""

    prefix: str
    place: int = 0
    """Number of its first tool call."""
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    signature: Json = None
    refusal: str | None = None

    def take(self, candidate: dict[str, Json]) -> None:
        """Read all its parts; raises BrokenAnswer for one that a chat answer has no place for."""
        self.refusal = candidate.get("refusal")
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict):
                raise BrokenAnswer("a part of the answer is no object")
            self._take(part)

    def _take(self, part: dict[str, Json]) -> None:
        call, text = part.get("functionCall"), part.get("text")
        if isinstance(call, dict) and "partialArgs" not in call:
            self.calls.append(self._call(call, part.get("thoughtSignature")))
            return
        others = part.keys() - _SILENT
        if others:
            raise BrokenAnswer(f"the answer holds {min(others)[:40]!r}, which chat has no place for")
        if isinstance(text, str):
            (self.thoughts if part.get("thought") is True else self.texts).append(text)
        self.signature = part.get("thoughtSignature") or self.signature

    def _call(self, call: dict[str, Json], signature: Json) -> Json:
        place = self.place + len(self.calls)
        function = {"name": call.get("name"), "arguments": dump_arguments(call.get("args"))}
        made = {
            "id": call.get("id") or f"{self.prefix}{place}",
            "type": "function",
            "function": function,
        }
        return made | _signed(signature)

    def fields(self, streamed: bool = False) -> dict[str, Json]:
        """Fields of the message, or of the delta, as far as there are any."""
        calls = self.calls
        if streamed:
            calls = [{"index": self.place + number, **call} for number, call in enumerate(calls)]
        found: dict[str, Json] = {
            "content": "".join(self.texts), "reasoning_content": "".join(self.thoughts), "tool_calls": calls,
            "refusal": self.refusal,
        }  # fmt: skip
        found = {name: value for name, value in found.items() if value}
        if not streamed and not calls and self.refusal is None:
            found.setdefault("content", "")
        return found | _signed(self.signature)


def _signed(signature: Json) -> dict[str, Json]:
    """The signature of a thought where clients of Google's own chat API find it, and send it back from."""
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _candidates(answer: dict[str, Json], whole: bool = True) -> list[dict[str, Json]]:
    """The candidates of an answer; a blocked prompt has one that says so."""
    candidates, feedback = answer.get("candidates"), answer.get("promptFeedback")
    if candidates:
        if isinstance(candidates, list) and all(isinstance(each, dict) for each in candidates):
            return candidates
        raise BrokenAnswer("the candidates of the answer are malformed")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if reason:
        words = f"The prompt was blocked by the provider ({str(reason)[:40]})."
        return [{"finishReason": "SAFETY", "refusal": words}]
    if whole:
        raise BrokenAnswer("the reply holds no candidates")
    if not answer.keys() & {"usageMetadata", "modelVersion", "responseId"}:
        raise BrokenAnswer("an event of the stream is no answer of this API")
    return []


def _choice(candidate: dict[str, Json], place: str, said: Json, finish: str | None) -> dict[str, Json]:
    return {"index": _index(candidate), place: said, "logprobs": None, "finish_reason": finish}


def _index(candidate: dict[str, Json]) -> int:
    index = candidate.get("index")
    return index if type(index) is int else 0


def _call_prefix(answer: dict[str, Json], now_ms: int) -> str:
    """Beginning of the ids of calls that came without one; no other answer of a conversation has it."""
    return f"call_{str(answer.get('responseId') or now_ms)[:40]}_"


DIALECT = Dialect({"chat": GenerateContent()})
