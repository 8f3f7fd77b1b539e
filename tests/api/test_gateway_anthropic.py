"""An Anthropic upstream behind the gateway, as the official OpenAI client sees it."""

from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from experiments.definition.experiment import Experiment
from router.availability.fleet import Fleet
from router.config.model import Model
from router.config.price import Price
from router.config.prices import list_price
from router.transport.transport import BrokenAnswer
from router.upstream.dialects.anthropic_stream import MessageDecoder
from tests.servers.dialects import (
    called,
    message_events,
    messages,
    named_event,
    said,
    text,
)
from tests.servers.house import KEY, SIGNER, House, document, upstreams
from tests.servers.upstream import DONE, UpstreamServer, answer, cut_stream, event, status, stream

pytestmark = pytest.mark.process
HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts
TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
PRICE = {"input": 3.0, "output": 15.0, "cached_input": 0.3, "cache_write": 3.75, "cache_write_1h": 6.0}
COST_USD = (10 * 3 + 70 * 0.3 + 15 * 3.75 + 5 * 6 + 20 * 15) / 1e6
"""Of the usual usage of tests.servers.dialects."""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """`claude` speaks Anthropic's API, `small` OpenAI's."""
    with upstreams("claude", "small") as running:
        yield running


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine whose default is the Anthropic model, and an experiment in which it is the candidate."""
    config = document({name: server.url for name, server in servers.items()}, default="claude")
    config["models"]["claude"] |= {"dialect": "anthropic", "provider": "anthropic", "price": PRICE}
    config["tasks"]["math"] = {"default": "small", "fallbacks": []}
    opened = House(config)
    opened.start(Experiment(name="duel", task="math", candidates=("small", "claude"), mode="ab"))
    yield opened
    opened.close()


@pytest.fixture
def client(url: str, servers: dict[str, UpstreamServer]) -> Iterator[openai.OpenAI]:
    """The official client; the upstreams behave well again."""
    servers["claude"].will(messages())
    servers["small"].will(answer())
    for server in servers.values():
        server.requests.clear()
    with openai.OpenAI(base_url=url, api_key="pk-client", max_retries=0, timeout=10) as opened:
        yield opened


def test_a_plain_answer_is_translated_and_charged_by_kind(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """Path, headers and version as the API wants them; cached and written tokens at their own prices."""
    got = client.chat.completions.with_raw_response.create(model="task/support", messages=HELLO, user="ada")
    reply = got.parse()
    request = servers["claude"].requests[0]
    assert (request.path, request.headers["x-api-key"]) == ("/v1/messages", KEY)
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.body["model"] == "claude-upstream"
    assert (reply.model, reply.object, reply.choices[0].finish_reason) == (
        "claude",
        "chat.completion",
        "stop",
    )
    assert (reply.choices[0].message.role, reply.choices[0].message.content) == ("assistant", "four")
    assert SIGNER.verify(reply.id) is not None
    assert reply.created > 1_700_000_000
    usage = reply.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 20, 120)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 70
    assert usage.model_dump()["cost"] == pytest.approx(COST_USD)
    assert house.calls()[-1]["cost_usd"] == pytest.approx(COST_USD)
    assert house.calls()[-1]["price_version"] == list_price("x", _priced()).version  # type: ignore[union-attr]  # reason: it has a price


def _priced() -> Model:
    return Model(base_url="http://127.0.0.1:9/v1", price=Price(**PRICE))


def test_a_stream_is_translated_and_charged_the_same(client: openai.OpenAI, house: House) -> None:
    """The chunks that OpenAI would send, and the cost to the last cent as for the whole answer."""
    with client.chat.completions.create(
        model="claude", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        parts = list(chunks)
    assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == "four"
    assert (parts[0].choices[0].delta.role, parts[-2].choices[0].finish_reason) == ("assistant", "stop")
    assert len({part.id for part in parts}) == 1
    assert {part.model for part in parts} == {"claude"}
    last = parts[-1].usage
    assert last is not None
    assert (last.prompt_tokens, last.completion_tokens) == (100, 20)
    assert last.model_dump()["cost"] == pytest.approx(COST_USD)
    call = house.calls()[-1]
    assert (call["cost_usd"], call["cost_estimated"], call["error"]) == (pytest.approx(COST_USD), False, None)
    assert call["first_token_ms"] is not None


def test_tools_go_there_and_back(client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
    """Two calls at once beside text, as the client's types have them."""
    use = [{"type": "tool_use", "id": f"toolu_{n}", "name": "add", "input": {"a": n}} for n in (1, 2)]
    servers["claude"].will(messages(text("let me see"), *use, stop_reason="tool_use"))
    choice = client.chat.completions.create(model="claude", messages=HELLO, tools=TOOLS).choices[0]
    calls = choice.message.tool_calls
    assert calls is not None
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "let me see")
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [  # type: ignore[union-attr]  # reason: of functions
        ("toolu_1", "add", '{"a":1}'), ("toolu_2", "add", '{"a":2}'),
    ]  # fmt: skip


def test_streamed_tool_calls_are_put_together_by_the_client(
    client: openai.OpenAI, servers: dict[str, UpstreamServer]
) -> None:
    """Pieces of arguments by call; a call without arguments has an empty object."""
    events = message_events(
        said("see"),
        called("toolu_1", "add", "", '{"a":', "2}"),
        called("toolu_2", "now", ""),
        stop="tool_use",
    )
    servers["claude"].will(stream(*events))
    with client.chat.completions.stream(model="claude", messages=HELLO, tools=TOOLS) as chunks:
        choice = chunks.get_final_completion().choices[0]
    calls = choice.message.tool_calls
    assert calls is not None
    assert (choice.message.content, choice.finish_reason) == ("see", "tool_calls")
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("toolu_1", "add", '{"a":2}'), ("toolu_2", "now", "{}"),
    ]  # fmt: skip


def test_thinking_is_shown_beside_the_text(client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
    """Whole and streamed under the name that clients know from other providers; signatures end here."""
    block = {"type": "thinking", "thinking": "two and two", "signature": "s"}
    deltas = (
        {"type": "thinking_delta", "thinking": "two and two"},
        {"type": "signature_delta", "signature": "s"},
    )
    events = message_events(({"type": "thinking", "thinking": "", "signature": ""}, deltas), said("four"))
    servers["claude"].will(
        messages(block, {"type": "redacted_thinking", "data": "x"}, text("four")), stream(*events)
    )
    message = client.chat.completions.create(model="claude", messages=HELLO).choices[0].message
    assert (message.content, message.model_dump()["reasoning_content"]) == ("four", "two and two")
    parts = list(client.chat.completions.create(model="claude", messages=HELLO, stream=True))
    deltas_seen = [part.choices[0].delta.model_dump() for part in parts]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas_seen) == "two and two"
    assert "".join(delta.get("content") or "" for delta in deltas_seen) == "four"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"),
     ("model_context_window_exceeded", "length"), ("something_new", "stop")],
)  # fmt: skip
def test_every_end_has_its_finish_reason(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], reason: str, finish: str
) -> None:
    """Programs branch on it: a cut answer or a refusal must not look like a whole one."""
    servers["claude"].will(messages(stop_reason=reason), stream(*message_events(said("x"), stop=reason)))
    whole = client.chat.completions.create(model="claude", messages=HELLO)
    parts = list(client.chat.completions.create(model="claude", messages=HELLO, stream=True))
    assert (whole.choices[0].finish_reason, parts[-1].choices[0].finish_reason) == (finish, finish)


ERRORS = [
    (
        400,
        "invalid_request_error",
        "prompt is too long: 9 > 8",
        openai.BadRequestError,
        "context_length_exceeded",
    ),
    (400, "invalid_request_error", "max_tokens: too large", openai.BadRequestError, None),
    (404, "not_found_error", "model: x", openai.NotFoundError, None),
    (429, "rate_limit_error", "slow down", openai.RateLimitError, "upstream_failed"),
    (529, "overloaded_error", "Overloaded", openai.InternalServerError, "upstream_failed"),
    (401, "authentication_error", "invalid x-api-key", openai.InternalServerError, "upstream_failed"),
]


@pytest.mark.parametrize(("code", "kind", "words", "raised", "shown"), ERRORS)
@pytest.mark.parametrize("streaming", [False, True])
def test_errors_are_the_exceptions_that_clients_expect(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], code: int, kind: str, words: str,
    raised: type[openai.APIStatusError], shown: str | None, streaming: bool,
) -> None:  # fmt: skip
    """Status, code and `retry-after` survive; 529, which HTTP does not know, becomes 503."""
    body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    servers["claude"].will(status(code, body, "retry-after: 7\r\n"))
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model="claude", messages=HELLO, stream=streaming)  # type: ignore[call-overload]  # reason: either kind
    assert caught.value.code == shown
    if code in (429, 529):
        assert caught.value.response.headers["retry-after"] == "7"
        assert caught.value.status_code == (429 if code == 429 else 503)
    if code == 400:
        assert words in caught.value.message


def test_an_overload_after_the_head_still_leaves_the_request_to_another_model(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """The API reports it inside a stream with status 200; nothing had reached the client yet."""
    begun = message_events(said("x"))[0]
    overload = named_event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    servers["claude"].will(stream(begun, overload))
    house.dispatcher.fleet = Fleet()  # earlier tests were asked to come back later
    parts = list(client.chat.completions.create(model="task/support", messages=HELLO, stream=True))
    assert {part.model for part in parts} == {"small"}
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["attempts"]) == ("small", True, 2)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_truncated_stream_raises_in_the_client(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, cut: int
) -> None:
    """Without `message_stop` or a stop reason, whatever the connection says, the answer is half an answer."""
    events = message_events(said("fo", "ur"))
    error = named_event({"type": "error", "error": {"type": "api_error", "message": KEY}})
    scripts = (stream(*events[:-3]), cut_stream(*events[:-3]), stream(*events[:-3], error))
    servers["claude"].will(scripts[cut])
    with pytest.raises(openai.APIError, match="ended before its answer was complete") as caught:
        list(client.chat.completions.create(model="claude", messages=HELLO, stream=True))
    assert KEY not in str(caught.value)
    assert (house.calls()[-1]["error"], house.calls()[-1]["cost_estimated"]) == ("incomplete", True)


def test_what_its_api_cannot_say_goes_to_a_fallback_or_ends_as_a_400(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """The assigned model is charged with it, the client reads which field it was."""
    got = client.chat.completions.create(model="task/support", messages=HELLO, n=2)
    assert (got.model, house.calls()[-1]["diverted"]) == ("small", True)
    for streaming in (False, True):
        with pytest.raises(openai.BadRequestError, match="n has no counterpart") as caught:
            client.chat.completions.create(model="claude", messages=HELLO, n=2, stream=streaming)  # type: ignore[call-overload]  # reason: either kind
        assert caught.value.code == "ineligible"
        call = house.calls()[-1]
        assert (call["error"], call["served_model"], call["cost_usd"]) == ("ineligible", "claude", 0.0)
    with pytest.raises(openai.BadRequestError, match="no embeddings endpoint"):
        client.embeddings.create(model="claude", input="x")
    assert not servers["claude"].requests


def test_both_dialects_serve_one_experiment(client: openai.OpenAI, house: House) -> None:
    """What a comparison is for: the same requests, two providers, the costs of both in one ledger."""
    seen = {client.chat.completions.create(model="task/math", messages=HELLO).model for _ in range(24)}
    assert seen == {"small", "claude"}
    costs = {call["served_model"]: call["cost_usd"] for call in house.calls()[-24:]}
    assert costs == {"small": pytest.approx(140e-6), "claude": pytest.approx(COST_USD)}


@pytest.mark.parametrize(
    "data",
    [b"[]", b"x", b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta"}}',
     b'{"type":"error","error":{}}',
     b'{"type":"content_block_start","index":0}', b'{"type":"message_delta"}'],
)  # fmt: skip
def test_an_event_that_cannot_be_of_such_a_stream_breaks_it(data: bytes) -> None:
    """Half-understood events would show half an answer."""
    with pytest.raises(BrokenAnswer):
        MessageDecoder(0).feed(data)


def test_events_of_the_future_are_left_out() -> None:
    """The API asks its clients for that."""
    decoder = MessageDecoder(0)
    for unknown in ({"type": "ping"}, {"type": "new_thing", "x": 1}, {}):
        assert list(decoder.feed(orjson.dumps(unknown))) == []
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}}
    assert list(decoder.feed(orjson.dumps(delta))) == []


def test_a_foreign_answer_is_no_answer(client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
    """An upstream that speaks OpenAI's dialect is configured wrongly; its answer is not taken for an empty one."""
    for script in (answer(), stream(event({"choices": []}), DONE)):
        servers["claude"].will(script)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="claude", messages=HELLO)
