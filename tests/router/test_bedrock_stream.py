"""Streams of Bedrock's Converse API: AWS's binary events, whole and damaged, and the chunks that they become."""

from binascii import crc32
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.transport.transport import BrokenAnswer
from router.upstream.dialects.bedrock_stream import BinaryParser, ConverseDecoder
from tests.servers.bedrock import BEGIN, METADATA, binary_event, called, events, said, stop


def read(pieces: list[bytes]) -> list[bytes]:
    """The events of a stream that arrives in these pieces."""
    parser = BinaryParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def decoded(*pieces: bytes) -> list[Any]:
    """The chunks that they become."""
    decoder = ConverseDecoder(0)
    return [chunk for data in read(list(pieces)) for chunk in decoder.feed(data)]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 60), max_size=30))
def test_any_division_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    """Networks divide as they like."""
    whole, pieces = b"".join(events(said("fo", "ur"), called("c1", "add", '{"a":', "1}", index=1))), []
    for cut in cuts:
        pieces.append(whole[:cut])
        whole = whole[cut:]
    assert read([*pieces, whole]) == read(
        events(said("fo", "ur"), called("c1", "add", '{"a":', "1}", index=1))
    )


@given(st.integers(0, len(stop()) - 1), st.integers(1, 255))
def test_a_damaged_event_breaks_the_stream_or_stays_unread(place_of_byte: int, change: int) -> None:
    """Both checksums guard it: no wrong byte is ever taken for a word."""
    damaged = bytearray(stop())
    damaged[place_of_byte] ^= change
    try:
        assert read([bytes(damaged)]) == []
    except BrokenAnswer:
        return


@pytest.mark.parametrize("place_of_byte", [3, 9, 20, len(stop()) - 8, len(stop()) - 1])
def test_a_wrong_checksum_breaks_the_stream(place_of_byte: int) -> None:
    """Of the lengths, of the headers, of the payload: nothing after it can be trusted."""
    damaged = bytearray(stop())
    damaged[place_of_byte] ^= 1
    with pytest.raises(BrokenAnswer, match="malformed"):
        read([bytes(damaged), bytes(damaged)])


def test_a_huge_event_is_refused_before_it_is_there() -> None:
    """A length of twenty megabytes is allowed by AWS's own parser; memory here is bounded below that."""
    lengths = pack("!II", 20_000_000, 0)
    parser = BinaryParser(max_bytes=100_000)
    for piece in (lengths + pack("!I", crc32(lengths)), *[b"x" * 9_000] * 11):
        assert list(parser.feed(piece)) == []
    with pytest.raises(BrokenAnswer, match="larger than 100000 bytes"):
        list(parser.feed(b"x" * 9_000))


@pytest.mark.parametrize(
    "event",
    [binary_event(b"x", "messageStop"), binary_event(5, "messageStop"), binary_event({}, "messageStop"),
     binary_event({"stopReason": "malformed_tool_use"}, "messageStop"), binary_event({}, "contentBlockDelta"),
     binary_event({"delta": {"text": 5}}, "contentBlockDelta"),
     binary_event({"start": {"image": {"format": "png"}}}, "contentBlockStart"),
     binary_event({"message": "m"}, "modelStreamErrorException", "exception"),
     binary_event({"message": "m"}, "InternalFailure", "error")],
)  # fmt: skip
def test_an_event_that_cannot_be_of_such_a_stream_breaks_it(event: bytes) -> None:
    """Half-understood events would show half an answer."""
    with pytest.raises(BrokenAnswer):
        decoded(BEGIN, event)


def test_events_of_the_future_are_left_out() -> None:
    """A new kind of event or block must not break old programs."""
    block = {"contentBlockIndex": 0, "delta": {"citation": {}}}
    decoder = ConverseDecoder(0)
    for event in (binary_event({"x": 1}, "newThing"), binary_event(block, "contentBlockDelta")):
        assert [list(decoder.feed(data)) for data in read([event])] == [[]]
    assert not decoder.done
    list(decoder.feed(read([METADATA])[0]))
    assert decoder.done
