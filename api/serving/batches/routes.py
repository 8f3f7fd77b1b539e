"""The routes of files and batches. Whose they are is the identity of the key; nobody sees another's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope, Send

from api.serving.batches.shapes import Fields, batch_object, file_object, page
from api.serving.batches.upload import Upload
from api.serving.bodies import read_body
from api.serving.problems import problem, problem_of
from api.serving.replies import Reply, json_reply, send_reply
from router.batching.asked import ENDPOINTS
from router.clock import Clock
from router.errors import Conflict, InvalidRequest, NotFound, PointsmanError, StoreDown
from storage.errors import StoreConflict, StoreError
from storage.spool.rows import FileRow
from storage.spool.shelf import Shelf
from storage.spool.spool import Spool

WINDOW, WINDOW_MS = "24h", 86_400_000
MAX_METADATA = 16
MAX_KEY, MAX_VALUE = 64, 512
MAX_PAGE = 100
_CHUNK = 256 * 1024
_BATCH_FIELDS = {"input_file_id", "endpoint", "completion_window", "metadata"}
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of an owner."""

    scope: Scope
    receive: Receive
    owner: str
    query: Mapping[str, str]


Answer = Callable[[Request, str], Awaitable[Reply]]


class BatchRoutes:
    """All routes below /v1/files and /v1/batches."""

    def __init__(self, spool: Spool, clock: Clock, most_bytes: int) -> None:
        self._shelf = Shelf(spool)
        self._clock = clock
        self._most_bytes = most_bytes
        self._routes: Mapping[tuple[str, str], Mapping[str, Answer]] = {
            ("files", ""): {"POST": self._upload, "GET": self._files},
            ("files", "one"): {"GET": self._file, "DELETE": self._delete},
            ("batches", ""): {"POST": self._create, "GET": self._batches},
            ("batches", "one"): {"GET": self._batch},
            ("batches", "cancel"): {"POST": self._cancel},
        }

    def close(self) -> None:
        """Close the spool."""
        self._shelf.spool.close()

    async def answer(self, scope: Scope, receive: Receive, send: Send, owner: str) -> None:
        """Answer one request of an identity that may."""
        try:
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=20))
            request = Request(scope, receive, owner, query)
            kind, thing_id, rest = _parts(scope["path"])
            if (kind, rest) == ("files", "content") and scope["method"] == "GET":
                await self._content(request, thing_id, send)
                return
            await send_reply(send, await self._routed(request, kind, thing_id, rest))
        except StoreConflict as error:
            await send_reply(send, problem_of(Conflict(str(error))))
        except StoreError as error:
            await send_reply(send, problem_of(StoreDown(str(error))))
        except PointsmanError as error:
            reply = problem_of(error)
            status = 400 if isinstance(error, InvalidRequest) else reply.status
            await send_reply(send, Reply(status, reply.body, reply.headers))
        except ValueError:
            await send_reply(send, problem("invalid_request", "the query has too many fields"))

    async def _routed(self, request: Request, kind: str, thing_id: str, rest: str) -> Reply:
        place = (kind, rest or ("one" if thing_id else ""))
        answers = self._routes.get(place, {"GET": self._nowhere} if place == ("files", "content") else None)
        if answers is None:
            raise NotFound("there is no such route; files and batches are at /v1/files and /v1/batches")
        found = answers.get(request.scope["method"])
        if found is None:
            refused = problem("method_not_allowed", f"this route takes {' and '.join(answers)} only")
            allow = (b"allow", ", ".join(answers).encode())
            return Reply(refused.status, refused.body, (*refused.headers, allow))
        return await found(request, thing_id)

    async def _nowhere(self, request: Request, thing_id: str) -> Reply:  # noqa: ARG002  # a route's shape
        """Only named so that other methods are refused; content is streamed."""
        raise NotFound("there is no such file")

    # Files

    async def _upload(self, request: Request, thing_id: str) -> Reply:  # noqa: ARG002  # a route's shape
        left = self._most_bytes - await self._call(self._shelf.used_bytes)
        if left <= 0:
            raise Conflict("the spool is full; delete files that are not needed any more")
        path = self._shelf.temporary()
        try:
            upload = Upload(request.scope, path, left)
            await upload.read(request.receive)
            row = await self._call(
                partial(self._shelf.add_file, path, request.owner, "batch", upload.filename, self._clock())
            )
        finally:
            path.unlink(missing_ok=True)
        return json_reply(file_object(row))

    async def _files(self, request: Request, thing_id: str) -> Reply:  # noqa: ARG002  # a route's shape
        limit = _limit(request, 10_000, 10_000)
        order, purpose = request.query.get("order", "desc"), request.query.get("purpose")
        if order not in ("asc", "desc"):
            raise InvalidRequest("order must be asc or desc", "order")
        rows = await self._call(
            partial(
                self._shelf.files,
                request.owner,
                limit + 1,
                request.query.get("after"),
                order == "desc",
                purpose,
            )
        )
        return json_reply(page([file_object(row) for row in rows], limit))

    async def _file(self, request: Request, thing_id: str) -> Reply:
        return json_reply(file_object(await self._known(request.owner, thing_id)))

    async def _delete(self, request: Request, thing_id: str) -> Reply:
        if not await self._call(partial(self._shelf.delete_file, request.owner, thing_id)):
            raise _no_file(thing_id)
        return json_reply({"id": thing_id, "object": "file", "deleted": True})

    async def _content(self, request: Request, thing_id: str, send: Send) -> None:
        """Stream a file; it stays readable to its end if it is deleted meanwhile."""
        row = await self._known(request.owner, thing_id)
        try:
            file = await self._call(self._shelf.spool.path_of(row.id).open, "rb")
        except FileNotFoundError:
            raise _no_file(thing_id) from None
        headers = [(b"content-type", b"application/jsonl"), (b"content-length", b"%d" % row.bytes)]
        with file:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while piece := await asyncio.to_thread(file.read, _CHUNK):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _known(self, owner: str, file_id: str) -> FileRow:
        row = await self._call(partial(self._shelf.file, owner, file_id))
        if row is None:
            raise _no_file(file_id)
        return row

    # Batches

    async def _create(self, request: Request, thing_id: str) -> Reply:  # noqa: ARG002  # a route's shape
        fields = _object(await read_body(request.scope, request.receive))
        endpoint, input_file_id = fields.get("endpoint"), fields.get("input_file_id")
        if not isinstance(endpoint, str) or endpoint not in ENDPOINTS:
            raise InvalidRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}", "endpoint")
        if fields.get("completion_window") != WINDOW:
            raise InvalidRequest(f'completion_window must be "{WINDOW}"', "completion_window")
        if not isinstance(input_file_id, str):
            raise InvalidRequest("input_file_id must be the id of a file", "input_file_id")
        metadata = _metadata(fields.get("metadata"))
        file = await self._known(request.owner, input_file_id)
        if file.purpose != "batch":
            raise InvalidRequest(f"file {file.id} was not uploaded with purpose batch", "input_file_id")
        row = await self._call(
            partial(
                self._shelf.add_batch, request.owner, endpoint, file.id, metadata, self._clock(), WINDOW_MS
            )
        )
        return json_reply(batch_object(row))

    async def _batches(self, request: Request, thing_id: str) -> Reply:  # noqa: ARG002  # a route's shape
        limit = _limit(request, 20, MAX_PAGE)
        rows = await self._call(
            partial(self._shelf.batches, request.owner, limit + 1, request.query.get("after"))
        )
        return json_reply(page([batch_object(row) for row in rows], limit))

    async def _batch(self, request: Request, thing_id: str) -> Reply:
        row = await self._call(partial(self._shelf.batch, request.owner, thing_id))
        if row is None:
            raise _no_batch(thing_id)
        return json_reply(batch_object(row))

    async def _cancel(self, request: Request, thing_id: str) -> Reply:
        row = await self._call(partial(self._shelf.cancel, request.owner, thing_id, self._clock()))
        if row is None:
            raise _no_batch(thing_id)
        return json_reply(batch_object(row))

    async def _call(self, work: Callable[..., _Got], *arguments: object) -> _Got:
        """Reading and writing the spool waits for the disk, so a thread does it."""
        return await asyncio.to_thread(work, *arguments)


def _parts(path: str) -> tuple[str, str, str]:
    """Kind, id and the rest of a path below /v1."""
    kind, _, rest = path.removeprefix("/v1/").partition("/")
    thing_id, _, more = rest.partition("/")
    return kind, thing_id, more


def _limit(request: Request, usual: int, most: int) -> int:
    text = request.query.get("limit", str(usual))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise InvalidRequest(f"limit must be a whole number from 1 to {most}", "limit")
    return int(text)


def _object(body: bytes) -> Fields:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    if unknown := fields.keys() - _BATCH_FIELDS:
        name = min(unknown)[:80]
        raise InvalidRequest(f"unknown field {name!r}; known are {', '.join(sorted(_BATCH_FIELDS))}", name)
    return fields


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_METADATA:
        raise InvalidRequest(f"metadata must be an object of at most {MAX_METADATA} texts", "metadata")
    for key, text in value.items():
        if len(key) > MAX_KEY or not isinstance(text, str) or len(text) > MAX_VALUE:
            raise InvalidRequest(
                f"metadata has keys of at most {MAX_KEY} and texts of at most {MAX_VALUE} characters",
                "metadata",
            )
    return value


def _no_file(file_id: str) -> NotFound:
    return NotFound(f"there is no file {file_id[:100]!r}")


def _no_batch(batch_id: str) -> NotFound:
    return NotFound(f"there is no batch {batch_id[:100]!r}")
