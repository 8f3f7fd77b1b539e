"""The parser of server-sent events."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.transport.transport import BrokenAnswer
from router.upstream.sse import EventParser

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data: \xc3\xa9", b"data", b"data:", b"data:  two", b": ping", b"event: x", b"id: 1",
     b"", b"", b"nonsense", b"data: [DONE]", b"dat"]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Bytes that look like a stream, with all three kinds of line end."""
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=30))
    return b"".join(line + end for line, end in lines) + draw(
        st.sampled_from([b"", b"data: tail", b"data: t\r"])
    )


def parse(pieces: list[bytes], max_bytes: int = 1_000) -> tuple[list[bytes], bool]:
    """Events of a stream given in pieces, and whether it was refused as too large."""
    parser, events = EventParser(max_bytes), []
    try:
        for piece in pieces:
            events.extend(parser.feed(piece))
        events.extend(parser.end())
    except BrokenAnswer:
        return events, True
    return events, False


def cut_at(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data divided at these places."""
    places = sorted({min(cut, len(data)) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def by_the_book(data: bytes) -> list[bytes]:
    """Events by a direct reading of the standard, on the whole text at once."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events, values = [], []
    for line in [*lines, b""]:
        if line.startswith(b"data:"):
            values.append(line[5:].removeprefix(b" "))
        elif line == b"data":
            values.append(b"")
        elif not line:
            events.append(b"\n".join(values))
            values = []
    return [event for event in events if event]


@given(streams())
def test_a_stream_read_at_once_gives_the_events_of_the_standard(data: bytes) -> None:
    """An independent, slow reading of the standard is the reference for the incremental one."""
    assert parse([data]) == (by_the_book(data), False)


@given(streams(), st.lists(st.integers(0, 300), max_size=20))
def test_any_division_into_pieces_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    """Networks cut anywhere: in a line end, in a character, in the word `data`."""
    assert parse(cut_at(data, cuts)) == parse([data])


@given(streams(), st.lists(st.integers(0, 300), max_size=20), st.integers(1, 60))
def test_what_is_too_large_does_not_depend_on_the_division(data: bytes, cuts: list[int], limit: int) -> None:
    """The bound is on the event, not on the buffer, so that behaviour does not vary with the network."""
    assert parse(cut_at(data, cuts), limit) == parse([data], limit)


@given(streams())
def test_every_byte_by_itself_gives_the_same_events(data: bytes) -> None:
    """The hardest division of all."""
    assert parse([bytes([byte]) for byte in data]) == parse([data])


def test_a_byte_order_mark_is_skipped_only_at_the_start() -> None:
    """The standard allows one there; elsewhere it is part of a line."""
    mark = b"\xef\xbb\xbf"
    assert parse([mark[:1], mark[1:] + b"data: a\n\n"]) == ([b"a"], False)
    assert parse([b"data: a\n\n" + mark + b"data: b\n\n"]) == ([b"a"], False)


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 10_000, b"data: x\n" * 1_000, b": " + b"x" * 10_000])
def test_an_endless_event_is_refused_within_its_bound(endless: bytes) -> None:
    """A line, a list of lines or a comment without end must not fill the memory."""
    parser = EventParser(100_000)
    tracemalloc.start()
    with pytest.raises(BrokenAnswer, match="larger than 100000 bytes"):
        feed_until_refused(parser, endless)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def feed_until_refused(parser: EventParser, piece: bytes) -> None:
    """Feed the same piece a few times more than the bound allows."""
    for _ in range(100_000 // len(piece) + 2):
        list(parser.feed(piece))


def test_a_stream_of_many_small_events_keeps_nothing() -> None:
    """The bound is for one event; a long stream of small ones goes on for ever."""
    parser = EventParser(100)
    assert sum(len(list(parser.feed(b"data: 0123456789\n\n"))) for _ in range(10_000)) == 10_000
