"""`kill -9` while outcomes are acknowledged: none lost, none twice, cells equal to a recount."""

import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from storage.sqlite.store import SqliteStore
from tests.storage.scenes import Row, Scene

PER_BATCH = 8


def rows_of(scene: Scene, batch: int) -> list[Row]:
    """Outcomes of one batch, the same at every try; each third batch also changes the values of the one before."""
    scene.sequence = batch * PER_BATCH
    decisions = [scene.decision(f"{batch}/{unit}", arm=unit % 2) for unit in range(PER_BATCH)]
    rows = []
    for decision in decisions:
        rows += [decision, scene.call(decision, 0.5), scene.feedback(decision, float(batch % 2))]
    if batch % 3 == 0 and batch:
        scene.sequence = (batch - 1) * PER_BATCH
        for unit in range(PER_BATCH):
            earlier = scene.decision(f"{batch - 1}/{unit}", arm=unit % 2)
            rows.append(scene.feedback(earlier, float(batch % 2), occurred_at_ms=scene.now + 1))
    return rows


def final_value(batch: int, last: int) -> int:
    """What the rewards of a batch are worth once batch `last` is in."""
    changed = (batch + 1) % 3 == 0 and batch < last
    return (batch + 1) % 2 if changed else batch % 2


def acknowledge(path: Path, listed: Path, first: int) -> None:
    """A server: records batch after batch and lists what it has acknowledged, until it is killed."""
    scene = Scene(SqliteStore(path))
    answers = os.open(listed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for batch in count(first):
        scene.record(*rows_of(scene, batch))
        os.write(answers, f"{batch}\n".encode())


def test_acknowledged_outcomes_survive_kill_9_and_count_once(tmp_path: Path) -> None:
    """The first promise of the ledger: what was answered with success is there, once, after any crash."""
    path, listed = tmp_path / "ledger.db", tmp_path / "acknowledged"
    scene = Scene(SqliteStore(path))
    scene.start()
    scene.store.close()
    listed.touch()
    for patience_s in (0.1, 0.2, 0.3):
        before = len(listed.read_text().split())
        server = multiprocessing.get_context("fork").Process(target=acknowledge, args=(path, listed, before))
        server.start()
        deadline_s = time.monotonic() + 20
        while len(listed.read_text().split()) < before + 10 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(patience_s)
        os.kill(server.pid, signal.SIGKILL)
        server.join()
        acknowledged = [int(line) for line in listed.read_text().split()]
        assert acknowledged == list(range(len(acknowledged)))
        assert len(acknowledged) >= before + 10
        check_books(Scene(SqliteStore(path)), len(acknowledged))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_books(scene: Scene, acknowledged: int) -> None:
    """All acknowledged batches are there, and of the one in flight all or nothing."""
    scene.experiments = {1}
    decisions = [row["number"] for row in scene.store.export("decisions")]
    batches = len(decisions) // PER_BATCH
    assert len(decisions) == len(set(decisions)) == batches * PER_BATCH
    assert batches in (acknowledged, acknowledged + 1)
    total = sum(final_value(batch, batches - 1) for batch in range(batches)) * PER_BATCH
    cells = scene.store.cells(1)
    assert [cell.counts[0] for cell in cells] == [batches * PER_BATCH // 2] * 2
    assert sum(cell.moments["reward"][2] for cell in cells) == total
    scene.check()
    scene.store.close()
