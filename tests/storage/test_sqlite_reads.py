"""Look-ups that a batch of new requests does not need, because their numbers lie beyond all that is stored."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from experiments.evidence.units import COUNTS
from storage.records import DecisionRow
from storage.sqlite.store import SqliteStore
from tests.storage.scenes import Scene


def requests(scene: Scene, count: int) -> list[DecisionRow]:
    """Decisions whose unit is the request itself."""
    decisions = [scene.decision(arm=index % 2) for index in range(count)]
    return [replace(row, unit=row.number.to_bytes(16, "big")) for row in decisions]


def test_new_requests_are_written_without_a_look_up_for_each(tmp_path: Path) -> None:
    """Two reads for each request cost the writer thread a sixth of its time."""
    store = SqliteStore(tmp_path / "ledger.db")
    scene = Scene(store)
    scene.start()
    earlier = requests(scene, 5)
    scene.record(*earlier, *map(scene.call, earlier), *map(scene.feedback, earlier))
    later = requests(scene, 100)
    reads: list[str] = []
    with store._file.writing() as connection:
        connection.set_trace_callback(lambda said: reads.append(said) if said.startswith("SELECT") else None)
    scene.record(*later, *map(scene.call, later))
    assert 0 < len(reads) < 20
    store.close()


def test_what_lies_below_the_newest_is_still_found(tmp_path: Path) -> None:
    """Feedback that comes early for a later request must not hide the rows of earlier ones."""
    store = SqliteStore(tmp_path / "ledger.db")
    scene = Scene(store)
    scene.start()
    first, second = requests(scene, 2)
    assert scene.state_of(scene.feedback(second, 1.0)) == "applied"
    assert scene.state_of(scene.feedback(first, 1.0)) == "applied"
    scene.record(first, second, scene.call(first), scene.call(second))
    counts = [dict(zip(COUNTS, row.counts, strict=True)) for row in store.cells(1) if row.epoch == 1]
    assert [(each["assigned"], each["called"], each["feedback"]) for each in counts] == [(1, 1, 1), (1, 1, 1)]
    with sqlite3.connect(tmp_path / "ledger.db") as plain:
        assert plain.execute("SELECT sum(feedback), sum(calls) FROM units").fetchone() == (2, 2)
    assert scene.state_of(scene.feedback(first, 1.0)) == "duplicate"
    store.close()
