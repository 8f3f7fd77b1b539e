"""Lines of the output and error files, in the shape of OpenAI's batch API."""

import orjson

from router.errors import InvalidRequest, PointsmanError, UpstreamRefused
from storage.spool.rows import LineRow

WHY_NOT = {
    "batch_cancelled": "the batch was cancelled before this request was answered",
    "batch_expired": "this request could not be answered before the completion window was over",
}


def answer_line(line: LineRow, decision_id: str, body: bytes) -> bytes:
    """A line of the output file; the body is the answer that the endpoint itself would give."""
    head = _head(line)
    head["response"] = {"status_code": 200, "request_id": decision_id, "body": orjson.Fragment(body)}
    return orjson.dumps({**head, "error": None}) + b"\n"


def error_line(line: LineRow, decision_id: str, status: int, body: bytes) -> bytes:
    """A line of the error file for a request that was answered with an error."""
    head = _head(line)
    head["response"] = {"status_code": status, "request_id": decision_id, "body": orjson.Fragment(body)}
    return orjson.dumps({**head, "error": None}) + b"\n"


def undone_line(line: LineRow, code: str) -> bytes:
    """A line of the error file for a request that was not answered at all."""
    error = {"code": code, "message": WHY_NOT[code]}
    return orjson.dumps({**_head(line), "response": None, "error": error}) + b"\n"


def error_body(error: PointsmanError) -> tuple[int, bytes]:
    """Status and body of an error, as the endpoint itself would answer it."""
    if isinstance(error, UpstreamRefused) and error.body:
        return error.status, error.body
    if isinstance(error, InvalidRequest):
        return 400, _error(str(error), "invalid_request_error", error.code, error.field)
    return getattr(error, "status", 500), _error(str(error), "upstream_error", error.code, None)


def _error(message: str, kind: str, code: str, param: str | None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "code": code, "param": param}})


def _head(line: LineRow) -> dict[str, object]:
    return {
        "id": f"batch_req_{line.batch_id.removeprefix('batch_')}_{line.number}",
        "custom_id": line.custom_id,
    }
