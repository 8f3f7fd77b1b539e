"""Answers of Gemini's and Bedrock's own APIs, as the official OpenAI client sees them.

What holds for both stands here; what only one of them has is in the tests of its translation.
"""

from typing import Any

import openai
import orjson
import pytest

from tests.api.further_dialects.speeches import (
    BOTH,
    EITHER_WAY,
    HELLO,
    PARAMETERS,
    SPEECHES,
    TOOLS,
    Speech,
    ask,
)
from tests.servers.house import KEY, House
from tests.servers.upstream import UpstreamServer, stream

pytestmark = pytest.mark.process


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


def test_three_dialects_serve_one_experiment(client: openai.OpenAI, house: House) -> None:
    """What a comparison is for: the same requests, three providers, all costs in one ledger."""
    seen = {client.chat.completions.create(model="task/math", messages=HELLO).model for _ in range(40)}
    assert seen == {"small", "gemini", "bedrock"}
    costs = {call["served_model"]: call["cost_usd"] for call in house.calls()[-40:]}
    assert costs == {"small": pytest.approx(140e-6), **{s.name: pytest.approx(s.cost_usd) for s in SPEECHES}}
