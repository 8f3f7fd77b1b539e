"""Half, wrong and unwanted answers of upstreams that speak Gemini's and Bedrock's own APIs."""

import time

import openai
import pytest

from tests.api.further_dialects.speeches import BOTH, EITHER_WAY, HELLO, Speech, ask
from tests.servers.asking import wait_until
from tests.servers.house import House
from tests.servers.upstream import (
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
