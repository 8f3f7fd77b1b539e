"""One SQLite file that threads, processes and forked children share."""

import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from storage.errors import StoreConflict, StoreUnavailable
from storage.records import AuditEntry, PutConfig
from storage.sqlite.ledger import write
from storage.sqlite.store import SqliteStore
from storage.staging import Staging
from storage.store import Store
from tests.storage.scenes import Scene


def test_a_reopened_file_has_everything(open_scene: Callable[..., Scene]) -> None:
    """A restart is the most ordinary fault."""
    scene = open_scene()
    scene.start()
    rows = scene.outcomes(30)
    scene.record(*rows)
    scene.store.commit([PutConfig("{}", 0)], AuditEntry(1, "ann", "apply", "file"), now_ms=1)
    lease = scene.store.acquire_lease("planner", "a", 1, 500)
    scene.store.put_progress(1, "{}", lease, 2)
    scene.store.put_report(1, "report", lease, 2)
    assert scene.store.claim_worker("a", 1, 500) == 0

    def everything(store: Store) -> tuple[object, ...]:
        exports = [list(store.export(kind)) for kind in ("decisions", "calls", "feedback", "units")]
        read = (store.state(), store.audit(), store.cells(1), store.traffic(), store.epochs(1))
        return (*read, store.progress(1), store.report(1), exports)

    before = everything(scene.store)
    scene.store.close()
    again = open_scene()
    assert everything(again.store) == before
    assert [reply.state for reply in again.record(*rows)] == ["duplicate"] * 30
    assert again.store.cells(1) == before[2]
    assert again.store.acquire_lease("planner", "b", 3, 500) is None
    assert again.store.claim_worker("b", 2, 500) == 1
    again.store.close()


def test_only_the_owner_may_read_the_files(open_scene: Callable[..., Scene], path: Path) -> None:
    """The ledger holds what users said and hashes of keys."""
    scene = open_scene()
    scene.start()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    scene.store.close()


def test_commits_are_made_to_survive_power_loss(open_scene: Callable[..., Scene], path: Path) -> None:
    """WAL with synchronous=NORMAL would lose acknowledged outcomes when the power goes."""
    scene = open_scene()
    with scene.store._file.writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    scene.store.close()


def test_threads_that_write_and_read_at_once_lose_nothing(open_scene: Callable[..., Scene]) -> None:
    """A worker records, assigns and polls from several threads."""
    scene = open_scene()
    scene.start()
    batches = [scene.outcomes(5, first) for first in range(0, 400, 5)]
    broken: list[object] = []

    def read() -> None:
        while not done.is_set():
            cells = scene.store.cells(1)
            broken.extend(cell for cell in cells if cell.moments["reward"][0] != cell.counts[0])
            scene.store.assignment(1, batches[0][0].unit)

    done = threading.Event()
    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda rows: scene.record(*rows), batches))
    done.set()
    reader.join()
    assert broken == []
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 400
    scene.check()
    scene.store.close()


def record_in_child(open_scene: Callable[..., Scene], first: int, batches: int) -> None:
    """One worker process: batches of outcomes, some of units that the other process has too."""
    scene = open_scene(patience_ms=20_000)
    scene.sequence = (1 + first) << 16
    for batch in range(batches):
        scene.record(*scene.outcomes(4, first + 4 * batch))
    scene.store.close()


def test_processes_that_write_at_once_lose_nothing(open_scene: Callable[..., Scene]) -> None:
    """Workers share the file: cells are changed by addition, so every difference arrives."""
    scene = open_scene()
    scene.start()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=record_in_child, args=(open_scene, 100 * n, 50)) for n in range(2)]
    for worker in workers:
        worker.start()
    record_in_child(open_scene, 200, 25)
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    cells = scene.store.cells(1)
    assert sum(cell.counts[0] for cell in cells) == 300
    assert sum(cell.moments["reward"][1] for cell in cells) == 500
    scene.experiments = {1}
    scene.check()
    scene.store.close()


def use_after_fork(scene: Scene, pipe: Connection) -> None:
    """In the child: the parent's store works, or says that it does not."""
    scene.sequence = 1 << 16
    try:
        scene.record(*scene.outcomes(10, 500))
        pipe.send(len(scene.store.cells(1)))
    except StoreUnavailable as error:
        pipe.send(str(error))


def in_a_forked_child(scene: Scene) -> object:
    """What `use_after_fork` says in a child."""
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=use_after_fork, args=(scene, send))
    child.start()
    try:
        assert receive.poll(20)
        return receive.recv()
    finally:
        child.join(20)


def test_a_store_goes_on_in_a_forked_child(open_scene: Callable[..., Scene]) -> None:
    """SQLite's connections may not cross a fork: a child that trusts inherited locks could spoil the file."""
    scene = open_scene()
    scene.start()
    stop = threading.Event()
    written = []

    def write() -> None:
        while not stop.is_set():
            scene.record(*scene.outcomes(2, 1_000 + 2 * len(written)))
            scene.store.cells(1)
            written.append(2)

    writer = threading.Thread(target=write)
    writer.start()
    answers = [in_a_forked_child(scene) for _ in range(3)]
    stop.set()
    writer.join()
    assert answers == [2, 2, 2]
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 10 + sum(written)
    scene.check()
    scene.store.close()


def test_a_child_forked_in_a_transaction_refuses_to_use_the_store(open_scene: Callable[..., Scene]) -> None:
    """There the locks cannot be trusted, so the child may not write; the parent goes on."""
    scene = open_scene(patience_ms=100)
    scene.start()
    with scene.store._file.writing():
        answer = in_a_forked_child(scene)
    assert "closed" in answer
    with scene.store._file.reading():
        answer = in_a_forked_child(scene)
    assert "closed" in answer
    scene.record(*scene.outcomes(10))
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 10
    scene.store.close()


def test_rivals_from_two_processes_have_one_winner(open_scene: Callable[..., Scene]) -> None:
    """Compare-and-set holds across connections, not only within one store object."""
    one, two = open_scene(), open_scene()
    one.store.commit([PutConfig("one", 0)])
    with pytest.raises(StoreConflict):
        two.store.commit([PutConfig("two", 0)])
    assert two.store.state().config.body == "one"
    assert two.store.state_version() == 1
    for scene in (one, two):
        scene.store.close()


def test_a_copy_made_under_load_is_a_whole_ledger(open_scene: Callable[..., Scene], path: Path) -> None:
    """A backup is taken while servers write; it must open and be consistent in itself."""
    scene = open_scene()
    scene.start()
    copy = path.with_name("copy.db")
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(lambda: [scene.record(*scene.outcomes(5, 5 * n)) for n in range(60)])
        while not scene.store.cells(1) and not load.done():
            pass
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        load.result()
    restored = Scene(SqliteStore(copy))
    restored.experiments = scene.experiments
    restored.check()
    assert 0 < sum(cell.counts[0] for cell in restored.store.cells(1)) <= 300
    for one in (scene, restored):
        one.store.close()


def test_all_who_open_a_new_file_at_once_succeed(tmp_path: Path) -> None:
    """`serve --workers 8` on an empty folder starts eight of them."""
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        start = threading.Barrier(8)

        def opened(path: Path = path, start: threading.Barrier = start) -> SqliteStore:
            start.wait()
            return SqliteStore(path)

        with ThreadPoolExecutor(8) as pool:
            stores = [future.result() for future in [pool.submit(opened) for _ in range(8)]]
        stores[0].commit([PutConfig("{}", 0)])
        assert [store.state_version() for store in stores] == [1] * 8
        for store in stores:
            store.close()


def test_a_long_export_holds_no_transaction_open(
    open_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that takes an hour must not let the write-ahead log grow for an hour."""
    monkeypatch.setattr("storage.sqlite.export.PAGE_ROWS", 7)
    scene = open_scene()
    scene.start()
    scene.record(*scene.outcomes(30))
    for kind in ("decisions", "calls", "feedback", "units"):
        rows = scene.store.export(kind)
        next(rows)
        with scene.store._file.writing() as connection:
            busy, *_ = connection.execute("SELECT 0").fetchone()
        assert busy == 0
        assert len(list(rows)) == 29
    scene.store.close()


def test_every_sum_of_a_cell_is_added_to(open_scene: Callable[..., Scene]) -> None:
    """Sums of other workers stay: each column adds, none is overwritten, covariates included."""
    scene = open_scene()
    scene.start()
    for _ in range(2):
        staging = Staging(reads=None, now_ms=scene.now)
        delta = staging.delta(1, 1, 0)
        delta.counts = list(range(1, 8))
        delta.moments = {"reward": [float(number) for number in range(1, 16)]}
        delta.latency = {9: 4}
        with scene.store._file.writing() as connection:
            write(connection, staging)
    (cell,) = scene.store.cells(1)
    assert cell.counts == tuple(range(2, 16, 2))
    assert cell.moments["reward"] == tuple(float(number) for number in range(2, 32, 2))
    assert cell.latency == {9: 8}
    scene.store.close()
