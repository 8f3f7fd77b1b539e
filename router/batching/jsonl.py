"""The input file of a batch: one request to a line, in the shape of OpenAI's batch API.

A file is taken or refused as a whole before anything is decided or paid for: a line that is no request, or an
id that is there twice, is a mistake in making the file. What a request's body asks for is looked at later, line
by line, by the code that looks at every body.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from storage.spool.rows import LineRow

MAX_LINES = 50_000
MAX_LINE_BYTES = 20_000_000
MAX_CUSTOM_ID = 512
MAX_ERRORS = 100
"""Mistakes that are told; who has more will look anyway."""
_FIELDS = {"custom_id", "method", "url", "body"}


@dataclass(frozen=True, slots=True)
class Indexed:
    """Where the lines are, or what is wrong with the file."""

    lines: tuple[LineRow, ...]
    errors: tuple[dict[str, object], ...]


def index_lines(path: Path, batch_id: str, endpoint: str) -> Indexed:
    """Find and check all lines of a file."""
    lines: list[LineRow] = []
    errors: list[dict[str, object]] = []
    seen: set[str] = set()
    for number, start, raw in _raw_lines(path):
        if len(errors) == MAX_ERRORS:
            break
        if len(lines) == MAX_LINES:
            errors.append(_error(number, "too_many_requests", f"a batch has at most {MAX_LINES} lines"))
            break
        found = _checked(raw, endpoint)
        if isinstance(found, dict):
            errors.append({**found, "line": number})
        elif found in seen:
            errors.append(_error(number, "duplicate_custom_id", "custom_id is there twice", "custom_id"))
        else:
            seen.add(found)
            lines.append(LineRow(batch_id, number, found, start, len(raw)))
    if not lines and not errors:
        errors.append(_error(1, "empty_file", "the file holds no request"))
    return Indexed(tuple(lines), tuple(errors))


def read_line(path: Path, line: LineRow) -> dict[str, Any]:  # reason: a client's JSON, checked in index_lines
    """One request of a file that was indexed."""
    with path.open("rb") as file:
        file.seek(line.start)
        found: dict[str, Any] = orjson.loads(file.read(line.size))
    return found


def _raw_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Lines with their numbers and places, blank ones left out; one that is too long is cut, and so refused."""
    with path.open("rb") as file:
        number, start = 0, 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            while (
                not raw.endswith(b"\n")
                and len(raw) > MAX_LINE_BYTES
                and (more := file.readline(MAX_LINE_BYTES))
            ):
                if more.endswith(b"\n"):
                    break
            if raw.strip():
                yield number, start, raw
            start = file.tell()


def _checked(raw: bytes, endpoint: str) -> str | dict[str, object]:
    """The custom_id of a sound line, else what is wrong with it."""
    if len(raw) > MAX_LINE_BYTES:
        return _error(0, "line_too_long", f"a line has at most {MAX_LINE_BYTES} bytes")
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _error(0, "invalid_json_line", "this line is no JSON")
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        return _error(
            0, "invalid_request", f"a line is an object of {', '.join(sorted(_FIELDS))} and nothing else"
        )
    custom_id = fields["custom_id"]
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID:
        return _error(
            0, "invalid_custom_id", f"custom_id must be 1 to {MAX_CUSTOM_ID} characters", "custom_id"
        )
    if fields["method"] != "POST":
        return _error(0, "invalid_method", "method must be POST", "method")
    if fields["url"] != endpoint:
        return _error(0, "mismatched_endpoint", f"url must be the batch's endpoint, {endpoint}", "url")
    if not isinstance(fields["body"], dict):
        return _error(0, "invalid_request", "body must be an object", "body")
    return custom_id


def _error(line: int, code: str, message: str, param: str | None = None) -> dict[str, object]:
    return {"code": code, "message": message, "param": param, "line": line}
