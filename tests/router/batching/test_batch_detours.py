"""Lines that no upstream batch answers: asked again, later or one by one, at their own model's place."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.records import PutConfig
from tests.router.batching.works import DIALECTS, run_until, works_of
from tests.servers.batch_upstream import BatchUpstream, Json, batch_upstream, completion
from tests.servers.batching import Works, question


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
    run_until(works, lambda: bool(upstream.batches))
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
    run_until(works, lambda: bool(upstream.batches))
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
