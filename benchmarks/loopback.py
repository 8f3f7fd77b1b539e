"""Both ends of a gateway benchmark: a fixed-answer upstream and a closed-loop load generator.

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


class Upstream(asyncio.Protocol):
    """Answers every complete request with the same bytes."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request whose body is complete."""
        self._held += data
        while (length := whole_message(self._held)) is not None:
            self._held = self._held[length:]
            self._transport.write(REPLY)


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
            good = self._held.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202"))
            self._held = self._held[length:]
            self._load.done(time.perf_counter() - self._sent, good)
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

    def __init__(self, path: str, bodies: list[bytes], seconds: float) -> None:
        head = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._requests = [head % (path.encode(), len(body)) + body for body in bodies]
        self._index = 0
        self._until = time.perf_counter() + seconds
        self.latencies_s: list[float] = []
        self.bad = 0

    def next_request(self) -> bytes | None:
        """The next request, cycling through the bodies; None once time is over."""
        if time.perf_counter() >= self._until:
            return None
        self._index += 1
        return self._requests[self._index % len(self._requests)]

    def done(self, latency_s: float, good: bool) -> None:
        """Count an answer."""
        self.latencies_s.append(latency_s)
        self.bad += not good


def whole_message(data: bytes) -> int | None:
    """Length of the first HTTP message with a content-length, or None while it is incomplete."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    lower = data[:head].lower()
    at = lower.find(b"content-length:")
    length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head + 4 + length if len(data) >= head + 4 + length else None


async def serve_upstream() -> None:
    """Serve until the parent closes the pipe; the port is the first line printed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


async def run_load(port: int, path: str, bodies: list[bytes], seconds: float, connections: int) -> Load:
    """Drive a server with a number of connections for some seconds."""
    loop = asyncio.get_running_loop()
    load = Load(path, bodies, seconds)
    clients = [
        await loop.create_connection(lambda: Client(load), "127.0.0.1", port) for _ in range(connections)
    ]
    while not all(transport.is_closing() for transport, _ in clients):
        await asyncio.sleep(0.02)
    return load


def main() -> None:
    """`upstream` serves; `load PORT PATH SECONDS CONNECTIONS` reads bodies, one a line, and prints figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["upstream", "load"])
    parser.add_argument("rest", nargs="*")
    arguments = parser.parse_args()
    if arguments.role == "upstream":
        asyncio.run(serve_upstream())
        return
    port, path, seconds, connections = arguments.rest
    bodies = sys.stdin.buffer.read().splitlines()
    load = asyncio.run(run_load(int(port), path, bodies, float(seconds), int(connections)))
    times = sorted(load.latencies_s)
    print(
        json.dumps(
            {
                "requests": len(times),
                "bad": load.bad,
                "per_second": len(times) / float(seconds),
                "p50_ms": times[len(times) // 2] * 1e3,
                "p99_ms": times[int(len(times) * 0.99)] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
