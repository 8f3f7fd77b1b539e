"""A real OpenAI-compatible server on loopback that answers, or misbehaves, as each test tells it to."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@dataclass
class Request:
    """What one request looked like when it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any
    at_s: float = field(default_factory=time.monotonic)
    raw: bytes = b""
    """The body as it came, for signatures."""


class Wire:
    """The connection as a script sees it: raw bytes out, and whether the client is still there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send raw bytes now."""
        self._writer.write(data)
        await self._writer.drain()

    async def gone(self) -> None:
        """Wait until the client closes the connection."""
        try:
            while await self._reader.read(65_536):
                pass
        except ConnectionError:
            return

    def cut(self) -> None:
        """Reset the connection without a goodbye."""
        self._writer.transport.abort()


Script = Callable[[Request, Wire], Awaitable[None]]


class UpstreamServer:
    """Runs in a thread; `will` queues scripts for the next requests, of which the last repeats for ever."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.left_after_s: list[float] = []
        """For each client that left a waiting script: seconds since its request."""
        self.connections = 0
        self._scripts: list[Script] = [answer()]
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    @property
    def url(self) -> str:
        """Base URL for a model's configuration."""
        return f"http://127.0.0.1:{self._port}/v1"

    def will(self, *scripts: Script) -> None:
        """Behave like this from now on."""
        self._scripts = list(scripts)

    def stop(self) -> None:
        """End the server and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read_request(reader):
                self.requests.append(request)
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                await script(request, wire := Wire(reader, writer))
                if getattr(script, "ends", False):
                    break
                if getattr(script, "waits", False):
                    await wire.gone()
                    self.left_after_s.append(time.monotonic() - request.at_s)
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line:
        return None
    headers: dict[str, str] = {}
    while (header := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(line.decode().split()[1], headers, orjson.loads(body), raw=body)


def ending(script: Script) -> Script:
    """The connection closes cleanly after the script."""
    script.ends = True  # type: ignore[attr-defined]  # reason: read by the server
    return script


def waiting(script: Script) -> Script:
    """After the script the server goes silent until the client leaves."""
    script.waits = True  # type: ignore[attr-defined]  # reason: read by the server
    return script


def after(seconds: float, script: Script) -> Script:
    """Do the same, later; then the connection closes."""

    async def later(request: Request, wire: Wire) -> None:
        await asyncio.sleep(seconds)
        await script(request, wire)

    return ending(later)


def head(status: int = 200, content_type: str = "application/json", extra: str = "") -> bytes:
    """A response head up to, and without, its framing and blank line."""
    return f"HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\n{extra}".encode()


def whole(body: bytes, status: int = 200, extra: str = "") -> bytes:
    """A complete response."""
    return head(status, extra=extra) + b"content-length: %d\r\n\r\n" % len(body) + body


def chunked(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n" % len(data) + data + b"\r\n"


def completion(content: str = "four", **changes: Any) -> dict[str, Any]:
    """A chat answer as OpenAI gives it."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        "id": "chatcmpl-upstream", "object": "chat.completion", "created": 1_700_000_000, "model": "upstream-name",
        "choices": [choice], "usage": USAGE, **changes,
    }  # fmt: skip


def chunk(
    content: str | None = None, finish: str | None = None, index: int = 0, **changes: Any
) -> dict[str, Any]:
    """A chunk of a streamed answer."""
    delta = {} if content is None else {"content": content}
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {
        "id": "chatcmpl-upstream", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": "upstream-name", "choices": [choice], "usage": None, **changes,
    }  # fmt: skip


def event(data: object) -> bytes:
    """One server-sent event."""
    return b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + b"\n\n"


ROLE = event(
    {
        **chunk(),
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
)
TEXT = [ROLE, event(chunk("fo")), event(chunk("ur"))]
FINISH = event(chunk(finish="stop"))
USAGE_EVENT = event(chunk(choices=[], usage=USAGE))
DONE = event(b"[DONE]")
GOOD_STREAM = [*TEXT, FINISH, USAGE_EVENT, DONE]


def answer(content: str = "four", **changes: Any) -> Script:
    """Answer well: whole or streamed, as the request asks."""

    async def script(request: Request, wire: Wire) -> None:
        if request.body.get("stream"):
            await stream(*GOOD_STREAM)(request, wire)
        else:
            await wire.send(whole(orjson.dumps(completion(content, **changes))))

    return script


def status(code: int, body: object = b"", extra: str = "") -> Script:
    """Answer with a status."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(whole(body if isinstance(body, bytes) else orjson.dumps(body), code, extra))

    return script


def stream(*events: bytes, pause_s: float = 0.0) -> Script:
    """Stream these bytes as chunks and end the body properly."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(head(content_type="text/event-stream") + b"transfer-encoding: chunked\r\n\r\n")
        for piece in events:
            await wire.send(chunked(piece))
            await asyncio.sleep(pause_s)
        await wire.send(b"0\r\n\r\n")

    return script


def cut_stream(*events: bytes) -> Script:
    """Stream these bytes as chunks, then close the connection in the middle of the body."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(head(content_type="text/event-stream") + b"transfer-encoding: chunked\r\n\r\n")
        for piece in events:
            await wire.send(chunked(piece))

    return ending(script)


def unframed_stream(*events: bytes) -> Script:
    """Stream these bytes with the end of the connection as the only mark of the end."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(head(content_type="text/event-stream") + b"connection: close\r\n\r\n")
        for piece in events:
            await wire.send(piece)

    return ending(script)


def silent_after(*events: bytes) -> Script:
    """Stream these bytes as chunks, then say nothing until the client leaves."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(head(content_type="text/event-stream") + b"transfer-encoding: chunked\r\n\r\n")
        for piece in events:
            await wire.send(chunked(piece))

    return waiting(script)


def silent() -> Script:
    """Take the request and never answer."""

    async def script(request: Request, wire: Wire) -> None:
        return

    return waiting(script)


def raw(data: bytes) -> Script:
    """Send these bytes and close."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.send(data)

    return ending(script)


def hang_up() -> Script:
    """Reset the connection without an answer."""

    async def script(request: Request, wire: Wire) -> None:
        wire.cut()

    return ending(script)
