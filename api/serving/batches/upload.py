"""Uploads: a form with a file and its purpose, written to disk as it arrives, every byte counted."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from api.serving.bodies import ClientGone
from api.serving.problems import BodyTooLarge
from router.errors import InvalidRequest

MAX_FILE_BYTES = 200_000_000
"""Longest input file, as OpenAI's."""
MAX_FIELD_BYTES = 1_024
MAX_PARTS = 8
MAX_NAME_CHARACTERS = 255
_WRITE_BYTES = 1_000_000


@dataclass
class _Part:
    """The part that is being read."""

    name: str = ""
    filename: str | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    value: bytearray = field(default_factory=bytearray)


class Upload:
    """Reads one form. What was written is left to the caller."""

    def __init__(self, request: Scope, path: Path, most_bytes: int) -> None:
        """`most_bytes` bounds the file by what the spool still takes."""
        kind, options = parse_options_header(_content_type(request))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise InvalidRequest("send a form (multipart/form-data) with the fields file and purpose", "file")
        self.purpose = ""
        self.filename = ""
        self._path = path
        self._most_bytes = min(most_bytes, MAX_FILE_BYTES)
        self._part = _Part()
        self._parts = self._written = 0
        self._header = b""
        self._waiting = bytearray()
        self._found = self._over = False
        calls: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin, "on_part_data": self._data, "on_part_end": self._end_part,
            "on_header_field": self._header_name, "on_header_value": self._header_value,
            "on_headers_finished": self._headers, "on_end": self._end,
        }  # fmt: skip
        self._parser = MultipartParser(boundary, calls)  # type: ignore[arg-type]  # reason: its typed dict names the same

    async def read(self, receive: Receive) -> None:
        """Read to the end; raises InvalidRequest, BodyTooLarge and ClientGone. The file is synced."""
        with self._path.open("xb") as file:
            os.chmod(self._path, 0o600)
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGone
                more = message.get("more_body", False)
                self._feed(message.get("body", b""))
                if len(self._waiting) >= _WRITE_BYTES:
                    await self._flush(file)
            await self._flush(file)
            await asyncio.to_thread(_sync, file)
        if not self._over or not self._found:
            raise InvalidRequest("the form ends before its end, or has no field file", "file")
        if self.purpose != "batch":
            raise InvalidRequest('purpose must be "batch"; files serve nothing else here', "purpose")

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest(f"the form cannot be read: {error}", "file") from None

    async def _flush(self, file: IO[bytes]) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        if data:
            await asyncio.to_thread(file.write, data)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"the form has more than {MAX_PARTS} fields; send file and purpose", "file")
        self._part, self._header = _Part(), b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        headers = self._part.headers
        headers[self._header] = headers.get(self._header, b"") + data[start:end]

    def _headers(self) -> None:
        """Which field begins. The parser gives names in pieces and says when all headers are there."""
        disposition = next(
            (value for name, value in self._part.headers.items() if name.endswith(b"content-disposition")),
            b"",
        )
        _, options = parse_options_header(disposition)
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if (filename := options.get(b"filename")) is not None:
            self._part.filename = _plain(filename.decode("utf-8", "replace"))
        if self._part.name == "file":
            if self._found:
                raise InvalidRequest("the form has two fields file; send one", "file")
            self._found, self.filename = True, self._part.filename or "upload.jsonl"

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == "file":
            self._written += end - start
            if self._written > self._most_bytes:
                raise BodyTooLarge(f"the file is longer than the {self._most_bytes} bytes that are taken now")
            self._waiting += data[start:end]
            return
        self._part.value += data[start:end]
        if len(self._part.value) > MAX_FIELD_BYTES:
            raise InvalidRequest(
                f"a field of the form is longer than {MAX_FIELD_BYTES} bytes", self._part.name[:80]
            )

    def _end_part(self) -> None:
        if self._part.name == "purpose":
            self.purpose = self._part.value.decode("utf-8", "replace")
        elif self._part.name != "file":
            name = self._part.name[:80]
            raise InvalidRequest(f"unknown field {name!r}; send file and purpose", name)

    def _end(self) -> None:
        self._over = True


def _plain(name: str) -> str:
    """A file's name for people, without folders and control characters; no file is ever opened by it."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable())[:MAX_NAME_CHARACTERS]


def _content_type(request: Scope) -> bytes:
    return next((bytes(value) for name, value in request["headers"] if name == b"content-type"), b"")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
