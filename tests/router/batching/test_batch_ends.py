"""How a batch ends before its time or after it: cancelled, expired, forgotten."""

from tests.router.batching.works import run_until
from tests.servers.batch_upstream import BatchUpstream
from tests.servers.batching import DAY_MS, Works, question


def test_a_cancelled_batch_keeps_what_is_answered_and_stops_the_rest(
    works: Works, upstream: BatchUpstream
) -> None:
    """The upstream is told; every line is in one of the two files."""
    batch_id = works.submit([question(place, "auto" if place % 2 else "task/quick") for place in range(6)])
    run_until(works, lambda: works.batch(batch_id).completed == 3 and bool(upstream.batches))
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
    run_until(works, lambda: bool(upstream.batches))
    works.now_ms += DAY_MS
    batch = works.finish(batch_id)
    assert (batch.status, batch.failed) == ("expired", 2)
    assert {line["error"]["code"] for line in works.lines_of(batch.error_file_id)} == {"batch_expired"}
    assert [call["error"] for call in works.rows("calls")] == ["batch_expired"] * 2


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
