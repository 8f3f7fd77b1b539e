"""Problems on the wire: one table from error codes to HTTP statuses, and the OpenAI-shaped error body."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from api.serving.replies import JSON, Reply
from router.errors import InvalidRequest, PointsmanError, UpstreamFailed


@dataclass(frozen=True, slots=True)
class Problem:
    """How one error code looks on the wire: HTTP status, and the `type` that OpenAI clients know."""

    status: int
    type: str


PROBLEMS: Mapping[str, Problem] = {
    "invalid_request": Problem(422, "invalid_request_error"),
    "config_invalid": Problem(422, "invalid_request_error"),
    "unauthenticated": Problem(401, "authentication_error"),
    "forbidden": Problem(403, "permission_error"),
    "forged_decision_id": Problem(403, "permission_error"),
    "not_found": Problem(404, "not_found_error"),
    "method_not_allowed": Problem(405, "invalid_request_error"),
    "request_timeout": Problem(408, "invalid_request_error"),
    "conflict": Problem(409, "conflict_error"),
    "evidence_refused": Problem(409, "conflict_error"),
    "body_too_large": Problem(413, "invalid_request_error"),
    "head_too_large": Problem(431, "invalid_request_error"),
    "not_supported": Problem(501, "server_error"),
    "overloaded": Problem(503, "server_error"),
    "store_down": Problem(503, "server_error"),
    "not_ready": Problem(503, "server_error"),
    "upstream_failed": Problem(502, "upstream_error"),
    "upstream_timeout": Problem(504, "upstream_error"),
    "upstream_refused": Problem(502, "upstream_error"),
    "ineligible": Problem(400, "invalid_request_error"),
    "stream_broken": Problem(502, "upstream_error"),
    "internal_error": Problem(500, "server_error"),
}
_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}


class BodyTooLarge(PointsmanError):
    """The request's body is longer than this route takes."""

    code = "body_too_large"


class Forbidden(PointsmanError):
    """The request's identity lacks the scope, or there is none."""

    code = "forbidden"


def error_body(code: str, message: str, param: str | None = None, index: int | None = None) -> bytes:
    """The error object that OpenAI clients parse; `param` names the field, `index` the item of a list."""
    return orjson.dumps({"error": error_object(code, message, param, index)})


def error_object(
    code: str, message: str, param: str | None = None, index: int | None = None
) -> dict[str, str | int | None]:
    """What stands under `error`."""
    error: dict[str, str | int | None] = {
        "message": message, "type": PROBLEMS[code].type, "code": code, "param": param,
    }  # fmt: skip
    return error if index is None else {**error, "index": index}


def problem(code: str, message: str, retry_after_s: int | None = None) -> Reply:
    """The answer for a code of the table."""
    headers = JSON if retry_after_s is None else (*JSON, (b"retry-after", b"%d" % retry_after_s))
    return Reply(PROBLEMS[code].status, error_body(code, message), headers)


def problem_of_status(status: int, message: str) -> Reply:
    """The answer for an HTTP status that the web framework raised itself."""
    code = _CODE_OF_STATUS.get(status, "invalid_request" if status < 500 else "internal_error")
    return replace(problem(code, message), status=status)


def problem_of(error: PointsmanError) -> Reply:
    """The answer for an error of the use cases."""
    if isinstance(error, InvalidRequest):
        return Reply(
            PROBLEMS[error.code].status, error_body(error.code, str(error), error.field, error.index)
        )
    if isinstance(error, UpstreamFailed):
        return replace(problem(error.code, str(error), error.retry_after_s), status=error.status)
    if isinstance(error, BodyTooLarge):  # the rest of the body is not worth reading
        return Reply(413, error_body(error.code, str(error)), (*JSON, (b"connection", b"close")))
    retry_after_s: int | None = getattr(error, "retry_after_s", None)
    return problem(error.code, str(error), retry_after_s)
