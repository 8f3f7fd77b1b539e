"""Full disks, held locks and foreign files: the SQLite store refuses in clear words and goes on."""

import multiprocessing
import resource
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from storage.errors import StoreIncompatible, StoreUnavailable
from storage.records import PutConfig
from storage.sqlite.schema import VERSION
from storage.sqlite.store import SqliteStore
from tests.storage.scenes import Scene


def test_a_full_file_refuses_whole_batches_and_recovers(open_scene: Callable[..., Scene]) -> None:
    """A full disk must end in an honest refusal, and in service again once there is space."""
    scene = open_scene()
    scene.start()
    scene.record(*scene.outcomes(10))
    with scene.store._file.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    refused = 0
    for first in range(100, 1_100, 100):
        with scene.store._file.writing() as connection:
            connection.execute(f"PRAGMA max_page_count = {pages + 12}")
        before = (scene.store.cells(1), scene.store.traffic(), len(list(scene.store.export("feedback"))))
        try:
            scene.record(*scene.outcomes(100, first))
        except StoreUnavailable as error:
            assert "full" in str(error)  # noqa: PT017
            refused += 1
            after = (scene.store.cells(1), scene.store.traffic(), len(list(scene.store.export("feedback"))))
            assert after == before
    assert 2 <= refused < 10
    with scene.store._file.writing() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    with scene.store._file.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    counted = sum(cell.counts[0] for cell in scene.store.cells(1))
    scene.record(*scene.outcomes(100, 9_000))
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == counted + 100
    scene.check()
    scene.store.close()


def write_to_the_limit(scene: Scene, pipe: Connection) -> None:
    """In a child: let no file grow by more than 200 kB, write until refused, lift the limit, go on."""
    size = scene.store._file._path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
    accepted = 0
    with suppress(StoreUnavailable):
        for first in range(0, 100_000, 50):
            scene.record(*scene.outcomes(50, first))
            accepted += 50
    before = sum(cell.counts[0] for cell in scene.store.cells(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    scene.record(*scene.outcomes(50, 500_000))
    scene.check()
    pipe.send((accepted, before, sum(cell.counts[0] for cell in scene.store.cells(1))))
    scene.store.close()


def test_a_failed_write_is_refused_and_the_file_stays_whole(
    open_scene: Callable[..., Scene], path: Path
) -> None:
    """A write that the system refuses in the midst of a commit leaves no trace of the batch."""
    scene = open_scene()
    scene.start()
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=write_to_the_limit, args=(scene, send))
    child.start()
    assert receive.poll(20)
    accepted, before, after = receive.recv()
    child.join(20)
    assert 0 < accepted < 100_000
    assert (before, after) == (accepted, accepted + 50)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    scene.store.close()


def test_a_lock_held_too_long_is_reported_and_passes(open_scene: Callable[..., Scene], path: Path) -> None:
    """Another process that hangs in a transaction must not hang everybody."""
    scene = open_scene(patience_ms=50)
    scene.start()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            scene.record(*scene.outcomes(1))
        assert scene.store.cells(1) == []
        other.execute("ROLLBACK")
    scene.record(*scene.outcomes(1))
    assert scene.store.cells(1)[0].counts[0] == 1
    scene.store.close()


def test_a_thread_that_writes_too_long_is_reported(open_scene: Callable[..., Scene]) -> None:
    """The queue of writers within a process has a limit too."""
    scene = open_scene(patience_ms=50)
    with scene.store._file.writing(), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(scene.store.commit, [PutConfig("{}", 0)])
        with pytest.raises(StoreUnavailable, match="other threads write"):
            writing.result()
    scene.store.commit([PutConfig("{}", 0)])
    scene.store.close()


def test_a_newer_schema_is_refused_with_clear_words(open_scene: Callable[..., Scene], path: Path) -> None:
    """An old release must not write rows that a newer one reads otherwise."""
    open_scene().store.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE meta SET schema_version = ?", (VERSION + 1,))
    with pytest.raises(
        StoreIncompatible, match=rf"schema {VERSION + 1}, this release reads schema {VERSION}; .*newer"
    ):
        SqliteStore(path)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE meta SET schema_version = 0")
    with pytest.raises(StoreIncompatible, match="older release"):
        SqliteStore(path)


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    """A mistyped path must not turn somebody's data into ours."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreIncompatible, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    """As above, for a text file."""
    path.write_text("models: {}\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreIncompatible, match="no SQLite file"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The remedy belongs into the error."""
    with pytest.raises(StoreUnavailable, match="check that its directory exists"):
        SqliteStore(tmp_path / "nowhere" / "ledger.db")
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path)


def test_a_broken_writer_is_replaced(open_scene: Callable[..., Scene]) -> None:
    """A connection that failed is not trusted again, and its lock is given back."""
    scene = open_scene(patience_ms=500)
    scene.start()
    with pytest.raises(sqlite3.ProgrammingError), scene.store._file.writing() as connection:
        connection.close()
    scene.record(*scene.outcomes(1))
    assert scene.cell().counts[0] == 1
    scene.store.close()
