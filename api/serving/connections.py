"""Bounds on client connections: how many, how large a request's head, how long it may take to arrive.

The HTTP parser waits for ever on a client that sends half a request. Instead of timers for each request, one
sweep a second looks at all connections.
"""

from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.serving.metrics import Counters
from api.serving.problems import PROBLEMS, error_body

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 256
_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker grants its clients."""

    max_connections: int
    head_timeout_s: float
    body_timeout_s: float
    counters: Counters
    """Where refused connections are counted."""


class TooManyHeaders(Exception):
    """Stops the parser; the client has its answer."""


class BoundedConnection(HttpToolsProtocol):
    """One client connection; `waiting_since_s` is when the client began to owe us bytes."""

    limits: Limits

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # reason: the arguments are uvicorn's own business
        super().__init__(*args, **kwargs)
        self.waiting_since_s: float | None = self.loop.time()
        self._in_head = True
        self._idle = True
        self._head_bytes = 0

    def connection_made(
        self, transport: Any
    ) -> None:  # reason: uvicorn narrows asyncio's type in the same way
        """Refuse a connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self.limits.counters.add("connections_refused")
            self._refuse(
                "overloaded", f"more than {self.limits.max_connections} connections; try again later"
            )

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head without end."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._idle = False
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse("head_too_large", f"the request's head is longer than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """A head begins to arrive."""
        super().on_message_begin()
        self._in_head, self._idle, self._head_bytes = True, False, 0
        self.waiting_since_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is there, the body is next."""
        if len(self.headers) > MAX_HEADERS:
            self._refuse("head_too_large", f"the request's head has more than {MAX_HEADERS} headers")
            raise TooManyHeaders
        super().on_headers_complete()
        self._in_head = False
        self.waiting_since_s = self.loop.time()

    def on_message_complete(self) -> None:
        """The client owes nothing more."""
        super().on_message_complete()
        self.waiting_since_s = None

    def send_400_response(self, msg: str) -> None:
        """Say that this is not HTTP, unless something better was said."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def sweep(self, now_s: float) -> None:
        """End the connection if its client is late."""
        if self.waiting_since_s is None or self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is we who do not read
            self.waiting_since_s = now_s
            return
        limit_s = self.limits.head_timeout_s if self._in_head else self.limits.body_timeout_s
        if now_s - self.waiting_since_s > limit_s:
            self._end_late(limit_s)

    def _end_late(self, limit_s: float) -> None:
        answered = self.cycle is not None and self.cycle.response_started and not self._in_head
        if self._idle or answered:
            self.transport.close()
        else:
            part = "head" if self._in_head else "body"
            self._refuse("request_timeout", f"the request's {part} took longer than {limit_s:g} seconds")

    def _refuse(self, code: str, message: str) -> None:
        """Answer outside the application and close."""
        status, body = PROBLEMS[code].status, error_body(code, message)
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n%s"
            % (status, _REASONS[status], len(body), retry, body)
        )
        self.transport.close()


def bounded(limits: Limits) -> type[BoundedConnection]:
    """The connection class with these limits, for uvicorn's `http` setting."""
    return type("BoundedConnection", (BoundedConnection,), {"limits": limits})


def sweep(server: uvicorn.Server, now_s: float) -> int:
    """End the connections whose clients are late; returns how many are open."""
    connections = list(server.server_state.connections)
    for connection in connections:
        if isinstance(connection, BoundedConnection):
            connection.sweep(now_s)
    return len(connections)
