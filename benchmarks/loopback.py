"""Both ends of a gateway benchmark: a fixed-answer upstream, streams too, and a closed-loop load generator.

Small enough that the gateway between them is what is measured; they run on another core.
"""

import argparse
import asyncio
import json
import sys
import time

ANSWER = json.dumps(
    {
        "id": "chatcmpl-fixed",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "upstream",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 60}}
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180},
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES, APART_S = 16, 0.0005
"""Pieces of text in a streamed answer, and the time between two events."""
RETRY_S = 1.0
"""How long a client that heeds the retry-after header waits; it is the value that the server sends."""


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(delta: dict[str, str], usage: bool = False) -> bytes:
    """One event of a streamed answer."""
    content = {
        "id": "chatcmpl-fixed", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "upstream",
        "choices": [] if usage else [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180} if usage else None,
    }  # fmt: skip
    return chunk(b"data: %s\n\n" % json.dumps(content).encode())


EVENTS = (
    *[event({"content": "word " * 4})] * PIECES,
    event({}) + event({}, usage=True) + chunk(b"data: [DONE]\n\n") + chunk(b""),
)


class Upstream(asyncio.Protocol):
    """Answers every complete request with the same bytes."""

    def __init__(self, after_s: float = 0.0) -> None:
        self._held = b""
        self._after_s = after_s
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request whose body is complete."""
        self._held += data
        while (length := whole_message(self._held)) is not None:
            request, self._held = self._held[:length], self._held[length:]
            if b'"stream":true' in request:
                self._transport.write(STREAM_HEAD)
                self._stream(0)
            elif self._after_s:
                self._loop.call_later(self._after_s, self._transport.write, REPLY)
            else:
                self._transport.write(REPLY)

    def _stream(self, position: int) -> None:
        """Write one event, and the others later."""
        self._transport.write(EVENTS[position])
        if position + 1 < len(EVENTS):
            self._loop.call_later(APART_S, self._stream, position + 1)


class Client(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._held = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count a complete answer and go on."""
        self._held += data
        if (length := whole_message(self._held)) is not None:
            refused = self._load.done(time.perf_counter() - self._sent, self._held)
            self._held = self._held[length:]
            if refused and self._load.patient:
                asyncio.get_running_loop().call_later(RETRY_S, self._send)
            else:
                self._send()

    def _send(self) -> None:
        request = self._load.next_request()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


class Load:
    """What the clients of one run share."""

    def __init__(
        self, path: str, bodies: list[bytes], seconds: float, headers: bytes = b"", patient: bool = False
    ) -> None:
        """`patient` clients heed retry-after."""
        self.patient = patient
        head = b"POST %s HTTP/1.1\r\nhost: localhost\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._requests = [head % (path.encode(), headers, len(body)) + body for body in bodies]
        self._index = 0
        self._until = time.perf_counter() + seconds
        self.latencies_s: list[float] = []
        self.bad = 0
        self.overloaded = 0
        """Of the bad ones, those that say when to come again."""

    def next_request(self) -> bytes | None:
        """The next request, cycling through the bodies; None once time is over."""
        if time.perf_counter() >= self._until:
            return None
        self._index += 1
        return self._requests[self._index % len(self._requests)]

    def done(self, latency_s: float, answer: bytes) -> bool:
        """Count an answer, its latency where it is a good one; whether the client shall come again later."""
        if answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            self.latencies_s.append(latency_s)
            return False
        self.bad += 1
        later = answer.startswith(b"HTTP/1.1 503") and b"\r\nretry-after: " in answer
        self.overloaded += later
        return later


def whole_message(data: bytes) -> int | None:
    """Length of the first HTTP message, or None while it is incomplete; a chunked one is alone in `data`."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    lower = data[:head].lower()
    if b"transfer-encoding: chunked" in lower:
        return len(data) if data.endswith(b"\r\n0\r\n\r\n") else None
    at = lower.find(b"content-length:")
    length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head + 4 + length if len(data) >= head + 4 + length else None


async def serve_upstream(after_s: float) -> None:
    """Serve until the parent closes the pipe; the port is the first line printed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(after_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


async def run_load(load: Load, port: int, connections: int) -> None:
    """Drive a server with a number of connections until the load's time is over."""
    loop = asyncio.get_running_loop()
    clients = [
        await loop.create_connection(lambda: Client(load), "127.0.0.1", port) for _ in range(connections)
    ]
    while not all(transport.is_closing() for transport, _ in clients):
        await asyncio.sleep(0.02)


def figures(load: Load) -> dict[str, float]:
    """What came of a load."""
    times = sorted(load.latencies_s) or [0.0]
    return {
        "requests": len(load.latencies_s) + load.bad,
        "bad": load.bad,
        "overloaded": load.overloaded,
        "p50_ms": times[len(times) // 2] * 1e3,
        "p99_ms": times[int(len(times) * 0.99)] * 1e3,
    }


def main() -> None:
    """`upstream` serves; `load` reads bodies, one a line, and prints figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    answering = roles.add_parser("upstream")
    answering.add_argument("--after-s", type=float, default=0.0, help="time until a whole answer")
    driving = roles.add_parser("load")
    driving.add_argument("port", type=int)
    driving.add_argument("path")
    driving.add_argument("seconds", type=float)
    driving.add_argument("connections", type=int)
    driving.add_argument("--headers", default="", help="further header lines, each ended by CRLF")
    driving.add_argument("--patient", action="store_true", help="heed retry-after")
    asked = parser.parse_args()
    if asked.role == "upstream":
        asyncio.run(serve_upstream(asked.after_s))
        return
    bodies = sys.stdin.buffer.read().splitlines()
    load = Load(asked.path, bodies, asked.seconds, asked.headers.encode("latin-1"), asked.patient)
    asyncio.run(run_load(load, asked.port, asked.connections))
    print(json.dumps(figures(load)))


if __name__ == "__main__":
    main()
