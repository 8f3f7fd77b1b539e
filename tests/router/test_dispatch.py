"""Dispatch against real misbehaving servers: who answers, what it cost, what is recorded."""

import asyncio
import gzip
import time
from collections.abc import Iterator

import orjson
import pytest

from router.deciding.choose import RouteRequest
from router.errors import UpstreamFailed, UpstreamRefused, UpstreamTimeout
from router.upstream.chat import read_chat
from tests.servers.asking import COST, ask, ask_stream, failure, only_call, quick_house, wait_until
from tests.servers.house import KEY, House, document, open_house, unused_port, upstreams
from tests.servers.upstream import (
    USAGE,
    UpstreamServer,
    answer,
    completion,
    hang_up,
    head,
    raw,
    silent,
    status,
    stream,
    whole,
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


FAULTS = [
    ("bad_reply", whole(b"not json")),
    ("bad_reply", whole(b"[]")),
    ("bad_reply", whole(b'{"choices":[]}')),
    ("bad_reply", whole(b'{"choices":["x"]}')),
    ("bad_reply", whole(b'{"error":{"message":"inside a 200"}}')),
    ("bad_reply", whole(b'{"choices":[{"message":' + b"[" * 400 + b"]" * 400 + b"}]}")),
    ("bad_reply", head() + b"content-length: 500\r\n\r\n{"),
    ("bad_reply", head() + b"transfer-encoding: chunked\r\n\r\n5\r\nabc"),
    ("bad_reply", head() + b"connection: close\r\n\r\n" + orjson.dumps(completion())[:-9]),
    ("bad_reply", b"\x00\x01garbage\r\n\r\n"),
    ("bad_reply", head(extra="x-long: " + "y" * 100_000 + "\r\n") + b"content-length: 0\r\n\r\n"),
    ("bad_reply", head() + b"content-length: 100000000000\r\n\r\n{"),
    (
        "bad_reply",
        whole(gzip.compress(orjson.dumps(completion()), mtime=0), extra="content-encoding: gzip\r\n"),
    ),
    ("bad_reply", whole(b"", 302, "location: http://127.0.0.1:9/\r\n")),
    ("bad_reply", whole(b"", 204)),
    ("bad_reply", whole(b"<html>an outage page</html>", extra="content-type: text/html\r\n")),
    ("bad_reply", head() + b"content-length: -1\r\n\r\n{}"),
    ("rate_limited", whole(b"{}", 429, "retry-after: soon\r\n")),
    ("upstream_5xx", whole(b"{}", 503, "retry-after: Thu, 01 Jan 1970 00:00:09 GMT\r\n")),
    ("rate_limited", whole(b"{}", 429)),
    ("upstream_5xx", whole(b"{}", 500)),
    ("upstream_5xx", whole(b"{}", 529)),
    ("upstream_auth", whole(b"{}", 401)),
    ("upstream_auth", whole(b"{}", 402)),
    ("upstream_auth", whole(b"{}", 403)),
    ("timeout", whole(b"{}", 408)),
    ("connect_error", b""),
]


@pytest.mark.parametrize(("code", "data"), FAULTS)
@pytest.mark.parametrize("streaming", [False, True])
def test_the_fallback_answers_when_the_decided_model_fails(
    servers: dict[str, UpstreamServer], house: House, code: str, data: bytes, streaming: bool
) -> None:
    """Whatever the first upstream does before its answer, the client gets a clean one from the next model."""
    servers["big"].will(raw(data))
    if streaming:
        events, _ = ask_stream(house)
        assert events[-1] == "[DONE]"
        assert {part["model"] for part in events[:-1]} == {"small"}
    else:
        assert ask(house).fallback_from == "big"
    call = only_call(house)
    assert (call["served_model"], call["diverted"], call["error"], call["attempts"]) == (
        "small",
        True,
        None,
        2,
    )


@pytest.mark.parametrize(("code", "data"), FAULTS)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_pinned_model_has_no_fallback_and_its_failure_has_a_name(
    servers: dict[str, UpstreamServer], house: House, code: str, data: bytes, streaming: bool
) -> None:
    """Who asks for one model wants that one or an error; the ledger keeps the kind of error."""
    servers["big"].will(raw(data))
    with pytest.raises(UpstreamFailed):
        ask_stream(house, "big") if streaming else ask(house, "big")
    call = only_call(house)
    assert (call["served_model"], call["diverted"], call["error"], call["attempts"]) == (
        "big",
        False,
        code,
        1,
    )
    assert not servers["small"].requests


def test_a_plain_answer_is_charged_by_its_usage_and_carries_the_decision(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """Known answer: 100 tokens at 10 $/M and 20 at 30 $/M are 0.0016 $."""
    got = ask(house, user="ada")
    fields = orjson.loads(got.body)
    assert (got.model, got.fallback_from, got.cost_usd) == ("big", None, pytest.approx(0.0016))
    assert (fields["model"], fields["choices"][0]["message"]["content"]) == ("big", "four")
    assert fields["usage"] == {**USAGE, "cost": got.cost_usd}
    call, request = only_call(house), servers["big"].requests[0]
    assert call["number"] == house.store.export("decisions").__next__()["number"]
    assert (call["cost_usd"], call["cost_estimated"]) == (pytest.approx(COST["big"]), False)
    assert (call["input_tokens"], call["output_tokens"], call["attempts"]) == (100, 20, 1)
    assert 0 < call["latency_ms"] < 5_000
    assert (request.path, request.body["model"]) == ("/v1/chat/completions", "big-upstream")
    assert (request.headers["authorization"], request.headers["accept-encoding"]) == (
        f"Bearer {KEY}",
        "identity",
    )


def test_a_refused_attempt_costs_nothing_and_a_lost_one_is_estimated(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """All attempts are charged to the decision: what the first upstream took and never answered is paid too."""
    servers["big"].will(status(500))
    assert ask(house).cost_usd == pytest.approx(COST["small"])
    servers["big"].will(raw(whole(b"[]")))
    assert (ask(house).cost_usd or 0) > COST["small"]
    free, lost = house.calls()
    assert (free["cost_estimated"], free["input_tokens"]) == (False, 100)
    assert (lost["cost_estimated"], lost["input_tokens"]) == (True, 100 + 5)
    assert lost["cost_usd"] == pytest.approx(COST["small"] + 5 * 10 / 1e6)


@pytest.mark.parametrize(
    "usage", [None, {}, {**USAGE, "prompt_tokens": -5}, {**USAGE, "completion_tokens": 10**15}]
)
def test_missing_or_absurd_usage_is_estimated_and_said_so(
    servers: dict[str, UpstreamServer], house: House, usage: object
) -> None:
    """'2+2?' is one token and 'four' one; with the message's overhead 5 in, 1 out."""
    servers["big"].will(answer(usage=usage))
    fields = orjson.loads(ask(house).body)
    call = only_call(house)
    assert (call["cost_estimated"], call["input_tokens"], call["output_tokens"]) == (True, 5, 1)
    assert fields["usage"] == {
        "prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "estimated": True,
        "cost": pytest.approx((5 * 10 + 30) / 1e6),
    }  # fmt: skip


def test_an_unknown_price_makes_an_unknown_cost() -> None:
    """Zero would make the model look free; only attempts that were refused are free whatever the price."""
    with upstreams("big", "free") as servers, open_house({n: s.url for n, s in servers.items()}) as house:
        assert ask(house, "free").cost_usd is None
        servers["free"].will(status(400))
        failure(house, "free")
        known, refused = house.calls()
    assert (known["cost_usd"], known["input_tokens"]) == (None, 100)
    assert (refused["cost_usd"], refused["error"]) == (0.0, "upstream_refused")


def test_a_refusal_is_passed_on_and_no_fallback_is_asked(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """The client's own mistake would be one with every model; the upstream says best what it is."""
    url = f"{servers['big'].url}/chat/completions"
    said = {
        "message": f"bad tools at {url} with {KEY}",
        "type": "invalid_request_error",
        "code": 7,
        "param": "tools",
    }
    servers["big"].will(status(422, {"error": {**said, "internal": {"host": "10.0.0.1"}}}, "x-secret: 1\r\n"))
    error = failure(house)
    assert isinstance(error, UpstreamRefused)
    assert error.status == 422
    assert orjson.loads(error.body) == {
        "error": {"message": "bad tools at [upstream] with [key]", "type": "invalid_request_error", "code": "7",
                  "param": "tools"}
    }  # fmt: skip
    assert not servers["small"].requests
    assert only_call(house)["error"] == "upstream_refused"


@pytest.mark.parametrize(
    "body", [b"<html>10.0.0.1</html>", b"[]", b'{"error":"no"}', b'{"error":{"message":4}}']
)
def test_a_refusal_in_an_unknown_shape_shows_nothing_of_the_upstream(
    servers: dict[str, UpstreamServer], house: House, body: bytes
) -> None:
    """Pages of proxies tell hosts and versions; the client learns the status."""
    servers["big"].will(status(404, body))
    error = failure(house)
    assert isinstance(error, UpstreamRefused)
    assert (error.status, error.body) == (404, b"")
    assert "404" in str(error)


@pytest.mark.parametrize(
    ("code", "header", "seen", "retry_after_s"),
    [(429, "retry-after: 7\r\n", 429, 7), (429, "retry-after: soon\r\n", 429, None), (429, "", 429, None),
     (503, "retry-after: 99999\r\n", 503, 3_600), (529, "", 503, None), (500, "", 502, None), (401, "", 502, None)],
)  # fmt: skip
def test_the_client_sees_a_fitting_status_and_when_to_come_back(
    servers: dict[str, UpstreamServer],
    house: House,
    code: int,
    header: str,
    seen: int,
    retry_after_s: int | None,
) -> None:
    """Our missing credit or a wrong key is no 401 of the client's; a busy upstream is worth a retry."""
    servers["big"].will(status(code, {}, header))
    error = failure(house, "big")
    assert (error.status, error.retry_after_s) == (seen, retry_after_s)
    assert "credentials" in str(error) if code == 401 else "credentials" not in str(error)


def test_errors_name_no_url_and_no_key(servers: dict[str, UpstreamServer], house: House) -> None:
    """Messages go to clients, who know models by their names here only."""
    for script in (status(500), status(401), hang_up(), raw(b"junk\r\n\r\n"), status(400, b"x")):
        servers["big"].will(script)
        error = failure(house, "big")
        assert "big" in str(error)
        assert error.__cause__ is None
        assert not any(secret in repr(error) for secret in ("127.0.0.1", "http", KEY, "big-upstream"))


def test_a_refused_connection_falls_back_and_costs_nothing(servers: dict[str, UpstreamServer]) -> None:
    """Nobody listens there; the next model answers within milliseconds."""
    urls = {"big": f"http://127.0.0.1:{unused_port()}/v1", "small": servers["small"].url}
    servers["small"].will(answer())
    with open_house(urls) as house:
        started = time.monotonic()
        assert ask(house).model == "small"
        assert time.monotonic() - started < 1.0
        assert failure(house, "big").status == 502
        diverted, failed = house.calls()
    assert diverted["cost_usd"] == pytest.approx(COST["small"])
    assert (failed["error"], failed["cost_usd"], failed["price_version"]) == ("connect_error", 0.0, "")


def test_a_model_without_its_key_is_not_called(servers: dict[str, UpstreamServer]) -> None:
    """A call without credentials would only tell the upstream our prompts."""
    servers["big"].requests.clear()
    house = House(document({name: server.url for name, server in servers.items()}), keys={"small": KEY})
    servers["small"].will(answer())
    assert ask(house).model == "small"
    assert "no key" in str(failure(house, "big"))
    assert house.calls()[1]["error"] == "not_configured"
    assert not servers["big"].requests
    house.close()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_silent_upstream_leaves_time_for_the_fallback(
    servers: dict[str, UpstreamServer], house: House, streaming: bool
) -> None:
    """Of 1.5 s the first model may take two thirds (a stream's first chunk 0.4 s); the fallback gets the rest."""
    servers["big"].will(silent())
    started = time.monotonic()
    if streaming:
        assert ask_stream(house, "task/math")[0][0]["model"] == "small"
    else:
        assert ask(house, "task/math").model == "small"
    assert (0.35 if streaming else 0.95) < time.monotonic() - started < 1.5
    call = only_call(house)
    assert (call["diverted"], call["error"], call["cost_estimated"]) == (True, None, True)


def test_when_all_are_silent_the_client_hears_it_within_the_tasks_time(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """The budget is for all attempts together."""
    servers["big"].will(silent())
    servers["small"].will(silent())
    started = time.monotonic()
    error = failure(house, "task/math")
    assert isinstance(error, UpstreamTimeout)
    assert error.status == 504
    assert 1.4 < time.monotonic() - started < 3.0
    call = only_call(house)
    assert (call["error"], call["attempts"], call["latency_ms"]) == (
        "timeout",
        2,
        pytest.approx(1_500, abs=300),
    )


def test_an_answer_that_drips_is_over_with_the_tasks_time(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """One byte a second keeps every idle timer happy; the total does not care."""
    servers["big"].will(stream(*[b"x"] * 60, pause_s=0.05))
    servers["small"].will(stream(*[b": ping\n\n"] * 60, pause_s=0.05))
    started = time.monotonic()
    assert failure(house, "task/math").status == 504
    with pytest.raises(UpstreamTimeout):
        ask_stream(house, "task/math")
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cancelled_call_is_recorded_once_and_blames_nobody(
    servers: dict[str, UpstreamServer], house: House, streaming: bool
) -> None:
    """Cancelled while the upstream thinks: one row, no error, the upstream is cut."""
    servers["big"].will(silent())
    body = {"model": "task/support", "stream": streaming, "messages": [{"role": "user", "content": "2+2?"}]}
    chat = read_chat(orjson.dumps(body))

    async def cancelled() -> None:
        work = house.dispatcher.stream if streaming else house.dispatcher.answer
        task = asyncio.ensure_future(work(house.engine.route(chat.route), chat))  # type: ignore[arg-type]  # reason: either
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    house.run(cancelled())
    call = only_call(house)
    assert (call["error"], call["attempts"], call["cost_estimated"], call["input_tokens"]) == (
        None,
        1,
        True,
        5,
    )
    wait_until(lambda: len(servers["big"].left_after_s) == 1)


def test_connections_are_used_again_after_answers_and_streams(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """A handshake for each request would cost more than everything else here."""
    before = servers["big"].connections

    async def several() -> None:
        for streaming in (False, True, True, False):
            chat = read_chat(
                orjson.dumps({"model": "auto", "stream": streaming, "messages": [{"role": "user"}]})
            )
            decision = house.engine.route(chat.route)
            if not streaming:
                await house.dispatcher.answer(decision, chat)
                continue
            relay = await house.dispatcher.stream(decision, chat)
            while not relay.over:
                await relay.read()
            await relay.close()

    house.run(several())
    assert len(servers["big"].requests) == 4
    assert servers["big"].connections == before + 1


def test_a_kept_connection_that_died_meanwhile_is_replaced(
    servers: dict[str, UpstreamServer], house: House
) -> None:
    """Servers close idle connections at any moment; that is no failure of the model."""
    servers["big"].will(answer(), hang_up(), answer())

    async def twice() -> list[str]:
        chat = read_chat(orjson.dumps({"model": "big", "messages": [{"role": "user", "content": "x"}]}))
        decisions = [house.engine.route(RouteRequest(override="big")) for _ in range(2)]
        return [(await house.dispatcher.answer(decision, chat)).model for decision in decisions]

    assert house.run(twice()) == ["big", "big"]
    assert len(servers["big"].requests) == 3


def test_a_large_request_arrives_whole(servers: dict[str, UpstreamServer], house: House) -> None:
    """Pictures make bodies of megabytes."""
    content = "é" * 2_000_000
    ask(house, messages=[{"role": "user", "content": content}])
    assert servers["big"].requests[0].body["messages"][0]["content"] == content
