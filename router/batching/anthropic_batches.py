"""The batch API of Anthropic: requests go up in one question, results come down as lines.

It keeps no name of ours for a batch. One that was made before a crash looks like it by its time and the number of
its requests, and is known for certain by its results only, whose ids begin with the group's. Until a batch that
looks like it has ended, nothing is sent again and nothing is done to it: it may be somebody else's.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from router.batching.answers import cancel, checked_id, dumped, fetch, get_object, read_object
from router.batching.batch_api import LONG, QUICK, Asked, BatchApiError, Look, Place, Result
from router.transport.courier import Courier
from router.transport.transport import ConnectFailed, TransportError, Upstream
from router.upstream.dialects.anthropic import VERSION
from storage.spool.rows import GroupRow

RESULTS = "results"
SKEW_MS = 300_000
"""By how much the upstream's clock may be behind."""
_PAGES, _PAGE = 20, 100
_STATUS_OF_ERROR = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "timeout_error": 504,
    "overloaded_error": 529,
}  # fmt: skip


class AnthropicBatches:
    """`/messages/batches` below a model's base URL."""

    most_lines = 50_000
    most_bytes = 150_000_000
    """Of the client's lines; the upstream takes 256 MB."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def write(self, path: Path, asked: Iterable[Asked], url: str) -> None:  # noqa: ARG002  # there is one endpoint
        """One object with all requests."""
        with path.open("wb") as file:
            separator = b'{"requests":['
            for each in asked:
                request = {"custom_id": each.custom_id, "params": orjson.Fragment(each.body)}
                file.write(separator + orjson.dumps(request))
                separator = b","
            file.write(b"]}")

    async def send(self, place: Place, group: GroupRow, path: Path) -> str:  # noqa: ARG002  # its ids carry the group
        """Create; whether an answer that did not come means a batch is not known."""
        what = "creating the batch"
        try:
            reply = await self._courier.post(_at(place, ""), path, LONG)
        except ConnectFailed as error:
            raise BatchApiError("later", f"{what}: {error}") from None
        except TransportError as error:
            raise BatchApiError("unsure", f"{what}: {error}") from None
        return checked_id(read_object(reply, what, made=True).get("id"), what, made=True)

    async def find(self, place: Place, group: GroupRow, known: frozenset[str]) -> str | None:
        """The batch whose results are the group's; raises while one that looks like it has not ended."""
        after, doubtful = "", False
        for _ in range(_PAGES):
            page = await self._get(place, f"?limit={_PAGE}{after}", "listing batches")
            batches = page.get("data")
            batches = batches if isinstance(batches, list) else []
            alike = [each for each in batches if isinstance(each, dict) and _is_like(each, group)]
            for batch in alike:
                batch_id = checked_id(batch.get("id"), "listing batches")
                if batch_id in known:
                    continue
                if batch.get("processing_status") != "ended":
                    doubtful = True
                elif await self._is_ours(place, group, batch_id):
                    return batch_id
            if page.get("has_more") is not True or not batches or _is_older(batches[-1], group):
                break
            after = f"&after_id={checked_id(page.get('last_id'), 'listing batches')}"
        if doubtful:
            raise BatchApiError("later", "a batch that may be this group's has not ended")
        return None

    async def look(self, place: Place, upstream_id: str) -> Look:
        """By its status. Where it says that its results are is not asked: the key goes to our own places only."""
        batch = await self._get(place, f"/{upstream_id}", "asking for the batch")
        ended = batch.get("processing_status") == "ended"
        return Look(ended, (f"{upstream_id}/{RESULTS}",) if ended else ())

    async def fetch(self, place: Place, source: str, path: Path) -> None:
        """All results."""
        await fetch(self._courier, _at(place, f"/{source}"), path)

    def read(self, line: bytes) -> Result | None:
        """A message, an error with the status that its kind has elsewhere, or nothing."""
        try:
            fields = orjson.loads(line)
            custom_id, result = fields["custom_id"], fields["result"]
            kind = result["type"]
        except (ValueError, TypeError, KeyError):
            return None
        if not isinstance(custom_id, str):
            return None
        if kind == "succeeded":
            return Result(custom_id, 200, dumped(result.get("message")))
        if kind != "errored":
            return Result(custom_id, None)
        error = result.get("error")
        inner = error.get("error") if isinstance(error, dict) else None
        name = inner.get("type") if isinstance(inner, dict) else None
        return Result(custom_id, _STATUS_OF_ERROR.get(str(name), 500), dumped(error))

    async def cancel(self, place: Place, upstream_id: str) -> None:
        """Ask it to stop."""
        await cancel(self._courier, _at(place, f"/{upstream_id}/cancel"))

    async def _is_ours(self, place: Place, group: GroupRow, batch_id: str) -> bool:
        """Whether the results of a batch that has ended are those of a group: their first line says it."""
        try:
            start = await self._courier.peek(_at(place, f"/{batch_id}/{RESULTS}"), QUICK)
        except TransportError as error:
            raise BatchApiError("later", f"reading results: {error}") from None
        result = self.read(start)
        return result is not None and result.custom_id.startswith(f"{group.id}-")

    async def _get(self, place: Place, path: str, what: str) -> dict[str, Any]:  # reason: an upstream's JSON
        return await get_object(self._courier, _at(place, path), what)


def _at(place: Place, path: str) -> Upstream:
    headers = {"anthropic-version": VERSION} | ({"x-api-key": place.key} if place.key else {})
    return Upstream(f"{place.site.model.base_url}/messages/batches{path}", place.key, headers)


def _is_like(batch: dict[str, Any], group: GroupRow) -> bool:  # reason: an upstream's JSON
    return _requests(batch) == group.lines and not _is_older(batch, group)


def _is_older(batch: object, group: GroupRow) -> bool:
    """Whether it was there before the group was sent."""
    return not isinstance(batch, dict) or _created_at_ms(batch) < group.asked_at_ms - SKEW_MS


def _requests(batch: dict[str, Any]) -> int:  # reason: an upstream's JSON
    counts = batch.get("request_counts")
    return sum(each for each in counts.values() if type(each) is int) if isinstance(counts, dict) else -1


def _created_at_ms(batch: dict[str, Any]) -> float:  # reason: an upstream's JSON
    try:
        return datetime.fromisoformat(str(batch.get("created_at"))).timestamp() * 1e3
    except ValueError:
        return float("inf")
