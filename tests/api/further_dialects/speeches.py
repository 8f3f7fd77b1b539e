"""Gemini's and Bedrock's own APIs as their upstreams write them, and how they are asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from router.upstream.dispatch import Limits
from tests.servers import bedrock, gemini
from tests.servers.upstream import Script, status, stream

HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]
PRICE = {"input": 3.0, "output": 15.0, "cached_input": 0.3, "cache_write": 3.75, "cache_write_1h": 6.0}
LIMITS = Limits(connect_s=2.0, first_chunk_s=4.0, idle_s=1.0)


@dataclass(frozen=True)
class Speech:
    """One dialect, as its upstream writes it."""

    name: str
    provider: str
    well: Callable[..., Script]
    pieces: list[bytes]
    """A good stream."""
    half: list[bytes]
    """The same without its end."""
    paths: tuple[str, str]
    """Address of a whole answer and of a stream."""
    cost_usd: float
    """Of the usual usage."""
    error: Callable[[int, str], object]
    told: bytes
    """An event that reports an overload in a stream."""
    calls: Callable[[], tuple[Script, Script]]
    """Answers with one tool call, whole and streamed."""
    ends: tuple[tuple[str, str], ...]
    ending: Callable[[str], tuple[Script, Script]]


def _gemini_calls() -> tuple[Script, Script]:
    part = {"functionCall": {"id": "c1", "name": "add", "args": {"a": 2}}, "thoughtSignature": "c2ln"}
    told = gemini.generated(gemini.candidate(part))
    return status(200, told), stream(*gemini.events(told))


def _bedrock_calls() -> tuple[Script, Script]:
    block = {"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": 2}}}
    pieces = bedrock.called("c1", "add", '{"a"', ":2}", index=0)
    told = bedrock.conversed(block, stopReason="tool_use")
    return status(200, told), stream(*bedrock.events(pieces, reason="tool_use"))


def _gemini_ending(reason: str) -> tuple[Script, Script]:
    told = gemini.generated(gemini.candidate({"text": "x"}, finish=reason))
    return status(200, told), stream(*gemini.events(told))


def _bedrock_ending(reason: str) -> tuple[Script, Script]:
    told = bedrock.conversed({"text": "x"}, stopReason=reason)
    return status(200, told), stream(*bedrock.events(bedrock.said("x"), reason=reason))


SPEECHES = (
    Speech(
        "gemini", "google", gemini.gemini, gemini.events(), gemini.events()[:1],
        ("/v1/models/gemini-upstream:generateContent", "/v1/models/gemini-upstream:streamGenerateContent?alt=sse"),
        (30 * 3 + 70 * 0.3 + 20 * 15) / 1e6,
        lambda code, words: gemini.failure(code, words, "STATUS"),
        b'data: {"error": {"code": 503, "message": "overloaded"}}\n\n',
        _gemini_calls,
        (("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
         ("PROHIBITED_CONTENT", "content_filter")),
        _gemini_ending,
    ),
    Speech(
        "bedrock", "aws", bedrock.bedrock, bedrock.events(), bedrock.events()[:-2],
        ("/v1/model/bedrock-upstream/converse", "/v1/model/bedrock-upstream/converse-stream"),
        (10 * 3 + 70 * 0.3 + 15 * 3.75 + 5 * 6 + 20 * 15) / 1e6,
        lambda code, words: {"message": words},
        bedrock.binary_event({"message": "overloaded"}, "throttlingException", "exception"),
        _bedrock_calls,
        (("end_turn", "stop"), ("max_tokens", "length"), ("guardrail_intervened", "content_filter"),
         ("content_filtered", "content_filter"), ("something_new", "stop")),
        _bedrock_ending,
    ),
)  # fmt: skip
BOTH = pytest.mark.parametrize("speech", SPEECHES, ids=lambda speech: speech.name)
EITHER_WAY = pytest.mark.parametrize("streaming", [False, True])


def ask(client: openai.OpenAI, model: str, streaming: bool, **fields: Any) -> Any:
    """Ask and read all of the answer; the chunks of a stream, or the whole."""
    got = client.chat.completions.create(model=model, messages=HELLO, stream=streaming, **fields)
    return list(got) if streaming else got
