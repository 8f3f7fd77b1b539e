"""Server-sent events, parsed as they arrive.

Any division of the bytes into pieces gives the same events, and no event grows beyond a bound. Only the
data of events is kept: chat streams use neither names nor ids of events.
"""

from collections.abc import Iterator

from router.transport.transport import BrokenAnswer

MAX_EVENT_BYTES = 1_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventParser:
    r"""Turns pieces of a stream into the data of its events.

    >>> parser = EventParser()
    >>> [data for piece in (b"data: a\ndata: b\n", b"\n: ping\n\nda", b"ta:c\r\n\r\n") for data in parser.feed(piece)]
    [b'a\nb', b'c']
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first_line = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a piece; yield the data of each event it completes. Raises BrokenAnswer on a huge event."""
        if self._after_cr or b"\r" in piece:
            piece = self._newlines(piece)
        buffer = self._buffer
        buffer += piece
        start, end = 0, buffer.find(b"\n", self._scanned)
        while end >= 0:
            event = self._line(bytes(buffer[start:end]))
            if event:
                yield event
            start, end = end + 1, buffer.find(b"\n", end + 1)
        del buffer[:start]
        self._scanned = len(buffer)
        self._check(self._size + len(buffer))

    def end(self) -> Iterator[bytes]:
        """The stream ended cleanly: yield what a missing blank line held back."""
        for line in (bytes(self._buffer), b""):
            event = self._line(line) if line or self._data else None
            if event:
                yield event
        self._buffer.clear()
        self._scanned = 0

    def _line(self, line: bytes) -> bytes | None:
        """Take one line; return the event's data if the line ends an event that has any."""
        if self._first_line:
            self._first_line, line = False, line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            data, self._data, self._size = b"\n".join(self._data), [], 0
            return data
        self._size += len(line) + 1
        self._check(self._size)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")
        return None

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BrokenAnswer(f"an event of the stream is larger than {self._max_bytes} bytes")

    def _newlines(self, piece: bytes) -> bytes:
        """Make every line end a newline; one that follows a carriage return of the last piece is its half."""
        if not piece:
            return piece
        if self._after_cr and piece.startswith(b"\n"):
            piece, self._after_cr = piece[1:], False
            if not piece:
                return piece
        self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
