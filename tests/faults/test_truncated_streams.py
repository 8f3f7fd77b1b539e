"""F15: streams cut anywhere, in any framing: never taken for whole or spliced, and mended while nothing was sent."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx
import orjson
import pytest

from router.upstream.dispatch import Limits
from tests.faults.watching import nothing_left_behind
from tests.servers.dialects import message_events, response_events, responses, said
from tests.servers.house import House, document, serving, upstreams
from tests.servers.upstream import (
    DONE,
    GOOD_STREAM,
    Request,
    Script,
    UpstreamServer,
    Wire,
    answer,
    chunk,
    chunked,
    ending,
    event,
    head,
)

pytestmark = pytest.mark.process
Framing = Literal["cut within a chunk", "cut between chunks", "clean end", "end of the connection"]
FRAMINGS: tuple[Framing, ...] = (
    "cut within a chunk",
    "cut between chunks",
    "clean end",
    "end of the connection",
)
CUTS_PER_ROUND = 12
WORD = "f\u00fc\U0001f600r"


@dataclass(frozen=True)
class Family:
    """The streams of one API: its events, of which one begins the answer and one completes it."""

    path: str
    events: Sequence[bytes]
    begins: int
    completes: int
    whole: Script
    """Of the fallback, which speaks OpenAI's way."""

    @property
    def data(self) -> bytes:
        """All bytes of a good stream."""
        return b"".join(self.events)

    def end_of(self, place: int) -> int:
        """Where an event ends, its blank line included."""
        return len(b"".join(self.events[: place + 1]))


SPOKEN = [GOOD_STREAM[0], event(chunk(WORD)), *GOOD_STREAM[1:]]
MESSAGES = message_events(said(WORD, "ur"))
RESPONSES = response_events(WORD)
FAMILIES: Mapping[str, Family] = {
    "chat": Family("/chat/completions", SPOKEN, 0, 4, answer()),
    "messages": Family("/chat/completions", MESSAGES, 3, len(MESSAGES) - 2, answer()),
    "responses": Family("/responses", RESPONSES, 2, len(RESPONSES) - 1, responses()),
}


def sent(data: bytes, framing: Framing, draw: random.Random) -> Script:
    """These bytes in pieces of any size, ended in this way."""
    places = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(6)))
    pieces = [
        data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if end > start
    ]

    async def script(request: Request, wire: Wire) -> None:
        plain = framing == "end of the connection"
        kind = b"connection: close\r\n\r\n" if plain else b"transfer-encoding: chunked\r\n\r\n"
        await wire.send(head(content_type="text/event-stream") + kind)
        for piece in pieces[:-1]:
            await wire.send(piece if plain else chunked(piece))
        last = pieces[-1] if pieces else b""
        if framing == "cut within a chunk":
            await wire.send(b"%x\r\n" % (len(last) + 7) + last)
        elif last:
            await wire.send(last if plain else chunked(last))
        if framing == "clean end":
            await wire.send(b"0\r\n\r\n")

    return ending(script)


@dataclass(frozen=True)
class Scene:
    """A served house of which the decided model cuts its streams and the fallback does not."""

    name: str
    family: Family
    house: House
    servers: Mapping[str, UpstreamServer]
    client: httpx.Client

    def ask(self, script: Script) -> str:
        """The text of one stream that the decided model gives so; what was learned of its site is forgotten."""
        self.servers["big"].will(script)
        self.servers["small"].will(self.family.whole)
        fleet = self.house.dispatcher.fleet
        fleet._health.clear()
        fleet._snapshot = None
        said = (
            {"input": "?"} if self.name == "responses" else {"messages": [{"role": "user", "content": "?"}]}
        )
        reply = self.client.post(self.family.path, json={"model": "auto", "stream": True, **said})
        return reply.content.decode(errors="strict")


@pytest.fixture(scope="module", params=FAMILIES)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """One for each API."""
    with upstreams("big", "small") as servers:
        config = document(
            {name: server.url for name, server in servers.items()}, cooldown={"failures": 1_000}
        )
        if request.param == "messages":
            config["models"]["big"] |= {"dialect": "anthropic"}
        house = House(config, Limits())
        with serving(house) as url, httpx.Client(base_url=url, timeout=60) as client:
            yield Scene(request.param, FAMILIES[request.param], house, servers, client)
        house.close()


def is_whole(text: str, family: str) -> bool:
    """Whether a client takes it for a whole answer."""
    return (
        '"type":"response.completed"' in text if family == "responses" else text.endswith("data: [DONE]\n\n")
    )


def ends_with_an_error(text: str, family: str) -> bool:
    """Whether its last event is an error in the stream's own family."""
    last = text.split("\n\n")[-2]
    fields = orjson.loads(last.split("data: ", 1)[1])
    if family == "responses":
        return (
            last.startswith("event: error\n")
            and fields["type"] == "error"
            and fields["code"] == "stream_broken"
        )
    return bool(fields["error"]["code"] == "stream_broken")


def test_a_stream_cut_anywhere_is_told_for_what_it_is(scene: Scene, rounds: int) -> None:
    """Before the answer begins the fallback gives all of it; then the client has the error, unless all was said.

    At a clean end the last event counts without its blank line. A failure names its seed.
    """
    known = scene.family
    begins, completes = known.end_of(known.begins), known.end_of(known.completes)
    with nothing_left_behind(scene.house):
        for seed in range(CUTS_PER_ROUND * rounds):
            draw = random.Random(seed)
            framing = FRAMINGS[seed % 4]
            within = known.data.index(WORD.encode()) + len(WORD.encode()) // 2  # a character of four bytes
            edge = draw.choice([begins, completes, len(known.data), within]) + draw.randrange(-3, 3)
            cut = max(
                0, min(edge if draw.random() < 0.4 else draw.randrange(len(known.data)), len(known.data))
            )
            spare = 2 if framing in ("clean end", "end of the connection") else 0
            text = scene.ask(sent(known.data[:cut], framing, draw))
            row, where = scene.house.finished[-1], (seed, framing, cut)
            found = (is_whole(text, scene.name), row.error, row.served_model)
            if cut < begins - spare:
                assert found == (True, None, "small"), where
            elif cut < completes - spare:
                assert found == (False, "incomplete", "big"), where
                assert ends_with_an_error(text, scene.name), where
                assert '"small"' not in text, where
            else:
                assert found == (True, None, "big"), where


@pytest.mark.parametrize(
    "behind", [DONE, event(chunk("more")), b"data: \xff\n\n", b": ping\n\n", event({"error": {}})]
)
def test_nothing_behind_the_end_is_part_of_the_answer(scene: Scene, rounds: int, behind: bytes) -> None:
    """Two ends, text behind the end, garbage: one answer, whole, with one end."""
    with nothing_left_behind(scene.house):
        for seed in range(2 * rounds):
            text = scene.ask(sent(scene.family.data + behind, FRAMINGS[seed % 4], random.Random(seed)))
            assert is_whole(text, scene.name)
            assert text.count("[DONE]") == (scene.name != "responses")
            assert text.count("response.completed") == 2 * (
                scene.name == "responses"
            )  # in its name and its type
            assert "more" not in text
            assert scene.house.finished[-1].error is None
