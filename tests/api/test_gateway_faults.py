"""The gateway when things go wrong, as the official OpenAI client and plain sockets see it."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import orjson
import pytest

from router.upstream.dispatch import Limits
from tests.servers.asking import wait_until
from tests.servers.house import KEY, House, open_house, upstreams
from tests.servers.upstream import (
    DONE,
    FINISH,
    TEXT,
    Script,
    UpstreamServer,
    answer,
    chunk,
    chunked,
    cut_stream,
    event,
    hang_up,
    head,
    raw,
    silent,
    silent_after,
    status,
    stream,
    unframed_stream,
)

pytestmark = pytest.mark.process
HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """One upstream only: nothing to fall back to."""
    with upstreams("big") as running:
        yield running


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine with short patience."""
    limits = Limits(connect_s=0.5, first_chunk_s=2.0, idle_s=0.4)
    with open_house({"big": servers["big"].url}, limits) as opened:
        yield opened


@pytest.fixture
def upstream(servers: dict[str, UpstreamServer]) -> UpstreamServer:
    """The upstream, well-behaved at first."""
    server = servers["big"]
    server.will(answer())
    server.requests.clear()
    server.left_after_s.clear()
    return server


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """The official client without retries."""
    with openai.OpenAI(base_url=url, api_key="pk-client", max_retries=0, timeout=10) as opened:
        yield opened


@pytest.mark.parametrize(
    ("script", "kind", "code", "field"),
    [
        (status(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}), openai.BadRequestError,
         "context_length_exceeded", None),
        (status(404, {"error": {"message": "gone"}}), openai.NotFoundError, None, None),
        (status(422, b"?"), openai.UnprocessableEntityError, "upstream_refused", None),
        (status(429, b"", "retry-after: 3\r\n"), openai.RateLimitError, "upstream_failed", None),
        (status(401, b""), openai.InternalServerError, "upstream_failed", None),
        (status(500, b""), openai.InternalServerError, "upstream_failed", None),
        (hang_up(), openai.InternalServerError, "upstream_failed", None),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n<html>"), openai.InternalServerError, "upstream_failed", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streaming", [False, True])
def test_each_failure_is_the_exception_that_clients_expect(
    client: openai.OpenAI, upstream: UpstreamServer, house: House, script: Script, kind: type[openai.APIStatusError],
    code: str | None, field: str | None, streaming: bool,
) -> None:  # fmt: skip
    """Programs catch these classes; the error's headers still name the decision, which is recorded."""
    upstream.will(script)
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="task/support", messages=HELLO, stream=streaming)  # type: ignore[call-overload]  # reason: either kind
    assert (caught.value.code, caught.value.param) == (code, field)
    assert caught.value.response.headers["x-pointsman-task"] == "support"
    assert caught.value.response.headers.get("retry-after") == (
        "3" if kind is openai.RateLimitError else None
    )
    assert house.calls()[-1]["error"] is not None


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"model": "nobody"}, "model"), ({"model": "task/!"}, "model"), ({"metadata": {"tier": "x"}}, "metadata.tier"),
     ({"extra_body": {"base_url": "http://evil/"}}, "base_url"), ({"messages": []}, "messages"),
     ({"extra_headers": {"x-pointsman-tier": "4"}}, "tier"), ({"user": "x" * 2_000}, "user")],
)  # fmt: skip
def test_a_bad_request_is_a_400_that_names_the_field(
    client: openai.OpenAI, upstream: UpstreamServer, fields: dict[str, Any], field: str
) -> None:
    """BadRequestError with `param`; nothing reaches an upstream."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "auto", "messages": HELLO, **fields})
    assert (caught.value.param, caught.value.code) == (field, "invalid_request")
    assert not upstream.requests


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":' * 50_000, b"\xff\xfe"])
def test_a_body_that_is_no_json_is_a_400(url: str, upstream: UpstreamServer, body: bytes) -> None:
    """Hostile nesting included."""
    reply = httpx.post(f"{url}/chat/completions", content=body)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_beyond_the_limit_is_a_413_whether_declared_or_not(url: str, upstream: UpstreamServer) -> None:
    """Bytes are counted while they arrive; a declared length is enough to refuse."""
    declared = httpx.post(f"{url}/chat/completions", content=b" " * 20_000_001)
    piece = b" " * 1_000_000
    undeclared = httpx.post(f"{url}/chat/completions", content=(piece for _ in range(21)))
    assert (declared.status_code, undeclared.status_code) == (413, 413)


STUCK = silent_after(*TEXT)
CHUNKED_HEAD = head(content_type="text/event-stream") + b"transfer-encoding: chunked\r\n\r\n"
TRUNCATED = {
    "a clean end without finish_reason": stream(*TEXT),
    "a cut connection": cut_stream(*TEXT),
    "an unframed end": unframed_stream(*TEXT),
    "a cut within a character": cut_stream(*TEXT, b'data: {"choices":[{"delta":{"content":"\xc3'),
    "garbage": stream(*TEXT, b"data: <html>\n\n", FINISH, DONE),
    "an error of the upstream": stream(*TEXT, event({"error": {"message": KEY}}), DONE),
    "silence": silent_after(*TEXT),
    "an endless event": stream(*TEXT, b"data: " + b"x" * 1_100_000),
    "a cut within a line": cut_stream(*TEXT, b"da"),
    "a cut within the framing": raw(CHUNKED_HEAD + b"".join(map(chunked, TEXT)) + b"ff\r\nda"),
    "half of two choices": stream(*TEXT, event(chunk("x", index=1)), FINISH),
}


@pytest.mark.parametrize("kind", TRUNCATED)
def test_a_truncated_stream_raises_in_the_client(
    client: openai.OpenAI, upstream: UpstreamServer, house: House, kind: str
) -> None:
    """What came is delivered, then the client raises: half an answer is never taken for a whole one."""
    upstream.will(TRUNCATED[kind])
    text = ""
    with pytest.raises(openai.APIError, match="ended before its answer was complete") as caught:  # noqa: PT012  # the loop is what raises
        for part in client.chat.completions.create(model="big", messages=HELLO, stream=True):
            text += part.choices[0].delta.content or ""
    assert text.startswith("four")
    assert KEY not in str(caught.value)
    assert (house.calls()[-1]["error"], house.calls()[-1]["cost_estimated"]) == ("incomplete", True)


WHOLE = {
    "two ends": stream(*TEXT, FINISH, DONE, DONE),
    "no end after the finish_reason": stream(*TEXT, FINISH),
    "a cut after the finish_reason": cut_stream(*TEXT, FINISH),
    "text behind the end": stream(*TEXT, FINISH, DONE, event(chunk("more"))),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_stream_that_said_all_it_had_to_say_is_whole_however_it_ends(
    client: openai.OpenAI, upstream: UpstreamServer, house: House, kind: str
) -> None:
    """Every choice has its finish_reason: the answer is there, once, and nothing behind its end."""
    upstream.will(WHOLE[kind])
    parts = list(client.chat.completions.create(model="big", messages=HELLO, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == "four"
    assert house.calls()[-1]["error"] is None


def test_a_clients_timeout_is_its_own_and_the_upstream_is_paid(
    url: str, upstream: UpstreamServer, house: House
) -> None:
    """The client gives up on a stream; the upstream is cut within a second, the row blames nobody."""
    upstream.will(silent())
    before = len(house.calls())
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=0.3) as hasty:
        with pytest.raises(openai.APITimeoutError):
            hasty.chat.completions.create(model="big", messages=HELLO, stream=True)
        wait_until(lambda: len(upstream.left_after_s) == 1)
    assert upstream.left_after_s[0] < 1.3
    wait_until(lambda: len(house.calls()) == before + 1)
    assert (house.calls()[-1]["error"], house.calls()[-1]["cost_estimated"]) == (None, True)


def test_a_client_that_leaves_a_stream_stops_the_upstream_within_a_second(
    client: openai.OpenAI, upstream: UpstreamServer, house: House
) -> None:
    """Nobody reads it, so nobody should pay for more of it; what came is metered, once."""
    upstream.will(stream(*TEXT, *[event(chunk("x" * 40))] * 500, FINISH, DONE, pause_s=0.02))
    before = len(house.calls())
    got = client.chat.completions.create(model="big", messages=HELLO, stream=True)
    for part in got:
        if part.choices[0].delta.content == "x" * 40:
            break
    left = time.monotonic()
    got.close()
    wait_until(lambda: len(house.calls()) == before + 1)
    assert time.monotonic() - left < 1.0
    call = house.calls()[-1]
    assert (call["error"], call["cost_estimated"]) == (None, True)
    assert 10 <= call["output_tokens"] < 1_000


def test_an_asynchronous_cancellation_reaches_the_upstream(
    url: str, upstream: UpstreamServer, house: House
) -> None:
    """`task.cancel()` in the caller's program is the same as leaving."""
    upstream.will(silent_after(*TEXT))
    before = len(house.calls())

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            seen = asyncio.Event()

            async def read() -> None:
                async for _ in await client.chat.completions.create(model="big", messages=HELLO, stream=True):
                    seen.set()

            task = asyncio.create_task(read())
            await seen.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    wait_until(lambda: len(house.calls()) == before + 1)
    assert house.calls()[-1]["error"] is None


@contextmanager
def reader_that_stopped(url: str, upstream: UpstreamServer, events: int) -> Iterator[socket.socket]:
    """A client that asked for a stream of many events of 50 kB and stopped reading for a second."""
    upstream.will(stream(*TEXT, *[event(chunk("y" * 50_000))] * events, FINISH, DONE))
    body = orjson.dumps({"model": "big", "messages": HELLO, "stream": True})
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        assert connection.recv(1_000)
        time.sleep(1.0)  # longer than an upstream may be idle here
        yield connection


def test_a_reader_that_stops_holds_back_the_upstream(
    url: str, upstream: UpstreamServer, house: House
) -> None:
    """Its answer waits in the sockets, not in our memory; when it leaves, the upstream is cut."""
    before = len(house.calls())
    with reader_that_stopped(url, upstream, 2_000):
        assert len(house.calls()) == before
    wait_until(lambda: len(house.calls()) == before + 1)
    call = house.calls()[-1]
    assert call["error"] is None
    assert call["output_tokens"] < 2_000 * 12_500 / 2


def test_a_reader_that_goes_on_gets_the_whole_answer(
    url: str, upstream: UpstreamServer, house: House
) -> None:
    """The time that we wait for a client is no idleness of the upstream."""
    end = b""
    with reader_that_stopped(url, upstream, 400) as connection:
        while b"0\r\n\r\n" not in end:
            end = end[-100:] + connection.recv(1_000_000)
    assert b"data: [DONE]" in end
    assert house.calls()[-1]["error"] is None


def test_no_error_leaves_a_socket_or_a_task_behind(
    client: openai.OpenAI, upstream: UpstreamServer, house: House
) -> None:
    """A leak of one for each failure ends a server within a day of a bad upstream."""
    client.chat.completions.create(model="big", messages=HELLO)
    tasks, sockets = house.tasks(), len(os.listdir("/dev/fd"))
    for script in (status(500), hang_up(), cut_stream(*TEXT), stream(*TEXT), STUCK):
        upstream.will(script)
        for streaming in (True,) * 3 if script is STUCK else (False, True) * 3:
            with pytest.raises(openai.APIError):
                list(
                    client.chat.completions.create(model="big", messages=HELLO, stream=streaming, timeout=0.3)
                )  # type: ignore[call-overload]  # reason: either kind
    upstream.will(answer())
    client.chat.completions.create(model="big", messages=HELLO)
    wait_until(lambda: house.tasks() <= tasks and len(os.listdir("/dev/fd")) <= sockets + 2)
