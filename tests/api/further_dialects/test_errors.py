"""Refusals of Gemini's and Bedrock's own APIs, and what they cannot say, as the official OpenAI client sees them."""

from typing import Any

import openai
import pytest

from tests.api.further_dialects.speeches import BOTH, EITHER_WAY, HELLO, LIMITS, TOOLS, Speech, ask
from tests.servers.house import KEY, House, document, serving, unused_port
from tests.servers.upstream import UpstreamServer, status

pytestmark = pytest.mark.process


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
