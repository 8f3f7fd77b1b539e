"""The batch API of OpenAI and of all who speak as it does: a file goes up, a batch is made of it, files come down."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from router.batching.answers import cancel, checked_id, dumped, fetch, get_object, read_object
from router.batching.batch_api import LONG, QUICK, SIGN, Asked, BatchApiError, Look, Place, Result
from router.transport.courier import Courier
from router.transport.transport import ConnectFailed, TransportError, Upstream
from storage.spool.rows import GroupRow

_ENDED = ("completed", "failed", "expired", "cancelled")
_PAGES, _PAGE = 20, 100
"""How far back a batch is looked for: two thousand batches of one key are more than any crash takes to mend."""


class OpenAIBatches:
    """`/files` and `/batches` below a model's base URL."""

    most_lines = 50_000
    most_bytes = 150_000_000
    """Of the client's lines; the upstream takes 200 MB, and a body may grow by what the configuration adds."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def write(self, path: Path, asked: Iterable[Asked], url: str) -> None:
        """One request to a line."""
        with path.open("wb") as file:
            for each in asked:
                line = {
                    "custom_id": each.custom_id,
                    "method": "POST",
                    "url": url,
                    "body": orjson.Fragment(each.body),
                }
                file.write(orjson.dumps(line) + b"\n")

    async def send(self, place: Place, group: GroupRow, path: Path) -> str:
        """Upload, then create. Only creating costs anything; an upload that was lost is made again."""
        what = "uploading the requests"
        try:
            reply = await self._courier.upload(_at(place, "/files"), path, f"{group.id}.jsonl", "batch", LONG)
        except TransportError as error:
            raise BatchApiError("later", f"{what}: {error}") from None
        file_id = checked_id(read_object(reply, what).get("id"), what)
        body = {
            "input_file_id": file_id, "endpoint": place.url, "completion_window": "24h", "metadata": {SIGN: group.id},
        }  # fmt: skip
        what = "creating the batch"
        target = _at(place, "/batches")
        target = Upstream(target.url, target.key, {**target.headers, "Idempotency-Key": group.id})
        try:
            reply = await self._courier.post(target, orjson.dumps(body), QUICK)
        except ConnectFailed as error:
            raise BatchApiError("later", f"{what}: {error}") from None
        except TransportError as error:
            raise BatchApiError("unsure", f"{what}: {error}") from None
        return checked_id(read_object(reply, what, made=True).get("id"), what, made=True)

    async def find(self, place: Place, group: GroupRow, known: frozenset[str]) -> str | None:  # noqa: ARG002  # ours are signed
        """By the group's name in the batch's metadata."""
        after = ""
        for _ in range(_PAGES):
            page = await self._get(place, f"/batches?limit={_PAGE}{after}", "listing batches")
            batches = page.get("data")
            if not isinstance(batches, list) or not batches:
                return None
            for batch in batches:
                if isinstance(batch, dict) and (batch.get("metadata") or {}).get(SIGN) == group.id:
                    return checked_id(batch.get("id"), "listing batches")
            if page.get("has_more") is not True:
                return None
            after = f"&after={checked_id(batches[-1].get('id'), 'listing batches')}"
        return None

    async def look(self, place: Place, upstream_id: str) -> Look:
        """By its status; it has an output file, an error file, or both."""
        batch = await self._get(place, f"/batches/{upstream_id}", "asking for the batch")
        if batch.get("status") not in _ENDED:
            return Look(False)
        files = [batch[name] for name in ("output_file_id", "error_file_id") if batch.get(name)]
        return Look(True, tuple(checked_id(file, "asking for the batch") for file in files))

    async def fetch(self, place: Place, source: str, path: Path) -> None:
        """A file's content."""
        await fetch(self._courier, _at(place, f"/files/{source}/content"), path)

    def read(self, line: bytes) -> Result | None:
        """A line of either file."""
        try:
            fields = orjson.loads(line)
            custom_id, response = fields["custom_id"], fields.get("response")
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if not isinstance(custom_id, str):
            return None
        status = response.get("status_code") if isinstance(response, dict) else None
        if not isinstance(response, dict) or type(status) is not int:
            return Result(custom_id, None)
        return Result(custom_id, status, dumped(response.get("body")))

    async def cancel(self, place: Place, upstream_id: str) -> None:
        """Ask it to stop."""
        await cancel(self._courier, _at(place, f"/batches/{upstream_id}/cancel"))

    async def _get(self, place: Place, path: str, what: str) -> dict[str, Any]:  # reason: an upstream's JSON
        return await get_object(self._courier, _at(place, path), what)


def _at(place: Place, path: str) -> Upstream:
    headers = {"Authorization": f"Bearer {place.key}"} if place.key else {}
    return Upstream(place.site.model.base_url + path, place.key, headers)
