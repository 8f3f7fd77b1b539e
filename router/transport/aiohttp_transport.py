"""Upstreams through aiohttp: pooled keep-alive connections, bounded in time and size.

Compressed answers are not asked for and refused, so that nothing small can unfold into something huge.
"""

import asyncio
import io
import time
from collections.abc import Mapping
from functools import lru_cache

import aiohttp
from yarl import URL

from router.transport.transport import (
    MAX_REPLY_BYTES,
    BrokenAnswer,
    ConnectFailed,
    Deadlines,
    Reply,
    TimedOut,
    TransportError,
    Upstream,
)

KEEP_ALIVE_S = 30.0
STALE_S = 1.0
"""A kept connection that dies within this time of a request was closed by the upstream while idle."""
DRAIN_S, DRAIN_BYTES = 0.25, 64 * 1024
_LARGE_BODY_BYTES = 512 * 1024
_HEADERS = {"User-Agent": "pointsman", "Accept-Encoding": "identity", "Content-Type": "application/json"}
_HUNG_UP = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class AiohttpTransport:
    """A `Transport` for one event loop; the session opens with the first call."""

    def __init__(self, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def call(self, target: Upstream, body: bytes, deadlines: Deadlines) -> Reply:
        """Post a body and read the whole answer."""
        timeout = _timeout(_whole_ms(deadlines.total_s), _whole_ms(deadlines.connect_s))
        response = await self._post(target, body, timeout)
        try:
            content = await self._whole(response)
        except _FAILURES as error:
            raise _named(error) from None
        finally:
            response.close()  # harmless once the whole answer was read
        return Reply(response.status, content, response.headers.get("Retry-After"))

    async def stream(self, target: Upstream, body: bytes, deadlines: Deadlines) -> "AiohttpStream":
        """Post a body and return when the head of the answer is there."""
        started_s = time.monotonic()
        timeout = _timeout(None, _whole_ms(deadlines.connect_s))
        return AiohttpStream(await self._post(target, body, timeout), deadlines, started_s)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(
        self, target: Upstream, body: bytes, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The head of an answer; a connection that proves stale is replaced once."""
        headers = target.headers
        started_s = time.monotonic()
        try:
            try:
                response = await self._send(target.url, body, headers, timeout)
            except _HUNG_UP as error:
                if isinstance(error, aiohttp.ClientConnectorError) or time.monotonic() - started_s > STALE_S:
                    raise
                response = await self._send(target.url, body, headers, timeout)
        except _FAILURES as error:
            raise _named_before_head(error) from None
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise BrokenAnswer("the answer is compressed, which was not asked for")
        return response

    async def _send(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        data = io.BytesIO(body) if len(body) > _LARGE_BODY_BYTES else body
        session = self._session or self._open()
        place = URL(url, encoded=True) if "%" in url else url  # a signed path must arrive as it was signed
        return await session.post(place, data=data, headers=headers, timeout=timeout, allow_redirects=False)

    def _open(self) -> aiohttp.ClientSession:
        """No limit of connections: the gateway bounds the requests in flight."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,
        )
        return self._session

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, refused as soon as it is known to be too large."""
        length = response.content_length
        if length is not None and length <= self._max_reply_bytes:
            return await response.read()
        pieces: list[bytes] = []
        size = length or 0
        while size <= self._max_reply_bytes:
            piece = await response.content.readany()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
        raise BrokenAnswer(f"the answer is larger than {self._max_reply_bytes} bytes")


class AiohttpStream:
    """A streamed answer, watched by one timer: it looks only while somebody waits for the upstream."""

    def __init__(self, response: aiohttp.ClientResponse, deadlines: Deadlines, started_s: float) -> None:
        self.status = response.status
        self.retry_after = response.headers.get("Retry-After")
        self._response = response
        self._idle_s = deadlines.idle_s
        self._ends_s = started_s + deadlines.total_s
        self._waiting_s: float | None = None
        self._late = False
        self._timer = asyncio.get_running_loop().call_later(self._next_look_s(started_s), self._look)

    async def read(self) -> bytes:
        """The next piece; b"" at a clean end."""
        self._waiting_s = time.monotonic()
        try:
            piece = await self._response.content.readany()
        except _FAILURES as error:
            self.close()
            raise (TimedOut("the stream stopped") if self._late else _named(error)) from None
        finally:
            self._waiting_s = None
        if not piece:
            self._timer.cancel()
        return piece

    async def finish(self) -> None:
        """Read the little that follows the last event, so that the connection can serve again."""
        content, size = self._response.content, 0
        try:
            async with asyncio.timeout(DRAIN_S):
                while size < DRAIN_BYTES and (piece := await content.readany()):
                    size += len(piece)
        except _FAILURES:
            pass  # the answer is complete; only the connection is lost
        finally:
            self.close()

    def close(self) -> None:
        """Cut the connection, unless the answer was read to its end."""
        self._timer.cancel()
        self._response.close()

    def _look(self) -> None:
        """End a stream that is silent for too long, or over its time."""
        now_s = time.monotonic()
        waiting_s = now_s if self._waiting_s is None else self._waiting_s
        if now_s >= self._ends_s or now_s - waiting_s >= self._idle_s:
            self._late = True
            self._response.close()
            return
        self._timer = asyncio.get_running_loop().call_later(self._next_look_s(waiting_s), self._look)

    def _next_look_s(self, waiting_s: float) -> float:
        """Seconds until idleness since `waiting_s`, or the whole, may be over."""
        return max(0.001, min(waiting_s + self._idle_s, self._ends_s) - time.monotonic())


def _whole_ms(seconds: float) -> float:
    """A wait to the millisecond, and at least one: the library takes 0 for no limit."""
    return max(0.001, round(seconds, 3))


@lru_cache(maxsize=1_024)
def _timeout(total_s: float | None, connect_s: float) -> aiohttp.ClientTimeout:
    """Kept, as most requests have the same one to the millisecond and the library takes long to make it."""
    return aiohttp.ClientTimeout(total=total_s, connect=connect_s)


def _named_before_head(error: Exception) -> TransportError:
    """Name what happened before an answer began."""
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorDNSError):
        return ConnectFailed("no connection in time or no such host")
    if isinstance(error, TimeoutError):
        return TimedOut("no answer in time")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return BrokenAnswer("the answer is not HTTP")
    return ConnectFailed("no connection, or it was closed without an answer")


def _named(error: Exception) -> TransportError:
    """Name what happened within an answer. The library's own words would show URLs and headers."""
    if isinstance(error, TimeoutError):
        return TimedOut("the answer took too long")
    return BrokenAnswer("the answer was cut or is malformed")
