"""Files and batches through the front: whose they are, what is refused, and what the official client sees."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

from api.admin.batch_schemas import BatchAnswer, FileAnswer
from api.admin.openapi import BATCH_ROUTES
from api.cli import app
from api.serving.batch_door import BatchDoor, is_batch_path
from api.serving.batches.upload import Upload
from api.serving.problems import BodyTooLarge
from router.errors import InvalidRequest
from storage.spool.spool import spool_path
from tests.servers.batch_upstream import BatchUpstream, batch_upstream
from tests.servers.batching import question
from tests.servers.front import Front, Got, open_front
from tests.servers.whole import Server, serving_whole
from tests.storage.redis_server import Server as RedisServer

BOUNDARY = b"x" * 20
LINE = json.dumps(question(1)).encode() + b"\n"
CONFIG = """
models:
  big: {{base_url: "{url}", price: {{input: 10, output: 30, batch_discount: 0.5}}, batch: true}}
  small: {{base_url: "{url}", price: {{input: 1, output: 2}}}}
default: big
tasks:
  quick: {{default: small}}
"""


@pytest.fixture
def front() -> Iterator[Front]:
    """The application with a place for batches."""
    with open_front() as opened:
        yield opened


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    """One field of a form."""
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'content-disposition: form-data; name="{name}"{file}'.encode()
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A form of these fields."""
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


FORM = (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)
GOOD = form(part("purpose", b"batch"), part("file", LINE, "input.jsonl"))


def upload(front: Front, body: bytes = GOOD) -> Got:
    """Upload a form."""
    return front.call("POST", "/v1/files", body, [FORM])


def create(front: Front, file_id: str, **changes: Any) -> Got:
    """Open a batch of a file."""
    body = {
        "input_file_id": file_id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        **changes,
    }
    return front.post("/v1/batches", body)


def test_a_file_comes_back_as_it_was(front: Front) -> None:
    """Byte for byte, under a name without folders."""
    content = LINE * 3 + b'{"odd": "\xc3\xa9--' + BOUNDARY + b'"}\n'
    got = upload(front, form(part("file", content, "../../etc/pass\\wd.jsonl"), part("purpose", b"batch")))
    assert got.status == 200
    file = FileAnswer.model_validate(got.json)
    assert (file.bytes, file.filename, file.purpose) == (len(content), "wd.jsonl", "batch")
    assert front.get(f"/v1/files/{file.id}/content").body == content
    assert front.get("/v1/files").json["data"] == [got.json]


def test_a_form_in_pieces_of_any_size_is_the_same_form(tmp_path: Path) -> None:
    """Networks cut where they like, in the middle of a boundary too."""
    content = b"\r\n--" + BOUNDARY[:10] + b"\r\n" + LINE
    whole = form(part("file", content, "a.jsonl"), part("purpose", b"batch"))
    for size in (1, 2, 3, 7, 64, 1_000):
        path = tmp_path / f"{size}"
        read = Upload({"headers": [FORM]}, path, 10_000)
        asyncio.run(read.read(pieces(whole, size)))
        assert (path.read_bytes(), read.purpose, read.filename) == (content, "batch", "a.jsonl")
        assert path.stat().st_mode & 0o777 == 0o600


def pieces(whole: bytes, size: int) -> Any:
    """A `receive` that gives a body in pieces."""
    waiting = [whole[start : start + size] for start in range(0, len(whole), size)]

    async def receive() -> Any:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return receive


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "file"),
        (b"--wrong\r\n", "file"),
        (form(part("purpose", b"batch")), "file"),
        (GOOD[:-6], "file"),
        (form(part("purpose", b"fine-tune"), part("file", LINE, "a")), "purpose"),
        (form(part("file", LINE, "a")), "purpose"),
        (form(part("purpose", b"batch"), part("file", LINE, "a"), part("file", LINE, "b")), "file"),
        (form(part("purpose", b"batch"), part("file", LINE, "a"), part("api_base", b"http://x")), "api_base"),
        (form(part("purpose", b"b" * 5_000), part("file", LINE, "a")), "purpose"),
        (form(*[part("purpose", b"batch")] * 9, part("file", LINE, "a")), "file"),
    ],
)
def test_a_form_that_is_no_use_is_refused_and_leaves_nothing(front: Front, body: bytes, field: str) -> None:
    """400 that names the field."""
    got = upload(front, body)
    assert (got.status, got.json["error"]["param"]) == (400, field)
    assert front.get("/v1/files").json["data"] == []
    assert left_over(front) == []


def left_over(front: Front) -> list[str]:
    """Files that no row knows."""
    folder = front.batches._folder
    assert folder is not None
    return [path.name for path in folder.iterdir() if not path.name.startswith(("spool.sqlite", "file_"))]


def test_a_file_that_is_too_long_is_refused_while_it_comes(front: Front, tmp_path: Path) -> None:
    """By what the spool still takes: a megabyte here."""
    got = upload(front, form(part("purpose", b"batch"), part("file", b"x" * 1_100_000, "a")))
    assert (got.status, got.code) == (413, "body_too_large")
    assert left_over(front) == []
    assert upload(front, form(part("purpose", b"batch"), part("file", b"x" * 999_999, "a"))).status == 200
    assert upload(front).status == 413
    read = Upload({"headers": [FORM]}, tmp_path / "a", 10**12)
    assert read._most_bytes == 200_000_000
    with pytest.raises(BodyTooLarge):
        asyncio.run(Upload({"headers": [FORM]}, tmp_path / "b", 10).read(pieces(GOOD, 50)))


def test_a_body_that_is_no_form_is_refused(front: Front) -> None:
    """As when somebody posts JSON."""
    for kind in (b"application/json", b"multipart/form-data", b"multipart/form-data; boundary=" + b"x" * 300):
        got = front.call("POST", "/v1/files", GOOD, [(b"content-type", kind)])
        assert got.status == 400
    with pytest.raises(InvalidRequest):
        Upload({"headers": []}, Path("unused"), 1)


def test_nobody_sees_the_files_and_batches_of_another_key(front: Front) -> None:
    """Not even an administrator: an id of somebody else's is answered like one that does not exist."""
    owner, other, admin = (
        front.add_key("a", "traffic"),
        front.add_key("b", "traffic"),
        front.add_key("c", "admin"),
    )
    front.key = owner
    file_id = upload(front).json["id"]
    batch_id = create(front, file_id).json["id"]
    for key in (other, admin):
        front.key = key
        assert front.get("/v1/files").json["data"] == front.get("/v1/batches").json["data"] == []
        for method, path in (
            ("GET", f"/v1/files/{file_id}"), ("GET", f"/v1/files/{file_id}/content"),
            ("DELETE", f"/v1/files/{file_id}"), ("GET", f"/v1/batches/{batch_id}"),
            ("POST", f"/v1/batches/{batch_id}/cancel"),
        ):  # fmt: skip
            assert front.call(method, path).status == 404, (method, path)
        assert create(front, file_id).status == 404
        assert front.get(f"/v1/files?after={file_id}").json["data"] == []
    front.key = owner
    assert front.get(f"/v1/batches/{batch_id}").json["status"] == "validating"


def test_every_route_needs_a_key_with_the_scope_traffic(front: Front) -> None:
    """Deny by default, before a byte of the body is read."""
    front.add_key("any", "traffic")
    feedback = front.add_key("f", "feedback", "view")
    for method, path, _ in BATCH_ROUTES:
        path = path.replace("{file_id}", "file_x").replace("{batch_id}", "batch_x")
        front.key = None
        assert front.call(method, path).status == 401
        front.key = feedback
        assert front.call(method, path).status == 403


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/audio"}, "endpoint"),
        ({"endpoint": 7}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": None}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"base_url": "http://x"}, "base_url"),
    ],
)
def test_a_batch_that_breaks_the_contract_names_the_field(
    front: Front, changes: dict[str, Any], param: str
) -> None:
    """And opens nothing."""
    file_id = upload(front).json["id"]
    got = create(front, file_id, **changes)
    assert (got.status, got.json["error"]["param"]) == (400, param)
    assert front.get("/v1/batches").json["data"] == []


def test_a_batch_looks_as_its_schema_says(front: Front) -> None:
    """With the client's metadata; its input cannot be deleted while it is open."""
    file_id = upload(front).json["id"]
    got = create(front, file_id, metadata={"night": "1"})
    batch = BatchAnswer.model_validate_json(got.body)
    assert (batch.status, batch.metadata, batch.expires_at - batch.created_at) == (
        "validating",
        {"night": "1"},
        86_400,
    )
    assert front.call("DELETE", f"/v1/files/{file_id}").code == "conflict"
    assert front.post(f"/v1/batches/{batch.id}/cancel").json["status"] == "cancelling"
    assert front.post(f"/v1/batches/{batch.id}/cancel").json["status"] == "cancelling"


def test_lists_come_in_pages(front: Front) -> None:
    """As cursors of the official client follow them."""
    files = [upload(front).json["id"] for _ in range(5)]
    batches = [create(front, file_id).json["id"] for file_id in files]
    for path, made in (("/v1/files", files), ("/v1/batches", batches)):
        seen: list[str] = []
        after = ""
        while True:
            page = front.get(f"{path}?limit=2{after}").json
            seen += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert sorted(seen) == sorted(made)
    assert front.get("/v1/files?limit=0").status == 400
    assert front.get("/v1/batches?limit=101").status == 400
    assert front.get("/v1/files?purpose=batch_output").json["data"] == []


def test_a_key_has_a_bounded_number_of_open_batches(front: Front) -> None:
    """Each may be large."""
    file_id = upload(front).json["id"]
    statuses = [create(front, file_id).status for _ in range(21)]
    assert statuses == [200] * 20 + [409]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/files", 405),
        ("PATCH", "/v1/batches/batch_x", 405),
        ("POST", "/v1/files/x/content", 405),
        ("GET", "/v1/batches/batch_x/cancel", 405),
        ("GET", "/v1/batches/x/y/z", 404),
        ("GET", "/v1/files/../spool.sqlite", 404),
        ("GET", "/v1/files/spool.sqlite/content", 404),
        ("GET", "/v1/files/..%2F..%2Fledger.sqlite/content", 404),
    ],
)
def test_other_ways_lead_nowhere(front: Front, method: str, path: str, status: int) -> None:
    """Least of all to other files: an id is looked up, never opened."""
    assert front.call(method, path).status == status


def test_where_batches_have_no_place_the_routes_say_so() -> None:
    """A ledger in Redis has no folder beside it."""
    assert spool_path("redis://localhost/0") is None
    for folder, megabytes in ((None, 100), (Path("ledger.sqlite.batches"), 0)):
        refused = BatchDoor(folder, megabytes, lambda: 0)._refusal()
        assert refused is not None
        assert refused.status == 501
    assert is_batch_path("/v1/files")
    assert is_batch_path("/v1/batches/x")
    assert not is_batch_path("/v1/filesystem")


@pytest.fixture(scope="module")
def upstream() -> Iterator[BatchUpstream]:
    """An upstream with a batch API."""
    with batch_upstream() as running:
        yield running


@pytest.fixture(scope="module", params=["beside a ledger file", "in a folder of its own"])
def server(
    request: pytest.FixtureRequest, upstream: BatchUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A whole server over it, with batches beside its file, or in a folder and the ledger in Redis."""
    folder = tmp_path_factory.mktemp("batches")
    redis = None if request.param == "beside a ledger file" else RedisServer()
    places: dict[str, str] = {}
    if redis is not None:
        places = {"STORE": redis.url, "BATCH_SPOOL": str(folder / "spool"), "SIGNING_KEY": "k" * 32}
    try:
        with serving_whole(folder, CONFIG.format(url=upstream.url), BATCH_POLL_S="0.2", **places) as running:
            yield running
    finally:
        if redis is not None:
            redis.stop()


@pytest.mark.process
def test_the_official_client_works_unmodified(
    server: Server, upstream: BatchUpstream, tmp_path: Path
) -> None:
    """Upload, open, wait, read, give feedback, delete."""
    client = openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="none")
    path = tmp_path / "requests.jsonl"
    lines = [question(0), question(1, "task/quick"), question(2, "absent")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with path.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    assert [each.id for each in client.files.list()] == [uploaded.id]
    batch = client.batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"a": "b"},
    )
    batch = ended(client, upstream, batch.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (
        3,
        2,
        1,
    )
    assert batch.output_file_id is not None
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [each["response"]["body"]["usage"]["cost"] for each in answers] == pytest.approx([0.0008, 0.00014])
    decision_id = answers[0]["response"]["body"]["id"]
    assert server.ask("POST", "/v1/feedback", {"decision_id": decision_id, "value": 1})[0] == 202
    story = server.ask("GET", f"/v1/decisions/{decision_id}")[1]
    assert story["call"]["latency_ms"] == -1
    assert [each.id for each in client.batches.list()] == [batch.id]
    for file_id in (uploaded.id, batch.output_file_id):
        assert client.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(uploaded.id)


def ended(client: openai.OpenAI, upstream: BatchUpstream, batch_id: str) -> Any:
    """The batch once it has ended."""
    for _ in range(300):
        upstream.finish()
        batch = client.batches.retrieve(batch_id)
        if batch.status in ("completed", "failed", "cancelled", "expired"):
            return batch
        time.sleep(0.1)
    raise AssertionError(batch)


@pytest.mark.process
def test_the_commands_submit_watch_and_fetch(server: Server, upstream: BatchUpstream, tmp_path: Path) -> None:
    """A file of the quick model's needs nobody to finish anything."""
    path, out, bad = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "bad.jsonl"
    lines = [question(7, "task/quick"), question(8, "absent")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    url = f"http://{server.address}"

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["--url", url, "batch", *arguments])
        assert result.exit_code == code, result.output
        return result.stdout

    submitted = run("submit", str(path), "--wait", "--format", "json")
    batch_id = json.loads(submitted)["id"]
    assert batch_id in run("list")
    assert f"batch {batch_id} is completed: 1 of 2 lines answered, 1 failed" in run("show", batch_id)
    run("fetch", batch_id, "--output", str(out), "--errors", str(bad))
    assert json.loads(out.read_text())["custom_id"] == "line-7"
    assert json.loads(bad.read_text())["custom_id"] == "line-8"
    assert run("fetch", batch_id) == out.read_text()
    run("cancel", batch_id, code=1)
    run("show", "batch_absent", code=1)
    (tmp_path / "no.jsonl").write_text("no\n")
    assert "line 1: this line is no JSON" in run("submit", str(tmp_path / "no.jsonl"), "--wait", code=1)
    assert CliRunner().invoke(app, ["batch", "list"]).exit_code == 1
