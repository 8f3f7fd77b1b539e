"""Files and bodies that are no use: refused whole, or as an error of one line."""

import json
from pathlib import Path

import pytest

from router.batching.jsonl import index_lines
from tests.servers.batch_upstream import BatchUpstream, Json
from tests.servers.batching import CHAT, Works, question

HOSTILE: list[tuple[bytes, str]] = [
    (b"", "empty_file"),
    (b"\n \n", "empty_file"),
    (b"not json\n", "invalid_json_line"),
    (b"\xff\xfe\n", "invalid_json_line"),
    (b'{"custom_id": "a"', "invalid_json_line"),
    (b"[" * 100_000, "invalid_json_line"),
    (b"[]\n", "invalid_request"),
    (json.dumps({**question(1), "headers": {}}).encode(), "invalid_request"),
    (json.dumps({**question(1), "custom_id": ""}).encode(), "invalid_custom_id"),
    (json.dumps({**question(1), "custom_id": 7}).encode(), "invalid_custom_id"),
    (json.dumps({**question(1), "custom_id": "x" * 513}).encode(), "invalid_custom_id"),
    (json.dumps({**question(1), "method": "GET"}).encode(), "invalid_method"),
    (json.dumps({**question(1), "url": "http://169.254.169.254/"}).encode(), "mismatched_endpoint"),
    (json.dumps({**question(1), "url": "/v1/embeddings"}).encode(), "mismatched_endpoint"),
    (json.dumps({**question(1), "body": []}).encode(), "invalid_request"),
    (json.dumps(question(1)).encode() + b"\n" + json.dumps(question(1)).encode(), "duplicate_custom_id"),
]


@pytest.mark.parametrize(("content", "code"), HOSTILE)
def test_a_file_that_is_no_use_is_refused_whole(
    works: Works, upstream: BatchUpstream, content: bytes, code: str
) -> None:
    """Before anything is decided, sent or paid; the errors name the line."""
    batch = works.finish(works.submit(content))
    assert batch.status == "failed"
    (error,) = json.loads(batch.errors)
    assert error["code"] == code
    assert error["line"] >= 1
    assert upstream.asked == []
    assert works.rows("decisions") == []


def test_many_mistakes_are_told_a_hundred_at_most(tmp_path: Path) -> None:
    """And the lines behind a mistake are found all the same."""
    path = tmp_path / "input.jsonl"
    path.write_bytes(b"no\n" * 500)
    assert len(index_lines(path, "batch", CHAT).errors) == 100
    path.write_bytes(
        b"no\n" + json.dumps(question(1)).encode() + b"\r\n\n" + json.dumps(question(2)).encode()
    )
    found = index_lines(path, "batch", CHAT)
    assert [error["line"] for error in found.errors] == [1]
    assert [(line.number, line.custom_id) for line in found.lines] == [(2, "line-1"), (4, "line-2")]


BODIES: list[tuple[Json, str]] = [
    ({"stream": True}, "stream"),
    ({"messages": []}, "messages"),
    ({"api_base": "http://169.254.169.254/"}, "api_base"),
    ({"model": "absent"}, "model"),
    ({"model": 7}, "model"),
    ({"metadata": {"tier": "x"}}, "metadata.tier"),
]


@pytest.mark.parametrize(("changes", "field"), BODIES)
def test_a_body_that_is_refused_ends_as_an_error_of_its_line(
    works: Works, upstream: BatchUpstream, changes: Json, field: str
) -> None:
    """By the code that reads every body; the other lines go on, and nothing is recorded for this one."""
    bad = question(1)
    bad["body"] |= changes
    batch = works.finish(works.submit([question(0), bad]), upstream.finish)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 1, 1)
    (line,) = works.lines_of(batch.error_file_id)
    assert (line["custom_id"], line["response"]["status_code"]) == ("line-1", 400)
    assert line["response"]["body"]["error"]["param"] == field
    assert len(works.rows("decisions")) == 1
