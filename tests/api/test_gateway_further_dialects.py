"""Upstreams that speak Gemini's and Bedrock's own APIs, as the official OpenAI client sees them.

What holds for both stands here; what only one of them has is in the tests of its translation.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openai
import orjson
import pytest

from experiments.definition.experiment import Experiment
from router.availability.fleet import Fleet
from router.clock import machine_clock
from router.steering.control import Control
from router.upstream.dispatch import Limits
from tests.servers import bedrock, gemini
from tests.servers.asking import wait_until
from tests.servers.house import KEY, House, document, serving, unused_port, upstreams
from tests.servers.upstream import (
    Script,
    UpstreamServer,
    answer,
    chunked,
    cut_stream,
    hang_up,
    head,
    raw,
    silent,
    silent_after,
    status,
    stream,
)

pytestmark = pytest.mark.process
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


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """An upstream of each dialect; `small` speaks OpenAI's."""
    with upstreams("gemini", "bedrock", "small") as running:
        yield running


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine with a task for each, both with `small` as their fallback, and an experiment of all three."""
    config = document({name: server.url for name, server in servers.items()}, default="small")
    for speech in SPEECHES:
        own = {"dialect": speech.name, "provider": speech.provider, "price": PRICE}
        config["models"][speech.name] |= own
        config["tasks"][f"by-{speech.name}"] = {
            "fallbacks": ["small"],
            "timeout_s": 3.0,
        }
    config["tasks"]["math"] = {"default": "small", "fallbacks": []}
    opened = House(config, LIMITS)
    for speech in SPEECHES:
        Control(opened.store, machine_clock).set_route(f"by-{speech.name}", speech.name, "test")
    candidates = ("small", "gemini", "bedrock")
    opened.start(Experiment(name="duel", task="math", candidates=candidates, mode="ab"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def url(house: House) -> Iterator[str]:
    """The gateway on a real server."""
    with serving(house, finish_s=1.0) as base_url:
        yield base_url


@pytest.fixture
def client(url: str, servers: dict[str, UpstreamServer], house: House) -> Iterator[openai.OpenAI]:
    """The official client; the upstreams behave well again."""
    for speech in SPEECHES:
        servers[speech.name].will(speech.well())
    servers["small"].will(answer())
    house.dispatcher.fleet = Fleet()
    for server in servers.values():
        server.requests.clear()
        server.left_after_s.clear()
    with openai.OpenAI(base_url=url, api_key="pk-client", max_retries=0, timeout=10) as opened:
        yield opened


def ask(client: openai.OpenAI, model: str, streaming: bool, **fields: Any) -> Any:
    """Ask and read all of the answer; the chunks of a stream, or the whole."""
    got = client.chat.completions.create(model=model, messages=HELLO, stream=streaming, **fields)
    return list(got) if streaming else got


@BOTH
def test_a_whole_answer_is_translated_and_charged_by_kind(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech
) -> None:
    """Address and key as the API wants them, never a key in an address; cached tokens at their own price."""
    reply = client.chat.completions.create(model=speech.name, messages=HELLO, max_tokens=9)
    request = servers[speech.name].requests[0]
    assert request.path == speech.paths[0]
    keys = {"gemini": {"x-goog-api-key": KEY}, "bedrock": {"authorization": f"Bearer {KEY}"}}[speech.name]
    assert {name: request.headers.get(name) for name in ("x-goog-api-key", "authorization")} == {
        "x-goog-api-key": None, "authorization": None, **keys,
    }  # fmt: skip
    assert (reply.model, reply.object, reply.choices[0].finish_reason) == (
        speech.name,
        "chat.completion",
        "stop",
    )
    assert (reply.choices[0].message.role, reply.choices[0].message.content) == ("assistant", "four")
    usage = reply.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 20, 120)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 70
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == (8 if speech.name == "gemini" else 0)
    assert usage.model_dump()["cost"] == pytest.approx(speech.cost_usd)
    assert house.calls()[-1]["cost_usd"] == pytest.approx(speech.cost_usd)


@BOTH
@pytest.mark.parametrize("divided", [False, True])
def test_a_stream_is_translated_and_charged_the_same(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech, divided: bool
) -> None:
    """The chunks that OpenAI would send, however the bytes are divided on their way."""
    everything = b"".join(speech.pieces)
    pieces = [everything[at : at + 7] for at in range(0, len(everything), 7)] if divided else speech.pieces
    servers[speech.name].will(stream(*pieces))
    parts = ask(client, speech.name, True, stream_options={"include_usage": True})
    assert servers[speech.name].requests[0].path == speech.paths[1]
    assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == "four"
    assert (parts[0].choices[0].delta.role, parts[-2].choices[0].finish_reason) == ("assistant", "stop")
    assert len({part.id for part in parts}) == 1
    last = parts[-1].usage
    assert (last.prompt_tokens, last.completion_tokens) == (100, 20)
    assert last.model_dump()["cost"] == pytest.approx(speech.cost_usd)
    call = house.calls()[-1]
    assert (call["cost_usd"], call["cost_estimated"], call["error"]) == (
        pytest.approx(speech.cost_usd),
        False,
        None,
    )
    assert call["first_token_ms"] is not None


@BOTH
@EITHER_WAY
def test_tools_go_there_and_back(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], speech: Speech, streaming: bool
) -> None:
    """A call, its result in the next request, whole and put together by the client from a stream."""
    servers[speech.name].will(speech.calls()[streaming], speech.well())
    if streaming:
        with client.chat.completions.stream(model=speech.name, messages=HELLO, tools=TOOLS) as chunks:
            choice: Any = chunks.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(model=speech.name, messages=HELLO, tools=TOOLS).choices[0]
    call = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls"
    assert (call.id, call.function.name, orjson.loads(call.function.arguments)) == ("c1", "add", {"a": 2})
    said = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
    said["tool_calls"] = [
        {**each, "function": {key: each["function"][key] for key in ("name", "arguments")}}
        for each in said["tool_calls"]
    ]
    result = {"role": "tool", "tool_call_id": "c1", "content": '{"sum": 4}'}
    client.chat.completions.create(model=speech.name, messages=[*HELLO, said, result], tools=TOOLS)
    sent = servers[speech.name].requests[-1].body
    if speech.name == "gemini":
        call_part = {
            "functionCall": {"id": "c1", "name": "add", "args": {"a": 2}},
            "thoughtSignature": "c2ln",
        }
        answered = {"functionResponse": {"id": "c1", "name": "add", "response": {"sum": 4}}}
        assert [turn["parts"] for turn in sent["contents"]] == [[{"text": "hello"}], [call_part], [answered]]
        declared = {"name": "add", "parametersJsonSchema": PARAMETERS}
        assert sent["tools"] == [{"functionDeclarations": [declared]}]
    else:
        use = {"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": 2}}}
        answered = {"toolResult": {"toolUseId": "c1", "content": [{"text": '{"sum": 4}'}]}}
        assert [turn["content"] for turn in sent["messages"]] == [[{"text": "hello"}], [use], [answered]]
        spec = {"name": "add", "inputSchema": {"json": PARAMETERS}}
        assert sent["toolConfig"] == {"tools": [{"toolSpec": spec}]}


@pytest.mark.parametrize(
    ("speech", "reason", "finish"),
    [(speech, *end) for speech in SPEECHES for end in speech.ends],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_end_has_its_finish_reason(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], speech: Speech, reason: str, finish: str
) -> None:
    """Programs branch on it: a cut answer or a refusal must not look like a whole one."""
    servers[speech.name].will(*speech.ending(reason))
    assert ask(client, speech.name, False).choices[0].finish_reason == finish
    assert ask(client, speech.name, True)[-1].choices[0].finish_reason == finish


ERRORS: list[tuple[int, str, type[openai.APIStatusError], int, str | None]] = [
    (400, "max tokens is too large", openai.BadRequestError, 400, None),
    (404, "no such model", openai.NotFoundError, 404, None),
    (401, "bad key", openai.InternalServerError, 502, "upstream_failed"),
    (403, "not allowed", openai.InternalServerError, 502, "upstream_failed"),
    (429, "slow down", openai.RateLimitError, 429, "upstream_failed"),
    (500, "internal", openai.InternalServerError, 502, "upstream_failed"),
    (503, "unavailable", openai.InternalServerError, 503, "upstream_failed"),
]


@BOTH
@EITHER_WAY
@pytest.mark.parametrize(
    ("code", "words", "raised", "seen", "shown"), ERRORS, ids=lambda value: str(value)[:12]
)
def test_errors_are_the_exceptions_that_clients_expect(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech, code: int, words: str,
    raised: type[openai.APIStatusError], seen: int, shown: str | None, streaming: bool,
) -> None:  # fmt: skip
    """Status, code and `retry-after` survive; keys and addresses do not."""
    leaking = f"{words} for {KEY} at {servers[speech.name].url}{speech.paths[streaming].removeprefix('/v1')}"
    servers[speech.name].will(status(code, speech.error(code, leaking), "retry-after: 7\r\n"))
    with pytest.raises(raised) as caught:
        ask(client, speech.name, streaming)
    assert (caught.value.status_code, caught.value.code) == (seen, shown)
    if code in (429, 503):
        assert caught.value.response.headers["retry-after"] == "7"
    if code in (400, 404):
        assert words in caught.value.message
    assert KEY not in caught.value.response.text
    assert servers[speech.name].url not in caught.value.response.text
    assert house.calls()[-1]["cost_usd"] == 0.0


@BOTH
@EITHER_WAY
def test_a_prompt_that_is_too_long_is_known_as_that(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech, streaming: bool
) -> None:
    """Clients and `fallbacks_on` go by it."""
    words = {
        "gemini": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        "bedrock": "Input is too long for requested model.",
    }[speech.name]
    servers[speech.name].will(status(400, speech.error(400, words)))
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, speech.name, streaming)
    assert caught.value.code == "context_length_exceeded"
    assert house.calls()[-1]["error"] == "context_overflow"


@BOTH
@EITHER_WAY
@pytest.mark.parametrize("kind", range(5))
def test_what_is_no_answer_goes_to_the_fallback(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech, streaming: bool, kind: int
) -> None:  # fmt: skip
    """Another dialect's answer, nonsense, silence, a hung-up connection, an overload after the head."""
    overload = stream(speech.told) if streaming else status(200, {"error": {"code": 503}})
    scripts = (answer(), status(200, b"x"), silent(), hang_up(), overload)
    servers[speech.name].will(scripts[kind])
    got = ask(client, f"task/by-{speech.name}", streaming)
    assert (got[0] if streaming else got).model == "small"
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["attempts"]) == ("small", True, 2)


@BOTH
@pytest.mark.parametrize("cut", range(4))
def test_a_truncated_stream_raises_in_the_client(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech, cut: int
) -> None:
    """Without a reason why the model ended, whatever the connection says, the answer is half an answer."""
    half = speech.half
    scripts = (stream(*half), cut_stream(*half), stream(*half, speech.told), silent_after(*half))
    servers[speech.name].will(scripts[cut])
    with pytest.raises(openai.APIError, match="ended before its answer was complete"):
        ask(client, speech.name, True)
    assert (house.calls()[-1]["error"], house.calls()[-1]["cost_estimated"]) == ("incomplete", True)


@BOTH
@EITHER_WAY
def test_an_oversized_answer_is_cut_off(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], speech: Speech, streaming: bool
) -> None:
    """Memory is bounded: neither an event nor a whole answer grows beyond its limit."""
    if streaming:
        huge = chunked(
            b"data: " + b"x" * 65_000 if speech.name == "gemini" else b"\0\0\xff\xff" + b"x" * 65_000
        )
        servers[speech.name].will(raw(head() + b"transfer-encoding: chunked\r\n\r\n" + huge * 40))
    else:
        servers[speech.name].will(raw(head() + b"content-length: 99999999999\r\n\r\n{"))
    with pytest.raises(openai.InternalServerError):
        ask(client, speech.name, streaming)


@BOTH
def test_a_client_that_leaves_a_stream_cuts_the_upstream_and_is_charged(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech
) -> None:
    """Within a second; what had been written is paid for, by an estimate."""
    servers[speech.name].will(silent_after(*speech.half))
    before = len(house.calls())
    left_s = time.monotonic()
    with client.chat.completions.create(model=speech.name, messages=HELLO, stream=True) as chunks:
        next(iter(chunks))
    wait_until(lambda: len(servers[speech.name].left_after_s) == 1)
    assert time.monotonic() - left_s < 1.5
    wait_until(lambda: len(house.calls()) == before + 1)
    call = house.calls()[-1]
    assert call["error"] is None
    assert call["cost_usd"] > 0
    assert call["cost_estimated"]  # counts of half an answer are not its usage


@BOTH
def test_an_attempt_that_is_cancelled_ends_at_the_upstream(
    servers: dict[str, UpstreamServer], house: House, client: openai.OpenAI, speech: Speech
) -> None:
    """An answer that nobody wants any more is cut, so that the upstream stops working."""
    servers[speech.name].will(silent())
    with (
        client.with_options(timeout=0.2) as hasty,
        pytest.raises(openai.APITimeoutError),
    ):
        hasty.chat.completions.create(model=speech.name, messages=HELLO)
    wait_until(lambda: len(servers[speech.name].left_after_s) == 1)
    assert servers[speech.name].left_after_s[0] < 0.2 + 1.0 + 1.0
    wait_until(lambda: house.calls()[-1]["cost_estimated"])


UNSPEAKABLE: list[dict[str, Any]] = [
    {"logprobs": True},
    {"logit_bias": {"5": 1}},
    {"modalities": ["text", "audio"]},
    {"parallel_tool_calls": False, "tools": TOOLS},
    {"web_search_options": {}},
    {"functions": [{"name": "add"}]},
    {"response_format": {"type": "grammar"}},
    {"reasoning_effort": "enormous"},
    {"service_tier": "scale"},
    {"tool_choice": {"type": "custom", "custom": {"name": "x"}}, "tools": TOOLS},
]


@BOTH
@pytest.mark.parametrize("fields", UNSPEAKABLE, ids=lambda fields: next(iter(fields)))
def test_what_an_api_cannot_say_is_named_and_never_left_out(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, speech: Speech, fields: dict[str, Any]
) -> None:  # fmt: skip
    """The client reads which field it was; the assigned model is charged with the failure, and costs nothing."""
    with pytest.raises(openai.BadRequestError, match=next(iter(fields))) as caught:
        client.chat.completions.create(model=speech.name, messages=HELLO, extra_body=fields)
    assert caught.value.code == "ineligible"
    call = house.calls()[-1]
    assert (call["error"], call["served_model"], call["cost_usd"]) == ("ineligible", speech.name, 0.0)
    assert not servers[speech.name].requests
    with pytest.raises(openai.BadRequestError, match="no embeddings endpoint"):
        client.embeddings.create(model=speech.name, input="x")


def test_three_dialects_serve_one_experiment(client: openai.OpenAI, house: House) -> None:
    """What a comparison is for: the same requests, three providers, all costs in one ledger."""
    seen = {client.chat.completions.create(model="task/math", messages=HELLO).model for _ in range(40)}
    assert seen == {"small", "gemini", "bedrock"}
    costs = {call["served_model"]: call["cost_usd"] for call in house.calls()[-40:]}
    assert costs == {"small": pytest.approx(140e-6), **{s.name: pytest.approx(s.cost_usd) for s in SPEECHES}}


@BOTH
def test_an_upstream_that_nobody_runs_is_a_connect_error(speech: Speech) -> None:
    """The same words as for every dialect."""
    config = document({speech.name: f"http://127.0.0.1:{unused_port()}"}, default=speech.name)
    config["models"][speech.name] |= {"dialect": speech.name}
    opened = House(config, LIMITS)
    try:
        with (
            serving(opened) as base_url,
            openai.OpenAI(base_url=base_url, api_key="k", max_retries=0) as asking,
            pytest.raises(openai.InternalServerError),
        ):
            asking.chat.completions.create(model=speech.name, messages=HELLO)
        assert opened.calls()[-1]["error"] == "connect_error"
    finally:
        opened.close()
