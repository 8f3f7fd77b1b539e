"""Files and batches of a running server, over HTTP with the standard library."""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from api.remote import RemoteTarget, connect

Json = dict[str, Any]  # reason: as the server wrote it
_CHUNK = 256 * 1024
UPLOAD_S = 600.0


def connect_batches(url: str, key: str | None) -> "RemoteBatches":
    """The batches of a server at an http or https URL."""
    return RemoteBatches(connect(url, key))


class RemoteBatches:
    """What one key may do with its batches."""

    def __init__(self, target: RemoteTarget) -> None:
        self._target = target

    def upload(self, path: Path) -> str:
        """Upload an input file; its id."""
        boundary = secrets.token_hex(16)
        name = path.name.replace("\\", "_").replace('"', "_")
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            headers = {
                "content-type": f"multipart/form-data; boundary={boundary}",
                "content-length": str(len(head) + size + len(tail)),
            }
            raw = self._target.send("/v1/files", _pieces(head, file, tail), headers, UPLOAD_S)
        return str(json.loads(raw)["id"])

    def create(self, file_id: str, endpoint: str) -> Json:
        """Open a batch."""
        body = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h"}
        return dict(self._target.ask("POST", "/v1/batches", body))

    def batches(self) -> list[Json]:
        """The newest batches first."""
        found = self._target.ask("GET", "/v1/batches?limit=100")["data"]
        assert isinstance(found, list)
        return found

    def batch(self, batch_id: str) -> Json:
        """One batch."""
        return dict(self._target.ask("GET", f"/v1/batches/{_part(batch_id)}"))

    def cancel(self, batch_id: str) -> Json:
        """Ask for a batch's end."""
        return dict(self._target.ask("POST", f"/v1/batches/{_part(batch_id)}/cancel", {}))

    def fetch(self, file_id: str, into: IO[bytes]) -> None:
        """Write a file's content, piece by piece."""
        for piece in self._target.pieces(f"/v1/files/{_part(file_id)}/content", _CHUNK):
            into.write(piece)


def _part(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def _pieces(head: bytes, file: IO[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    while piece := file.read(_CHUNK):
        yield piece
    yield tail
