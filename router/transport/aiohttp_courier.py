"""The courier through aiohttp."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from router.transport.transport import (
    BrokenAnswer,
    ConnectFailed,
    Deadlines,
    Reply,
    TimedOut,
    TransportError,
    Upstream,
)

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Largest answer that is kept in memory: a page of a list, not a file."""
_CHUNK = 256 * 1024
_HEADERS = {"User-Agent": "pointsman", "Accept-Encoding": "identity"}
_FAILURES = (aiohttp.ClientError, TimeoutError, ValueError)
_JSON = {"Content-Type": "application/json"}


class AiohttpCourier:
    """A `Courier` for one event loop; the session opens with the first question."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, target: Upstream, deadlines: Deadlines) -> Reply:
        """Read a whole answer."""
        async with self._asked("GET", target, None, {}, deadlines) as response:
            return await _whole(response)

    async def post(self, target: Upstream, body: bytes | Path, deadlines: Deadlines) -> Reply:
        """Post JSON, from memory or from a file."""
        if isinstance(body, bytes):
            async with self._asked("POST", target, body, _JSON, deadlines) as response:
                return await _whole(response)
        with body.open("rb") as file:
            async with self._asked("POST", target, file, _JSON, deadlines) as response:
                return await _whole(response)

    async def upload(
        self, target: Upstream, path: Path, name: str, purpose: str, deadlines: Deadlines
    ) -> Reply:
        """Post a file as a form, under a name."""
        with path.open("rb") as file:
            form = aiohttp.FormData()
            form.add_field("purpose", purpose)
            form.add_field("file", file, filename=name, content_type="application/jsonl")
            async with self._asked("POST", target, form, {}, deadlines) as response:
                return await _whole(response)

    async def download(self, target: Upstream, path: Path, most_bytes: int, deadlines: Deadlines) -> int:
        """Write an answer of status 200 to a file; returns the status."""
        async with self._asked("GET", target, None, {}, deadlines) as response:
            if response.status != 200:
                return response.status
            size = 0
            with path.open("wb") as file:
                async for piece in response.content.iter_chunked(_CHUNK):
                    size += len(piece)
                    if size > most_bytes:
                        raise BrokenAnswer(f"the file is larger than {most_bytes} bytes")
                    file.write(piece)
            return 200

    async def peek(self, target: Upstream, deadlines: Deadlines) -> bytes:
        """The first line of an answer of status 200; b"" for any other."""
        async with self._asked("GET", target, None, {}, deadlines) as response:
            start = b""
            if response.status == 200:
                async for piece in response.content.iter_any():
                    start += piece
                    if b"\n" in piece or len(start) > MAX_ANSWER_BYTES:
                        break
            return start.partition(b"\n")[0]

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _asked(
        self, method: str, target: Upstream, body: Any, headers: dict[str, str], deadlines: Deadlines
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # reason: bytes, a file or a form
        """An answer whose head is there; the library's own words would show URLs and headers."""
        session = self._session = self._session or _opened()
        timeout = aiohttp.ClientTimeout(
            total=deadlines.total_s, connect=deadlines.connect_s, sock_read=deadlines.idle_s
        )
        try:
            async with session.request(
                method, target.url, data=body, headers={**target.headers, **headers}, timeout=timeout,
                allow_redirects=False,
            ) as response:  # fmt: skip
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise BrokenAnswer("the answer is compressed, which was not asked for")
                yield response
        except TransportError:
            raise
        except _FAILURES as error:
            raise _named(error) from None


def _opened() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), headers=_HEADERS, auto_decompress=False, trust_env=False
    )


async def _whole(response: aiohttp.ClientResponse) -> Reply:
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(_CHUNK):
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise BrokenAnswer(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        pieces.append(piece)
    return Reply(response.status, b"".join(pieces), response.headers.get("Retry-After"))


def _named(error: Exception) -> TransportError:
    """Only a connection that never stood is certain to have done nothing."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectFailed("no connection in time or no such host")
    if isinstance(error, TimeoutError):
        return TimedOut("no answer in time")
    return BrokenAnswer("the answer was cut or is malformed")
