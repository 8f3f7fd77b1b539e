"""The gateway as the official OpenAI client sees it: answers, streams, tools, headers, models."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from experiments.definition.experiment import Experiment
from router.transport.aiohttp_transport import AiohttpTransport
from router.transport.transport import BrokenAnswer, Deadlines, Upstream
from tests.servers.house import KEY, SIGNER, House, open_house
from tests.servers.upstream import (
    DONE,
    FINISH,
    USAGE,
    UpstreamServer,
    answer,
    chunk,
    completion,
    event,
    head,
    raw,
    status,
    stream,
    whole,
)

pytestmark = pytest.mark.process
HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts
TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine with one experiment by conversations on the task `math`."""
    with open_house({name: server.url for name, server in servers.items()}) as opened:
        opened.start(
            Experiment(name="duel", task="math", candidates=("big", "small"), unit="conversation", mode="ab")
        )
        yield opened


@pytest.fixture
def client(url: str, servers: dict[str, UpstreamServer]) -> Iterator[openai.OpenAI]:
    """The official client; the upstreams behave well again."""
    for server in servers.values():
        server.will(answer())
        server.requests.clear()
    with openai.OpenAI(base_url=url, api_key="pk-client", max_retries=0, timeout=10) as opened:
        yield opened


def test_a_plain_answer_is_named_by_its_decision(
    client: openai.OpenAI, house: House, servers: dict[str, UpstreamServer]
) -> None:
    """id, model, cost and headers as the contract says; the upstream sees its own key and not the client's."""
    got = client.chat.completions.with_raw_response.create(model="task/support", messages=HELLO, user="ada")
    reply, headers = got.parse(), got.headers
    cost = (100 * 10 + 20 * 30) / 1e6
    assert (reply.model, reply.choices[0].message.content) == ("big", "four")
    assert reply.id == headers["x-pointsman-decision"]
    assert SIGNER.verify(reply.id) is not None
    assert reply.usage is not None
    assert reply.usage.model_dump()["cost"] == pytest.approx(cost)
    assert float(headers["x-pointsman-cost"]) == pytest.approx(cost)
    assert (headers["x-pointsman-task"], headers["x-pointsman-reason"]) == ("support", "champion")
    assert not headers.keys() & {
        f"x-pointsman-{name}" for name in ("experiment", "fallback-from", "degraded")
    }
    request = servers["big"].requests[0]
    assert (request.headers["authorization"], request.body["user"]) == (f"Bearer {KEY}", "ada")


def test_an_experiments_answer_says_candidate_and_propensity(client: openai.OpenAI, house: House) -> None:
    """One conversation keeps its candidate; among many both candidates serve."""
    seen: dict[str, set[str | None]] = {}
    for number in range(24):
        got = client.chat.completions.with_raw_response.create(
            model="task/math", messages=HELLO, extra_headers={"x-session-id": f"talk-{number % 12}"}
        )
        headers = got.headers
        assert (headers["x-pointsman-experiment"], headers["x-pointsman-propensity"]) == ("duel", "0.5")
        assert headers["x-pointsman-candidate"] == got.parse().model
        seen.setdefault(f"talk-{number % 12}", set()).add(headers["x-pointsman-candidate"])
    assert all(len(models) == 1 for models in seen.values())
    assert set().union(*seen.values()) == {"big", "small"}


def test_a_covariate_comes_by_header_or_metadata_and_reaches_the_ledger(
    client: openai.OpenAI, house: House
) -> None:
    """What is known of a conversation beforehand is worth nothing unless the statistics get it."""
    numbers = {}
    for known, options in (
        (2.5, {"extra_headers": {"x-session-id": "known-1", "x-pointsman-covariate": "2.5"}}),
        (-4.0, {"extra_headers": {"x-session-id": "known-2"}, "metadata": {"covariate": "-4"}}),
        (None, {"extra_headers": {"x-session-id": "known-3"}}),
    ):
        got = client.chat.completions.create(model="task/math", messages=HELLO, **options)
        decision = SIGNER.verify(got.id)
        assert decision is not None
        numbers[decision.number] = known
    house.engine.recorder.flush()
    kept = {row["number"]: row["covariate"] for row in house.store.export("decisions")}
    assert {number: kept[number] for number in numbers} == numbers
    with pytest.raises(openai.BadRequestError, match=r"x-pointsman-covariate == 'often', must be") as caught:
        client.chat.completions.create(
            model="task/math", messages=HELLO, extra_headers={"x-pointsman-covariate": "often"}
        )
    assert caught.value.param == "x-pointsman-covariate"


def test_a_pinned_model_stays_outside_experiments(client: openai.OpenAI) -> None:
    """Whoever names a model, or overrides by header, gets it, with the reason `override`."""
    for options in (
        {"model": "small"},
        {"model": "task/math", "extra_headers": {"x-pointsman-override": "small"}},
    ):
        got = client.chat.completions.with_raw_response.create(messages=HELLO, user="ada", **options)  # type: ignore[call-overload]  # reason: two ways to say the same
        assert got.parse().model == "small"
        assert got.headers["x-pointsman-reason"] == "override"
        assert "x-pointsman-experiment" not in got.headers


def test_auto_is_classified_by_the_newest_message(client: openai.OpenAI) -> None:
    """The rules' task, else the default one."""
    for content, task, reason in (
        ("my invoice", "support/billing", "champion"),
        ("hi", "default", "unrouted"),
    ):
        got = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": content}]
        )
        assert (got.headers["x-pointsman-task"], got.headers["x-pointsman-reason"]) == (task, reason)


def test_every_chunk_of_a_stream_has_the_decisions_id(client: openai.OpenAI) -> None:
    """Of a stream, the id is what every client library keeps."""
    got = client.chat.completions.with_raw_response.create(model="task/support", messages=HELLO, stream=True)
    chunks = list(got.parse())
    assert {part.id for part in chunks} == {got.headers["x-pointsman-decision"]}
    assert {part.model for part in chunks} == {"big"}
    assert "".join(part.choices[0].delta.content or "" for part in chunks) == "four"
    assert got.headers["content-type"].startswith("text/event-stream")
    assert all(part.usage is None for part in chunks)


def test_a_stream_with_usage_ends_with_usage_and_cost(client: openai.OpenAI, house: House) -> None:
    """Asked for, the usage chunk comes as the last one, as with OpenAI."""
    with client.chat.completions.create(
        model="big", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        parts = list(chunks)
    last = parts[-1].usage
    assert last is not None
    assert (last.prompt_tokens, last.completion_tokens, parts[-1].choices) == (100, 20, [])
    assert last.model_dump()["cost"] == pytest.approx(0.0016)
    assert house.calls()[-1]["cost_usd"] == pytest.approx(0.0016)


def test_streams_work_with_the_asynchronous_client_side_by_side(url: str, client: openai.OpenAI) -> None:
    """Twenty streams at once, each whole and each with its own id."""

    async def one(asynchronous: openai.AsyncOpenAI) -> tuple[set[str], str]:
        got = await asynchronous.chat.completions.create(model="task/support", messages=HELLO, stream=True)
        parts = [part async for part in got]
        return {part.id for part in parts}, "".join(part.choices[0].delta.content or "" for part in parts)

    async def all_of_them() -> list[tuple[set[str], str]]:
        async with openai.AsyncOpenAI(base_url=url, api_key="pk-client", max_retries=0) as asynchronous:
            return await asyncio.gather(*(one(asynchronous) for _ in range(20)))

    results = asyncio.run(all_of_them())
    assert {text for _, text in results} == {"four"}
    assert len(set().union(*(ids for ids, _ in results))) == 20


def test_tools_pass_both_ways(client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
    """A call that the model makes arrives as it was made, and the tool's answer goes back as it was given."""
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":2,"b":2}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    servers["big"].will(answer(choices=[choice]), answer())
    got = client.chat.completions.create(model="big", messages=HELLO, tools=TOOLS, tool_choice="required")
    calls = got.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].model_dump(exclude_none=True) == call
    reply: Any = {"role": "tool", "tool_call_id": "call_1", "content": "4"}
    client.chat.completions.create(model="big", messages=[*HELLO, message, reply], tools=TOOLS)  # type: ignore[list-item]  # reason: as above
    first, second = (request.body for request in servers["big"].requests)
    assert (first["tools"], first["tool_choice"]) == (TOOLS, "required")
    assert second["messages"] == [*HELLO, message, reply]


def test_tool_calls_are_streamed_as_they_come(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """Pieces of arguments pass unchanged; they count as output when no usage comes."""

    def piece(**call: object) -> bytes:
        delta = {"tool_calls": [{"index": 0, **call}]}
        return event(chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]))

    started = piece(id="call_1", type="function", function={"name": "add", "arguments": ""})
    pieces = [piece(function={"arguments": part}) for part in ('{"a":', "2}")]
    servers["big"].will(stream(started, *pieces, event(chunk(finish="tool_calls")), DONE))
    with client.chat.completions.stream(model="big", messages=HELLO, tools=TOOLS) as chunks:
        calls = chunks.get_final_completion().choices[0].message.tool_calls
    assert calls is not None
    assert (calls[0].function.name, calls[0].function.arguments) == ("add", '{"a":2}')
    assert house.calls()[-1]["output_tokens"] == 3


def test_models_lists_what_may_be_asked_for(client: openai.OpenAI) -> None:
    """`auto`, the tasks and the models, in the order of the file."""
    listed = list(client.models.list())
    names = ["auto", "task/support", "task/support/billing", "task/math", "big", "small"]
    assert [model.id for model in listed] == names
    assert listed[-1].owned_by == "openai"
    for name in names:
        client.chat.completions.create(model=name, messages=HELLO)


def test_a_fallback_is_named_in_the_headers(
    client: openai.OpenAI, servers: dict[str, UpstreamServer]
) -> None:
    """The served model may differ from the decided one; both are told, in streams too."""
    servers["big"].will(status(503))
    for streaming in (False, True):
        got = client.chat.completions.with_raw_response.create(
            model="task/support", messages=HELLO, stream=streaming
        )  # type: ignore[call-overload]  # reason: either kind
        assert got.headers["x-pointsman-fallback-from"] == "big"
        models = {part.model for part in got.parse()} if streaming else {got.parse().model}
        assert models == {"small"}


def test_odd_unicode_passes_byte_for_byte(client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
    """Both directions, whole and streamed: emoji, right-to-left, NUL, line separators, JSON within text."""
    odd = 'a\u0000b\u2028c\u2029 🦔 שלום "{}" \\n data: [DONE]\n\ndata: x'
    servers["big"].will(answer(odd), stream(event(chunk(odd)), FINISH, DONE))
    messages: Any = [{"role": "user", "content": odd}]
    assert client.chat.completions.create(model="big", messages=messages).choices[0].message.content == odd
    parts = list(client.chat.completions.create(model="big", messages=messages, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == odd
    assert [request.body["messages"] for request in servers["big"].requests] == [messages, messages]


def test_an_endless_answer_is_refused_at_its_bound(servers: dict[str, UpstreamServer]) -> None:
    """Neither a length nor the lack of one makes the transport keep more than its limit."""
    body = orjson.dumps(completion("x" * 200_000))
    pieces = b"".join(b"%x\r\n" % 50_000 + b"y" * 50_000 + b"\r\n" for _ in range(20))
    unframed = head() + b"connection: close\r\n\r\n" + b"z" * 1_000_000
    for data in (whole(body), head() + b"transfer-encoding: chunked\r\n\r\n" + pieces, unframed):
        servers["big"].will(raw(data))

        async def call() -> None:
            transport = AiohttpTransport(max_reply_bytes=100_000)
            target = Upstream(servers["big"].url + "/chat/completions")
            try:
                await transport.call(target, b"{}", Deadlines(2, 2, 5))
            finally:
                await transport.close()

        with pytest.raises(BrokenAnswer, match="larger than 100000 bytes"):
            asyncio.run(call())


def test_usage_of_the_upstream_is_kept_beside_the_cost(
    client: openai.OpenAI, servers: dict[str, UpstreamServer]
) -> None:
    """Details such as cached tokens are the client's business."""
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 60}, "cost": 9.0}
    servers["big"].will(answer(usage=usage))
    got = client.chat.completions.create(model="big", messages=HELLO).usage
    assert got is not None
    assert got.prompt_tokens_details is not None
    assert got.prompt_tokens_details.cached_tokens == 60
    assert got.model_dump()["cost"] == pytest.approx(0.0016)
