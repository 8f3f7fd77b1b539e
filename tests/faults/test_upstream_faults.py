"""F14: whatever upstreams do, clients get the fallback's answer or a clean error, and the assigned arm the blame."""

import asyncio
import email.utils
import gzip
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from experiments.definition.experiment import Experiment
from router.deciding.choose import RouteRequest
from router.upstream.dispatch import Limits
from tests.faults.watching import nothing_left_behind
from tests.servers.house import House, document, serving, unused_port, upstreams
from tests.servers.upstream import (
    DONE,
    FINISH,
    TEXT,
    USAGE,
    Request,
    Script,
    UpstreamServer,
    Wire,
    answer,
    chunk,
    completion,
    cut_stream,
    ending,
    event,
    hang_up,
    head,
    raw,
    silent,
    silent_after,
    status,
    stream,
    waiting,
    whole,
)

pytestmark = pytest.mark.process
WAITS = {"connect_s": 1.0, "first_token_s": 0.4, "idle_s": 0.4, "total_s": 0.4}
"""Of the model that misbehaves."""
PATIENCE_S = 20.0
"""Ten times what the slowest of them may take here."""
BOMB = gzip.compress(b"\0" * 50_000_000)
FRAMED_BOMB = (
    head(extra="transfer-encoding: gzip, chunked\r\n")
    + b"\r\n"
    + b"%x\r\n" % len(BOMB)
    + BOMB
    + b"\r\n0\r\n\r\n"
)
LARGE_HEAD = head(extra="x-long: " + "y" * 100_000 + "\r\n") + b"content-length: 0\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
PLACES = {"refused": f"http://127.0.0.1:{unused_port()}/v1", "no such host": "http://upstream.invalid/v1"}


def drip(*first: bytes) -> Script:
    """These pieces, then a byte now and then, for a minute; what a client waits for comes never."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(head(content_type="text/event-stream") + CHUNKED)
        for piece in first:
            await wire.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        for _ in range(1_200):
            await wire.send(b"1\r\n:\r\n")
            await asyncio.sleep(0.05)

    return ending(script)


def endless(kind: str = "application/json") -> Script:
    """A body that goes on and on; nobody may keep all of it."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(head(content_type=kind) + CHUNKED)
        piece = b"%x\r\n" % 1_000_000 + b" " * 1_000_000 + b"\r\n"
        for _ in range(200):
            await wire.send(piece)

    return ending(script)


def stuck(data: bytes) -> Script:
    """These bytes, then nothing until the client leaves."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(data)

    return waiting(script)


def dated(seconds: float) -> str:
    """A Retry-After header with a date."""
    return f"retry-after: {email.utils.formatdate(time.time() + seconds, usegmt=True)}\r\n"


def usage_of(usage: object) -> Script:
    """A good answer with this usage."""

    async def script(request: Request, wire: Wire) -> None:
        if request.body.get("stream"):
            await stream(*TEXT, FINISH, event(chunk(choices=[], usage=usage)), DONE)(request, wire)
        else:
            await wire.send(whole(orjson.dumps(completion(usage=usage))))

    return script


@dataclass(frozen=True)
class Fault:
    """What the upstream does, and what must come of it."""

    script: Script
    code: str
    """The error that the ledger keeps of a request that pins the model."""
    seen: frozenset[int]
    """Statuses that its client may see."""
    midway: bool = False
    """A stream has begun by then: no other model can take over."""
    retry_after: bool = False


def fault(script: Script, code: str, *seen: int, midway: bool = False, retry_after: bool = False) -> Fault:
    """A fault; 502 is what a client sees of most."""
    return Fault(script, code, frozenset(seen or (502,)), midway, retry_after)


FAULTS: Mapping[str, Fault] = {
    "hangs before its head": fault(silent(), "timeout", 504),
    "hangs after its head": fault(silent_after(), "timeout", 504),
    "hangs within its head": fault(stuck(head()[:20]), "timeout", 504),
    "hangs within its body": fault(stuck(whole(orjson.dumps(completion()))[:-30]), "timeout", 504),
    "hangs up": fault(hang_up(), "connect_error"),
    "500": fault(status(500), "upstream_5xx"),
    "529": fault(status(529, {"error": {"type": "overloaded_error"}}), "upstream_5xx", 503),
    "429 in seconds": fault(status(429, b"", "retry-after: 7\r\n"), "rate_limited", 429, retry_after=True),
    "429 with a date": fault(status(429, b"", dated(60)), "rate_limited", 429, retry_after=True),
    "429 with garbage": fault(status(429, b"", "retry-after: \xe9 soon\r\n"), "rate_limited", 429),
    "drips": fault(drip(), "timeout", 504),
    "garbage": fault(raw(bytes(range(256)) * 8), "bad_reply"),
    "a large head": fault(raw(LARGE_HEAD), "bad_reply"),
    "many headers": fault(raw(head(extra="x-h: y\r\n" * 20_000) + b"content-length: 0\r\n\r\n"), "bad_reply"),
    "a bomb": fault(raw(whole(BOMB, extra="content-encoding: gzip\r\n")), "bad_reply"),
    "a bomb in the framing": fault(raw(FRAMED_BOMB), "bad_reply"),
    "a huge body that says so": fault(raw(head() + b"content-length: 1000000000\r\n\r\n{"), "bad_reply"),
    "a huge body that does not": fault(endless(), "bad_reply"),
    "a page": fault(raw(whole(b"<html>sorry</html>", extra="content-type: text/html\r\n")), "bad_reply"),
    "no JSON": fault(raw(whole(b'{"choices": [}')), "bad_reply"),
    "a redirect": fault(raw(whole(b"", 302, "location: http://127.0.0.1:9/\r\n")), "bad_reply"),
    "nothing": fault(raw(whole(b"")), "bad_reply"),
}  # fmt: skip
MIDWAY: Mapping[str, Script] = {
    "hangs": silent_after(*TEXT), "drips": drip(*TEXT), "is cut": cut_stream(*TEXT),
    "turns to garbage": stream(*TEXT, b"data: \xff\n\n"),
    "grows without end": stream(*TEXT, b"data: ", *[b"x" * 100_000] * 12),
}  # fmt: skip
ESTIMATED = {"none": None, "negative": {**USAGE, "prompt_tokens": -1}, "absurd": {**USAGE, "completion_tokens": 10**18},
             "no numbers": {"prompt_tokens": "1", "completion_tokens": []}}  # fmt: skip


class Scene:
    """A served house whose experiment assigns one user to the model that misbehaves."""

    def __init__(self, house: House, url: str, server: UpstreamServer) -> None:
        self.house = house
        self.server = server
        self._client = httpx.Client(base_url=url, timeout=60)
        users = (f"user-{number}" for number in range(100))
        self._user = next(user for user in users if self._candidate(user) == "big")

    def _candidate(self, user: str) -> str | None:
        return self.house.engine.route(RouteRequest(task="support", user=user)).candidate

    def ask(self, model: str, streaming: bool, **more: Any) -> httpx.Response:
        """One request of that user, within its time; what was learned of the site before is forgotten."""
        fleet = self.house.dispatcher.fleet
        fleet._health.clear()
        fleet._snapshot = None
        body = {"model": model, "stream": streaming, "user": self._user, **more,
                "messages": [{"role": "user", "content": "2+2?"}]}  # fmt: skip
        started_s = time.monotonic()
        reply = self._client.post("/chat/completions", json=body)
        assert time.monotonic() - started_s < PATIENCE_S
        return reply

    def row(self) -> Any:
        """The newest call row, as soon as it is there."""
        return self.house.finished[-1]

    def close(self) -> None:
        """Close the client."""
        self._client.close()


@contextmanager
def scene_at(url: str | None = None) -> Iterator[Scene]:
    """A scene whose misbehaving model is an impatient one's server, or a place where none is.

    A name that nobody knows may take seconds to be known as that.
    """
    with upstreams("big", "small") as servers:
        config = document(
            {name: server.url for name, server in servers.items()}, cooldown={"failures": 1_000}
        )
        config["models"]["big"] |= {"timeouts": WAITS} if url is None else {"base_url": url}
        config["tasks"]["support"] = {"timeout_s": 3.0 if url is None else 12.0}
        with closing(House(config, Limits())) as house:
            house.transport._max_reply_bytes = 2_000_000  # so that little is sent to pass it
            house.start(
                Experiment(name="x", task="support", candidates=("big", "small"), unit="user", mode="ab")
            )
            with serving(house) as base_url, closing(Scene(house, base_url, servers["big"])) as scene:
                yield scene


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """The usual scene."""
    with scene_at() as made:
        yield made


def check_fallback(scene: Scene, streaming: bool) -> None:
    """The client has a whole answer of the fallback, and the assigned arm the failure."""
    before = len(scene.house.finished)
    reply = scene.ask("task/support", streaming)
    assert reply.status_code == 200
    assert reply.headers["x-pointsman-fallback-from"] == "big"
    assert reply.headers["x-pointsman-candidate"] == "big"
    if streaming:
        assert reply.content.endswith(DONE)
        assert b'"big"' not in reply.content
    else:
        assert reply.json()["model"] == "small"
    row = scene.row()
    assert len(scene.house.finished) == before + 1
    assert (row.served_model, row.arm, row.diverted, row.error, row.attempts) == ("small", 0, True, None, 2)
    assert row.cost_usd is not None
    assert row.cost_usd >= 140e-6 * (1 - 1e-9)  # the fallback's own, and what the first one may have cost


def check_error(scene: Scene, streaming: bool, code: str, seen: frozenset[int], retry_after: bool) -> None:
    """The client of a pinned model has one error in OpenAI's shape, that names neither place nor key."""
    reply = scene.ask("big", streaming)
    assert reply.status_code in seen
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert not any(
        word in reply.text for word in ("127.0.0.1", "sk-upstream", "Traceback", "upstream.invalid")
    )
    assert reply.headers["x-pointsman-decision"]
    assert ("retry-after" in reply.headers) is retry_after
    row = scene.row()
    assert (row.error, row.served_model, row.attempts) == (code, "big", 1)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_before_the_answer_is_mended_by_the_fallback_or_named(
    scene: Scene, rounds: int, kind: str
) -> None:
    """Streams and whole answers alike, as often as it happens."""
    found = FAULTS[kind]
    with nothing_left_behind(scene.house):
        for _ in range(rounds):
            for streaming in (False, True):
                scene.server.will(found.script)
                check_fallback(scene, streaming)
                check_error(scene, streaming, found.code, found.seen, found.retry_after)


@pytest.mark.parametrize("place", PLACES)
def test_an_upstream_that_cannot_be_reached_is_one_as_well(rounds: int, place: str) -> None:
    """Nobody listens there, or nobody knows the name: nothing was sent, so nothing is paid."""
    with scene_at(PLACES[place]) as scene, nothing_left_behind(scene.house):
        for _ in range(rounds):
            for streaming in (False, True):
                check_fallback(scene, streaming)
                check_error(scene, streaming, "connect_error", frozenset({502}), False)
                assert scene.row().cost_usd == 0.0


@pytest.mark.parametrize("kind", MIDWAY)
def test_a_fault_within_a_stream_is_an_error_at_its_end(scene: Scene, rounds: int, kind: str) -> None:
    """What came is there, then an error that clients raise on; nothing of another model, and no end mark."""
    with nothing_left_behind(scene.house):
        for _ in range(rounds):
            scene.server.will(MIDWAY[kind])
            reply = scene.ask("task/support", True)
            assert reply.status_code == 200
            assert b"[DONE]" not in reply.content
            assert b'"small"' not in reply.content
            events = reply.content.split(b"\n\n")
            assert orjson.loads(events[-2].removeprefix(b"data: "))["error"]["code"] == "stream_broken"
            row = scene.row()
            assert (row.error, row.arm, row.diverted, row.cost_estimated) == ("incomplete", 0, False, True)
            assert 0 < (row.cost_usd or 0) < 1e-2


@pytest.mark.parametrize("kind", ESTIMATED)
def test_usage_that_is_missing_or_cannot_be_true_is_estimated(scene: Scene, rounds: int, kind: str) -> None:
    """The answer is whole; only what it cost is ours to guess, and is said to be a guess."""
    with nothing_left_behind(scene.house):
        for _ in range(rounds):
            for streaming in (False, True):
                scene.server.will(usage_of(ESTIMATED[kind]))
                reply = scene.ask("task/support", streaming)
                assert reply.status_code == 200
                row = scene.row()
                assert (row.error, row.cost_estimated, row.input_tokens) == (None, True, 5)
                assert row.cost_usd == pytest.approx((5 * 10 + 30) / 1e6)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream"])
def test_a_stream_that_is_none_is_mended_and_an_answer_is_one_whatever_it_is_called(
    scene: Scene, rounds: int, kind: str
) -> None:
    """Content types are often wrong; what counts is whether the body is an answer."""

    def called(kind: str) -> Callable[[], Script]:
        return lambda: raw(head(content_type=kind) + b"content-length: %d\r\n\r\n" % len(body) + body)

    body = orjson.dumps(completion())
    for _ in range(rounds):
        scene.server.will(called(kind)())
        assert scene.ask("task/support", False).json()["model"] == "big"
        check_fallback(scene, True)
    scene.server.will(answer())
    assert scene.ask("task/support", True).content.endswith(DONE)
