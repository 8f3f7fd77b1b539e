"""Streams against real misbehaving servers: complete or visibly not, metered either way."""

from collections.abc import Iterator

import orjson
import pytest

from router.upstream.chat import read_chat
from tests.servers.asking import COST, ask_stream, only_call, quick_house, wait_until
from tests.servers.house import House, upstreams
from tests.servers.upstream import (
    DONE,
    FINISH,
    GOOD_STREAM,
    ROLE,
    TEXT,
    USAGE,
    USAGE_EVENT,
    Script,
    UpstreamServer,
    chunk,
    cut_stream,
    event,
    silent_after,
    stream,
    unframed_stream,
)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """An upstream for each of the two models."""
    with upstreams("big", "small") as running:
        yield running


@pytest.fixture
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """A gateway's inside over two well-behaved upstreams."""
    with quick_house(servers) as opened:
        yield opened


def test_a_stream_carries_the_decision_in_every_chunk(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """The id is the one field that every client keeps; the usage chunk was not asked for."""
    events, decision = ask_stream(house)
    assert [part["id"] for part in events[:-1]] == [decision.id] * 4
    assert {part["model"] for part in events[:-1]} == {"big"}
    assert not any("usage" in part for part in events[:-1])
    assert events[-1] == "[DONE]"
    call = only_call(house)
    assert (call["error"], call["cost_estimated"], call["cost_usd"]) == (
        None,
        False,
        pytest.approx(COST["big"]),
    )
    assert 0 < call["first_token_ms"] <= call["latency_ms"]


@pytest.mark.parametrize(
    ("script", "estimated"),
    [
        (stream(*GOOD_STREAM), False),
        (stream(*TEXT, event(chunk(finish="stop", usage=USAGE)), DONE), False),
        (
            stream(
                event(chunk("fo", usage={**USAGE, "completion_tokens": 1})), *TEXT, FINISH, USAGE_EVENT, DONE
            ),
            False,
        ),
        (stream(*TEXT, FINISH, DONE), True),
        (stream(*TEXT, FINISH, event(chunk(choices=[], usage={"prompt_tokens": True})), DONE), True),
    ],
)
def test_who_asks_for_usage_gets_it_in_one_last_chunk_with_its_cost(
    servers: dict[str, UpstreamServer], house: House, script: Script, estimated: bool
) -> None:
    """Upstreams put usage into an own chunk, the last one or every one; clients see OpenAI's way."""
    servers["big"].will(script)
    events, decision = ask_stream(house, stream_options={"include_usage": True})
    usage = events[-2]["usage"]
    assert (events[-2]["choices"], events[-2]["id"], events[-2]["model"]) == ([], decision.id, "big")
    assert all(part["usage"] is None for part in events[:-2])
    assert usage.get("estimated", False) is estimated
    assert usage["cost"] == pytest.approx((5 * 10 + 1 * 30) / 1e6 if estimated else COST["big"], rel=0.5)
    assert only_call(house)["cost_usd"] == usage["cost"]


COMPLETE = [
    stream(*GOOD_STREAM, DONE),
    stream(*TEXT, FINISH),
    stream(*TEXT, FINISH, USAGE_EVENT),
    cut_stream(*TEXT, FINISH),
    unframed_stream(*TEXT, FINISH),
    unframed_stream(*TEXT, FINISH, DONE[:-2]),
    stream(*TEXT, DONE),
    stream(*TEXT, FINISH, event(b"garbage")),
    silent_after(*TEXT, FINISH),
    stream(b": hello\n\n", b"".join(GOOD_STREAM)),
    stream(*[bytes([byte]) for byte in b"".join([ROLE, FINISH, DONE])]),
    stream(b"".join(GOOD_STREAM).replace(b"\n", b"\r\n")),
]
TRUNCATED = [
    stream(*TEXT),
    stream(ROLE),
    cut_stream(*TEXT),
    unframed_stream(*TEXT),
    unframed_stream(*TEXT, FINISH[:-12]),
    cut_stream(*TEXT, DONE[:9]),
    cut_stream(*TEXT[:2], b'data: {"choices":[{"delta":{"content":"\xc3'),
    stream(*TEXT, b"data: <html>\n\n", FINISH, DONE),
    stream(*TEXT, event({"error": {"message": "overloaded"}}), DONE),
    stream(*TEXT, event([]), DONE),
    stream(*TEXT, event({"choices": "x"}), DONE),
    stream(*TEXT, b"data: " + b"x" * 1_100_000),
    stream(*TEXT, event(chunk(finish="stop", index=1))),
    silent_after(*TEXT),
    silent_after(*TEXT, b"data: {"),
]


@pytest.mark.parametrize("script", COMPLETE)
def test_a_stream_that_was_finished_counts_as_complete(
    servers: dict[str, UpstreamServer], house: House, script: Script
) -> None:
    """finish_reason says that the model is done; whatever is lost after it loses nothing of the answer."""
    servers["big"].will(script)
    events, _ = ask_stream(house)
    assert events[-1] == "[DONE]"
    assert events.count("[DONE]") == 1
    assert not any("error" in part for part in events[:-1])
    assert (only_call(house)["error"], len(servers["small"].requests)) == (None, 0)


@pytest.mark.parametrize("script", TRUNCATED)
def test_a_truncated_stream_never_looks_complete(
    servers: dict[str, UpstreamServer], house: House, script: Script
) -> None:
    """It ends with an error and no [DONE], nothing of another model is spliced in, and it is paid for."""
    servers["big"].will(script)
    events, decision = ask_stream(house)
    assert "[DONE]" not in events
    assert events[-1]["error"]["code"] == "stream_broken"
    assert [part["id"] for part in events[:-1]] == [decision.id] * (len(events) - 1)
    call = only_call(house)
    assert (call["error"], call["diverted"], call["cost_estimated"]) == ("incomplete", False, True)
    assert 0 < call["cost_usd"] < 1e-3
    assert not servers["small"].requests


def test_two_choices_are_complete_when_both_are_finished(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """With n=2 one finish_reason is half an answer."""
    both = [event(chunk("a", index=0)), event(chunk("b", index=1)), event(chunk(finish="stop", index=1))]
    servers["big"].will(stream(*both), stream(*both, FINISH), stream(event(chunk("a", finish="stop"))))
    assert "error" in ask_stream(house, n=2)[0][-1]
    assert ask_stream(house, n=2)[0][-1] == "[DONE]"
    assert "error" in ask_stream(house, n=2)[0][-1]


@pytest.mark.parametrize(
    "script", [stream(), stream(DONE), stream(USAGE_EVENT, DONE), stream(b": ping\n\n"), stream(b"{}"),
               stream(event({"error": {"message": "no"}})), stream(b"x" * 1_100_000), cut_stream(ROLE[:-9])]
)  # fmt: skip
def test_a_stream_without_a_first_chunk_is_answered_by_the_fallback(
    servers: dict[str, UpstreamServer], house: House, script: Script
) -> None:
    """Nothing reached the client yet, so another model may still give the whole answer."""
    servers["big"].will(script)
    events, _ = ask_stream(house)
    assert events[-1] == "[DONE]"
    assert {part["model"] for part in events[:-1]} == {"small"}
    assert only_call(house)["diverted"] is True


def test_leaving_a_stream_cuts_the_upstream_and_pays_for_what_came(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """A client that leaves is no error of the model, and its tokens are not free."""
    servers["big"].will(silent_after(*TEXT))
    chat = read_chat(
        orjson.dumps({"model": "auto", "stream": True, "messages": [{"role": "user", "content": "2+2?"}]})
    )

    async def leave() -> None:
        relay = await house.dispatcher.stream(house.engine.route(chat.route), chat)
        while b"ur" not in await relay.read():
            pass
        await relay.close()
        await relay.close()

    house.run(leave())
    call = only_call(house)
    assert (call["error"], call["cost_estimated"], call["output_tokens"]) == (None, True, 1)
    assert call["cost_usd"] == pytest.approx((5 * 10 + 30) / 1e6)
    wait_until(lambda: len(servers["big"].left_after_s) == 1)
    assert servers["big"].left_after_s[0] < 1.0


def test_everything_but_id_model_and_usage_passes_as_it_came(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """Several choices, logprobs, deltas of tool calls, and fields that nobody here knows."""
    logprobs = {
        "content": [
            {"token": "fo", "logprob": -0.0010000000474974513, "bytes": [102, 111], "top_logprobs": []}
        ]
    }
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1e400'},
    }
    sent = [
        chunk("fo", choices=[{"index": 1, "delta": {"content": "fo"}, "logprobs": logprobs, "finish_reason": None}]),
        chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}], obfuscation="xyz"),
        chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], service_tier="flex"),
        chunk(finish="stop", index=1),
    ]  # fmt: skip
    servers["big"].will(stream(*map(event, sent), DONE))
    got, decision = ask_stream(house, n=2, logprobs=True)
    named = {"id": decision.id, "model": "big"}
    assert got == [*({**{k: v for k, v in each.items() if k != "usage"}, **named} for each in sent), "[DONE]"]
