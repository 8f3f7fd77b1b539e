"""Batches from their file to their answers, over real upstreams that speak either batch API."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.definition.experiment import Experiment
from router.batching.jsonl import index_lines
from router.recording.feedback import FeedbackItem
from router.steering.control import Control
from storage.records import UNTIMED_MS, FeedbackState, PutConfig
from tests.servers.batch_upstream import BatchUpstream, Json, batch_upstream, completion
from tests.servers.batching import CHAT, DAY_MS, Works, question

BATCH_PRICE = (100 * 10 + 20 * 30) / 2 / 1e6
SINGLE_PRICE = (100 * 1 + 20 * 2) / 1e6
DIALECTS = ("openai", "anthropic")
CREATE = {"openai": "/batches", "anthropic": "/messages/batches"}


@pytest.fixture
def upstream() -> Iterator[BatchUpstream]:
    """An upstream with both batch APIs."""
    with batch_upstream() as running:
        yield running


@pytest.fixture
def opened() -> Iterator[list[Works]]:
    """Works to close."""
    made: list[Works] = []
    yield made
    for works in made:
        works.close()


@pytest.fixture
def works(upstream: BatchUpstream, tmp_path: Path, opened: list[Works]) -> Works:
    """Works over OpenAI's batch API."""
    return works_of(upstream, tmp_path, opened)


def works_of(
    upstream: BatchUpstream, folder: Path, opened: list[Works], dialect: str = "openai", **changes: Any
) -> Works:  # fmt: skip
    """`big` has a batch API, `small`, which the task `quick` is served by, has none."""
    price = {"input": 10, "output": 30, "batch_discount": 0.5}
    big = {"base_url": upstream.url, "dialect": dialect, "price": price, "batch": True}
    if dialect == "anthropic":
        big["default_max_tokens"] = 100
    small = {"base_url": upstream.url, "price": {"input": 1, "output": 2}}
    config = {
        "models": {"big": big | changes.pop("big", {}), "small": small}, "default": "big", "retries": 0,
        "tasks": {"quick": {"default": "small"}, "support": {}}, **changes,
    }  # fmt: skip
    opened.append(made := Works(folder, config))
    return made


def said(lines: list[Json]) -> list[str]:
    """What the answers say."""
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_line_is_answered_recorded_and_paid_once(
    upstream: BatchUpstream, tmp_path: Path, opened: list[Works], dialect: str
) -> None:
    """Those of a model with a batch API at its price, in one upstream batch; the others one by one."""
    works = works_of(upstream, tmp_path, opened, dialect)
    batch_id = works.submit([question(place, "auto" if place % 2 else "task/quick") for place in range(8)])
    batch = works.finish(batch_id, upstream.finish)
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 8, 8, 0)
    lines = works.lines_of(batch.output_file_id)
    assert [line["custom_id"] for line in lines] == [f"line-{place}" for place in range(8)]
    assert said(lines) == [f"answer to question {place}" for place in range(8)]
    assert batch.error_file_id is None
    assert len(upstream.batches) == 1
    assert len(upstream.chats) == 4
    bodies = [line["response"]["body"] for line in lines]
    assert [body["model"] for body in bodies] == ["small", "big"] * 4
    assert [body["usage"]["cost"] for body in bodies] == pytest.approx([SINGLE_PRICE, BATCH_PRICE] * 4)
    decisions, calls = works.rows("decisions"), works.rows("calls")
    assert len(decisions) == len(calls) == 8
    assert sum(call["cost_usd"] for call in calls) == pytest.approx(4 * (SINGLE_PRICE + BATCH_PRICE))
    batched = [call for call in calls if call["served_model"] == "big"]
    assert {call["latency_ms"] for call in batched} == {UNTIMED_MS}
    assert [step[1] for step in json.loads(str(batched[0]["trail"]))] == ["batch", "served"]


def test_a_line_takes_part_in_experiments_and_takes_feedback(works: Works, upstream: BatchUpstream) -> None:
    """By its user, under the shares; the answer's id is what feedback names. No latency is counted for it."""
    definition = Experiment(
        name="cheaper", task="support", candidates=("big", "small"), unit="user", mode="ab"
    )
    control = Control(works.store, lambda: works.now_ms)
    control.create(definition, "test")
    control.start("cheaper", "test")
    batch_id = works.submit([question(place, "task/support", user=f"user {place}") for place in range(40)])
    batch = works.finish(batch_id, upstream.finish)
    lines = works.lines_of(batch.output_file_id)
    decisions = works.rows("decisions")
    (experiment_id,) = {row["experiment_id"] for row in decisions}
    assert {row["propensity"] for row in decisions} == {0.5}
    models = Counter(row["model"] for row in decisions)
    assert min(models["big"], models["small"]) > 8
    ids = [line["response"]["body"]["id"] for line in lines]

    async def feedback(crew: Any) -> list[FeedbackState]:
        from router.recording.recorder import Recorder

        crew.engine.recorder = Recorder(works.store, crew.engine.clock)
        replies = await crew.engine.give_feedback_async(
            [FeedbackItem(decision_id=each, value=1.0) for each in ids]
        )
        return [reply.state for reply in replies]

    assert works.run(feedback) == [FeedbackState.APPLIED] * 40
    (cells,) = [[cell for cell in works.store.cells(int(str(experiment_id))) if cell.counts[0]]]
    timed = {cell.arm: sum(cell.latency.values()) for cell in cells}
    assert timed.get(0, 0) == 0
    assert timed[1] == models["small"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("crash", [False, True])
def test_a_batch_that_was_made_without_an_answer_is_found_and_not_made_again(
    upstream: BatchUpstream, tmp_path: Path, opened: list[Works], dialect: str, crash: bool
) -> None:
    """The connection is cut when the upstream has done it; another batch stands before it in the list."""
    works = works_of(upstream, tmp_path, opened, dialect)
    upstream.faults.append(("POST", CREATE[dialect], 0))
    batch_id = works.submit([question(place) for place in range(3)])

    def made(*_: object) -> bool:
        if upstream.batches and len(upstream.batches) == 1:
            for lines in (1, 3):  # batches of somebody else, the second of which looks like ours
                upstream._make(
                    [{"custom_id": f"x{place}", "body": {}, "_said": "foreign"} for place in range(lines)]
                )
            upstream.answer = lambda body: completion(body) if "messages" in body else (200, {})
        return bool(upstream.batches)

    if crash:

        async def until_made(crew: Any) -> None:
            await crew.until(made)

        works.run(until_made)
    batch = works.finish(batch_id, lambda: made() and (answering(upstream, dialect), upstream.finish()))
    assert batch.status == "completed"
    assert sorted(each for each in upstream.sent if each != "foreign") == [
        "question 0",
        "question 1",
        "question 2",
    ]
    assert upstream.chats == []
    assert said(works.lines_of(batch.output_file_id)) == [f"answer to question {place}" for place in range(3)]


def answering(upstream: BatchUpstream, dialect: str) -> None:
    """Answer as the dialect does; a foreign request is answered with nothing of use."""
    from tests.servers.batch_upstream import message

    answer = completion if dialect == "openai" else message
    upstream.answer = lambda body: (
        answer(body) if "messages" in body else (400, {"error": {"message": "foreign"}})
    )


@pytest.fixture(autouse=True)
def in_its_dialect(request: pytest.FixtureRequest, upstream: BatchUpstream) -> None:
    """Batches of Anthropic's are answered with messages."""
    params = getattr(request.node, "callspec", None)
    if params is not None and "dialect" in params.params:
        answering(upstream, params.params["dialect"])


@pytest.mark.parametrize(
    ("faults", "made", "single"),
    [
        ([("POST", "/files", 503)], 1, 0),
        ([("POST", "/batches", 429)], 1, 0),
        ([("POST", "/files", 400)], 0, 3),
        ([("POST", "/batches", 400)], 0, 3),
        ([("POST", "/files", 503)] * 5, 0, 3),
    ],
)
def test_an_upstream_that_takes_no_batch_is_asked_again_or_line_by_line(
    works: Works, upstream: BatchUpstream, faults: list[tuple[str, str, int]], made: int, single: int
) -> None:
    """Again where it said later, at most five times; each line by itself where it said no."""
    upstream.faults += faults
    batch = works.finish(works.submit([question(place) for place in range(3)]), upstream.finish)
    assert (batch.status, batch.completed) == ("completed", 3)
    assert (len(upstream.batches), len(upstream.chats)) == (made, single)


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_lines_of_a_batch_that_came_to_nothing_are_run_one_by_one(
    works: Works, upstream: BatchUpstream, status: str
) -> None:
    """They were not answered there, so nothing was paid there."""
    batch = works.finish(
        works.submit([question(place) for place in range(3)]), lambda: upstream.finish(status)
    )
    assert (batch.status, batch.completed) == ("completed", 3)
    assert len(upstream.chats) == 3
    assert len(works.rows("calls")) == 3


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_of_one_line_is_its_own(
    upstream: BatchUpstream, tmp_path: Path, opened: list[Works], dialect: str
) -> None:
    """What a further try may mend is tried by itself; what the upstream refuses is charged to the candidate."""
    works = works_of(upstream, tmp_path, opened, dialect)
    good = upstream.answer

    def answer(body: Json) -> tuple[int, Json] | None:
        text = json.dumps(body["messages"])
        if "question 0" in text:
            return 400, {"error": {"message": "too odd", "type": "invalid_request_error", "code": "odd"}}
        if "question 1" in text:
            return 500, {"error": {"message": "oh", "type": "api_error"}}
        return None if "question 2" in text else good(body)

    upstream.answer = answer
    batch = works.finish(works.submit([question(place) for place in range(4)]), upstream.finish)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 3, 1)
    (refused,) = works.lines_of(batch.error_file_id)
    assert refused["custom_id"] == "line-0"
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["message"] == "too odd"
    assert len(upstream.chats) == 2
    calls = works.rows("calls")
    assert len(calls) == 4
    assert [call["error"] for call in calls if call["error"]] == ["upstream_refused"]


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


def test_a_cancelled_batch_keeps_what_is_answered_and_stops_the_rest(
    works: Works, upstream: BatchUpstream
) -> None:
    """The upstream is told; every line is in one of the two files."""
    batch_id = works.submit([question(place, "auto" if place % 2 else "task/quick") for place in range(6)])

    async def until_single(crew: Any) -> None:
        await crew.until(lambda: works.batch(batch_id).completed == 3 and bool(upstream.batches))

    works.run(until_single)
    assert works.shelf.cancel("key:other", batch_id, works.now_ms) is None
    assert works.shelf.cancel("key:one", batch_id, works.now_ms) is not None
    batch = works.finish(batch_id)
    assert (batch.status, batch.completed, batch.failed) == ("cancelled", 3, 3)
    errors = works.lines_of(batch.error_file_id)
    assert [line["custom_id"] for line in errors] == ["line-1", "line-3", "line-5"]
    assert {line["error"]["code"] for line in errors} == {"batch_cancelled"}
    assert any(path.endswith("/cancel") for _, path in upstream.asked)
    assert len(works.rows("calls")) == 3, "nobody is charged for what was not wanted any more"


def test_a_batch_that_is_cancelled_at_once_asks_nobody(works: Works, upstream: BatchUpstream) -> None:
    """Even before its file was looked at."""
    batch_id = works.submit([question(0)])
    works.shelf.cancel("key:one", batch_id, works.now_ms)
    batch = works.finish(batch_id)
    assert (batch.status, batch.total) == ("cancelled", 0)
    assert upstream.asked == []


def test_after_the_window_what_is_left_expires_and_is_charged(works: Works, upstream: BatchUpstream) -> None:
    """The assigned candidate gave no answer in time; the upstream's batch is stopped."""
    batch_id = works.submit([question(place) for place in range(2)])

    async def until_sent(crew: Any) -> None:
        await crew.until(lambda: bool(upstream.batches))

    works.run(until_sent)
    works.now_ms += DAY_MS
    batch = works.finish(batch_id)
    assert (batch.status, batch.failed) == ("expired", 2)
    assert {line["error"]["code"] for line in works.lines_of(batch.error_file_id)} == {"batch_expired"}
    assert [call["error"] for call in works.rows("calls")] == ["batch_expired"] * 2


def test_a_model_without_room_is_asked_again_later(works: Works, upstream: BatchUpstream) -> None:
    """There is a day's time; the line keeps its decision and is recorded once."""
    refusals = [(429, {"error": {"message": "busy"}})] * 2
    upstream.chat = lambda body: refusals.pop() if refusals else completion(body)

    def a_minute_passes() -> None:
        works.now_ms += 60_000

    batch = works.finish(works.submit([question(0, "task/quick")]), a_minute_passes)
    assert (batch.status, batch.completed) == ("completed", 1)
    assert len(upstream.chats) == 3
    (call,) = works.rows("calls")
    assert call["error"] is None


def test_a_day_without_money_left_sends_no_batch(
    upstream: BatchUpstream, tmp_path: Path, opened: list[Works]
) -> None:
    """The limit holds for batches as well: what does not fit is run by itself, where the fallback serves."""
    works = works_of(
        upstream, tmp_path, opened, big={"limits": {"tokens_per_day": 1_100}}, fallbacks=["small"]
    )
    batch = works.finish(works.submit([question(place) for place in range(4)]), upstream.finish)
    assert (batch.status, batch.completed) == ("completed", 4)
    assert len(upstream.sent) == 2
    assert [line["response"]["body"]["model"] for line in works.lines_of(batch.output_file_id)] == [
        "big", "big", "small", "small",
    ]  # fmt: skip


def test_a_model_that_moved_is_asked_line_by_line(works: Works, upstream: BatchUpstream) -> None:
    """What an upstream named its batch means nothing at another address, and its key must not go there."""
    batch_id = works.submit([question(place) for place in range(2)])

    async def until_made(crew: Any) -> None:
        await crew.until(lambda: bool(upstream.batches))

    works.run(until_made)
    with batch_upstream() as other:
        config = works.store.state().config
        assert config is not None
        moved = json.loads(config.body)
        moved["models"]["big"]["base_url"] = other.url
        works.store.commit([PutConfig(json.dumps(moved), config.version)])
        batch = works.finish(batch_id)
        assert (batch.status, batch.completed) == ("completed", 2)
        assert len(other.chats) == 2
        assert {path for _, path in other.asked} == {"/chat/completions"}


def test_without_its_key_a_batch_waits(works: Works, upstream: BatchUpstream) -> None:
    """It is under way and paid: lines are not sent again because a server was started without a variable."""
    batch_id = works.submit([question(place) for place in range(2)])

    async def until_made(crew: Any) -> None:
        await crew.until(lambda: bool(upstream.batches))

    works.run(until_made)
    config = works.store.state().config
    assert config is not None
    keyed = json.loads(config.body)
    keyed["models"]["big"]["api_key_env"] = "BIG_KEY"
    works.store.commit([PutConfig(json.dumps(keyed), config.version)])
    upstream.finish()
    seen = len(upstream.asked)

    async def without_key(crew: Any) -> None:
        crew.keys.clear()
        for _ in range(10):
            await crew.batcher.round()

    works.run(without_key)
    assert len(upstream.asked) == seen
    assert works.finish(batch_id).completed == 2
    assert upstream.chats == []


def test_results_that_nobody_asked_for_change_nothing(works: Works, upstream: BatchUpstream) -> None:
    """Foreign ids, broken lines and repeated ones: an upstream's file is input like any other."""
    batch_id = works.submit([question(0)])

    def finish() -> None:
        upstream.finish()
        for name, content in upstream.files.items():
            if b'"response"' in content and b"strange" not in content:
                strange = [
                    b"no json",
                    b"[]",
                    b'{"custom_id": 7}',
                    b'{"custom_id": "strange-1", "response": {}}',
                ]
                upstream.files[name] = b"\n".join([*strange, content.strip(), content.strip()]) + b"\n"

    batch = works.finish(batch_id, finish)
    assert (batch.completed, batch.failed) == (1, 0)
    assert len(works.lines_of(batch.output_file_id)) == 1


def test_what_is_old_is_forgotten(works: Works, upstream: BatchUpstream) -> None:
    """Files and batches after thirty days; nothing of a prompt is left in the folder."""
    marked = question(0, "task/quick")
    marked["body"]["messages"][0]["content"] = "a secret prompt"
    batch = works.finish(works.submit([marked]), upstream.finish)
    assert works.shelf.files("key:one", 10, None, True, None)
    works.now_ms += 31 * DAY_MS
    works.run(lambda crew: crew.batcher.round())
    assert works.shelf.files("key:one", 10, None, True, None) == []
    assert works.shelf.batch("key:one", batch.id) is None
    with works.spool.reading() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in works.spool.folder.iterdir():
        assert b"a secret prompt" not in path.read_bytes(), path
