"""Refusals in streams of every dialect and endpoint: another model may answer before the first content, not later."""

import asyncio
import logging
from typing import Any

import orjson
import pytest

from router.errors import UpstreamRefused
from router.upstream.chat import read_chat
from router.upstream.dispatch import Limits
from router.upstream.events import MOST_HELD_BYTES
from router.upstream.responses import read_response
from tests.router.pursuing import Servers, asked, house_of
from tests.servers import gemini
from tests.servers.asking import COST
from tests.servers.dialects import message_events, named_event, response, response_events, responses, said
from tests.servers.house import House
from tests.servers.upstream import (
    DONE,
    FINISH,
    ROLE,
    TEXT,
    USAGE_EVENT,
    Script,
    answer,
    chunk,
    cut_stream,
    event,
    silent_after,
    status,
    stream,
)

UPSTREAMS = ("big", "small", "other")
FILTERED = event(chunk(finish="content_filter"))
NAMED = {"fallbacks_on": {"refusal": ["other"]}}
ANTHROPIC = {"dialect": "anthropic"}
ERROR = {"error": {"message": "filtered", "type": "invalid_request_error", "code": "content_filter"}}


def declining_response(status: str = "completed", **changes: Any) -> list[bytes]:
    """A streamed response that holds a refusal in the model's own words, after reasoning that is not shown."""
    part = {"type": "refusal", "refusal": "No."}
    item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    place = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    begun = response(status="in_progress", output=[], usage=None)
    last = response(status=status, output=[thought, item], **changes)
    return [named_event(each) for each in (
        {"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.output_item.added", "output_index": 1, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "refusal": ""}},
        {"type": "response.refusal.delta", **place, "delta": "No."},
        {"type": "response.refusal.done", **place, "refusal": "No."},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 1, "item": item},
        {"type": f"response.{status}", "response": last},
    )]  # fmt: skip


CUT = {"incomplete_details": {"reason": "content_filter"}}
EMPTY = {"output": [], "status": "incomplete", **CUT}
REFUSED: dict[str, tuple[str, dict[str, Any], Script]] = {
    "a filter": ("chat", {}, stream(ROLE, FILTERED, USAGE_EVENT, DONE)),
    "a filter without a head": ("chat", {}, stream(FILTERED, USAGE_EVENT, DONE)),
    "a filter that closes": ("chat", {}, stream(ROLE + FILTERED + USAGE_EVENT)),
    "own words": ("chat", {}, stream(ROLE, event(chunk(choices=[
        {"index": 0, "delta": {"refusal": "No."}, "finish_reason": None}])), FINISH, USAGE_EVENT, DONE)),
    "Anthropic's": ("chat", ANTHROPIC, stream(*message_events(stop="refusal"))),
    "Gemini's": ("chat", {"dialect": "gemini"}, stream(*gemini.events(gemini.generated(
        candidates=[], promptFeedback={"blockReason": "SAFETY"})))),
    "a response's words": ("responses", {}, stream(*declining_response())),
    "a response's filter": ("responses", {}, stream(*response_events()[:2], named_event(
        {"type": "response.incomplete", "response": response(**EMPTY)}))),
    "a response's filter within": ("responses", {}, stream(*declining_response("incomplete", **CUT))),
}  # fmt: skip
ERRORS: dict[str, tuple[str, dict[str, Any], Script]] = {
    "an error": ("chat", {}, stream(event(ERROR))),
    "an error after the head": ("chat", {}, stream(ROLE, event(ERROR))),
    "a response's error": ("responses", {}, stream(named_event({**ERROR["error"], "type": "error"}))),
    "a failed response": ("responses", {}, stream(*response_events()[:2], named_event(
        {"type": "response.failed", "response": response(status="failed", error=ERROR["error"])}))),
}  # fmt: skip


def ask(house: House, endpoint: str, **fields: Any) -> bytes:
    """All bytes of a streamed answer of the task `math`."""
    body: dict[str, Any] = {"model": "task/math", "stream": True, **fields}
    if endpoint == "chat":
        call = read_chat(orjson.dumps({**body, "messages": [{"role": "user", "content": "2+2?"}]}))
    else:
        call = read_response(orjson.dumps({**body, "input": "2+2?"}))

    async def read_all() -> bytes:
        relay = await house.dispatcher.stream(house.engine.route(call.route), call)
        pieces = []
        while not relay.over:
            pieces.append(await relay.read())
        await relay.close()
        assert len(asyncio.all_tasks()) == 1
        return b"".join(pieces)

    return house.run(read_all())


def house_for(servers: Servers, big: dict[str, Any], task: dict[str, Any] | None = None) -> House:
    """A patient house whose other models answer as the endpoint wants it."""
    return house_of(servers, task, big, limits=Limits())


@pytest.mark.parametrize("kind", [*REFUSED, *ERRORS])
def test_a_refusal_before_any_content_goes_to_the_model_that_is_named_for_it(
    servers: Servers, opened: list[House], kind: str
) -> None:
    """The client sees one answer, from the other model; both are paid, and the refusal stands in the trail."""
    endpoint, big, script = (REFUSED | ERRORS)[kind]
    opened.append(house := house_for(servers, big, NAMED))
    servers["big"].will(script)
    servers["other"].will(answer() if endpoint == "chat" else responses())
    text = ask(house, endpoint)
    assert b'"other"' in text
    assert not any(word in text for word in (b'"big"', b"content_filter", b"refusal", b"No."))
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["error"]) == ("other", True, None)
    assert [step[:2] for step in orjson.loads(call["trail"])] == [
        ["big", "content_refused"],
        ["other", "served"],
    ]
    assert asked(servers)["small"] == 0
    assert call["cost_estimated"] is (kind in ERRORS)
    if kind in REFUSED and not big and endpoint == "chat":
        assert call["cost_usd"] == pytest.approx(COST["big"] + COST["small"])


@pytest.mark.parametrize("kind", REFUSED)
def test_without_a_model_for_it_a_refusal_is_the_answer(
    servers: Servers, opened: list[House], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As the upstream gave it, and recorded as one."""
    caplog.set_level(logging.INFO, "pointsman.calls")
    endpoint, big, script = REFUSED[kind]
    opened.append(house := house_for(servers, big))
    servers["big"].will(script)
    text = ask(house, endpoint)
    assert b"content_filter" in text or b"No." in text
    assert text.rstrip().endswith(b"[DONE]") or endpoint == "responses"
    call = house.calls()[-1]
    assert (call["served_model"], call["error"], call["attempts"]) == ("big", None, 1)
    assert [step[:2] for step in orjson.loads(call["trail"])] == [["big", "refused"]]
    assert "finish_reason content_filter" in caplog.text or "finish_reason refusal" in caplog.text


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_for_the_content_is_the_error_where_nobody_is_named(
    servers: Servers, opened: list[House], kind: str
) -> None:
    """Like the status 400 that other upstreams give in its place; the usual fallbacks are for failures."""
    endpoint, big, script = ERRORS[kind]
    opened.append(house := house_for(servers, big))
    servers["big"].will(script)
    if kind == "an error after the head":
        assert b"stream_broken" in ask(house, endpoint)
        assert house.calls()[-1]["error"] == "incomplete"
        return
    with pytest.raises(UpstreamRefused) as caught:
        ask(house, endpoint)
    assert (caught.value.status, orjson.loads(caught.value.body)["error"]["code"]) == (400, "content_filter")
    assert house.calls()[-1]["error"] == "content_refused"
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}


SPOKEN: dict[str, tuple[str, dict[str, Any], Script]] = {
    "a filter": ("chat", {}, stream(*TEXT, FILTERED, USAGE_EVENT, DONE)),
    "a call": ("chat", {}, stream(ROLE, event(chunk(choices=[{"index": 0, "delta": {"tool_calls": [
        {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]},
        "finish_reason": None}])), FILTERED, DONE)),
    "a thought": ("chat", {}, stream(ROLE, event(chunk(choices=[
        {"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}])), FILTERED, DONE)),
    "Anthropic's": ("chat", ANTHROPIC, stream(*message_events(said("fo", "ur"), stop="refusal"))),
    "a response's": ("responses", {}, stream(*response_events()[:-1], named_event(
        {"type": "response.incomplete", "response": response(status="incomplete", **CUT)}))),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOKEN)
def test_a_refusal_after_the_first_content_stays_there(
    servers: Servers, opened: list[House], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Another model's answer behind half of this one would be a text that nobody wrote."""
    caplog.set_level(logging.INFO, "pointsman.calls")
    endpoint, big, script = SPOKEN[kind]
    opened.append(house := house_for(servers, big, NAMED))
    servers["big"].will(script)
    assert b"content_filter" in ask(house, endpoint)
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}
    call = house.calls()[-1]
    assert (call["served_model"], call["error"]) == ("big", None)
    assert [step[:2] for step in orjson.loads(call["trail"])] == [["big", "refused"]]
    assert "finish_reason content_filter" in caplog.text


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("other", [status(500), None])
def test_where_nobody_does_better_the_first_refusal_is_the_answer(
    servers: Servers, opened: list[House], kind: str, other: Script | None
) -> None:
    """Whole, with its end and its usage; all that was asked is paid."""
    endpoint, big, script = REFUSED[kind]
    opened.append(house := house_for(servers, big, NAMED))
    servers["big"].will(script)
    refused_too = (
        stream(ROLE, FILTERED, USAGE_EVENT, DONE) if endpoint == "chat" else stream(*declining_response())
    )
    servers["other"].will(other or refused_too)
    text = ask(house, endpoint)
    assert b'"big"' in text
    assert b'"other"' not in text
    assert b"content_filter" in text or b"No." in text
    assert b"error" not in text.replace(b'"error":null', b"")
    call = house.calls()[-1]
    assert (call["served_model"], call["error"], call["attempts"]) == ("big", None, 2)
    if endpoint == "chat" and not big:
        assert call["cost_usd"] == pytest.approx(COST["big"] + (0 if other else COST["small"]))
    assert orjson.loads(call["trail"])[-1][:2] == ["big", "refused"]


def test_one_of_two_choices_that_speaks_makes_it_an_answer(servers: Servers, opened: list[House]) -> None:
    """The other one was filtered; half of what was asked for is there and stays."""
    opened.append(house := house_for(servers, {}, NAMED))
    servers["big"].will(
        stream(FILTERED, event(chunk("four", index=1)), event(chunk(finish="stop", index=1)), DONE)
    )
    text = ask(house, "chat", n=2)
    assert b"four" in text
    assert asked(servers)["other"] == 0
    servers["big"].will(stream(FILTERED, event(chunk(finish="content_filter", index=1)), DONE))
    assert b'"other"' in ask(house, "chat", n=2)


# What is held back, and for whom


@pytest.mark.parametrize("named", [False, True])
def test_only_where_a_model_is_named_the_head_waits_for_content(
    servers: Servers, opened: list[House], named: bool
) -> None:
    """Others pay nothing: their stream begins with its first chunk, whatever comes of it."""
    opened.append(house := house_for(servers, {"timeouts": {"first_token_s": 1.0}}, NAMED if named else {}))
    servers["big"].will(silent_after(ROLE))
    call = read_chat(
        orjson.dumps({"model": "task/math", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    )

    async def first() -> bytes:
        relay = await house.dispatcher.stream(house.engine.route(call.route), call)
        piece = await relay.read()
        await relay.close()
        return piece

    assert (b'"small"' if named else b'"big"') in house.run(first())


@pytest.mark.parametrize("script", [stream(ROLE), cut_stream(ROLE), stream(ROLE, b"data: {", b"\n\n")])
def test_a_head_that_was_held_back_is_no_answer_where_the_stream_breaks(
    servers: Servers, opened: list[House], script: Script
) -> None:
    """The client has nothing yet, so the usual fallback gives it a whole answer."""
    opened.append(house := house_for(servers, {}, NAMED))
    servers["big"].will(script)
    text = ask(house, "chat")
    assert text.endswith(DONE)
    assert b'"big"' not in text


@pytest.mark.parametrize("end", [(FINISH, DONE), (DONE,)])
def test_an_empty_answer_is_an_answer(servers: Servers, opened: list[House], end: tuple[bytes, ...]) -> None:
    """A model that has nothing to say did not refuse."""
    opened.append(house := house_for(servers, {}, NAMED))
    servers["big"].will(stream(ROLE, *end))
    assert ask(house, "chat").endswith(DONE)
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}


def test_what_is_held_back_is_bounded(servers: Servers, opened: list[House]) -> None:
    """Heads without end go out, however empty: a stream must not fill the memory."""
    opened.append(house := house_for(servers, {}, NAMED))
    empty = event(chunk(""))
    servers["big"].will(stream(*[empty * 50] * (2 * MOST_HELD_BYTES // (50 * 100)), FILTERED, DONE))
    assert b"content_filter" in ask(house, "chat")
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}


def test_a_refused_stream_that_does_not_end_is_left(servers: Servers, opened: list[House]) -> None:
    """Its usage is worth a moment's wait, not the client's time; then it is estimated."""
    opened.append(house := house_for(servers, {}, NAMED))
    servers["big"].will(silent_after(ROLE, FILTERED))
    assert b'"other"' in ask(house, "chat")
    assert house.calls()[-1]["cost_estimated"] is True
