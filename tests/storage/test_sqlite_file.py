"""What only the SQLite store promises: one file that several processes share and that faults do not spoil."""

import multiprocessing
import resource
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from storage.errors import StoreConflict, StoreIncompatible, StoreUnavailable
from storage.records import AuditEntry, PutConfig
from storage.sqlite import SqliteStore
from storage.sqlite_ledger import write
from storage.sqlite_schema import VERSION
from storage.staging import Staging


@pytest.fixture
def path(tmp_path):
    """Where the ledger of a test lies."""
    return tmp_path / "ledger.db"


@pytest.fixture
def open_scene(path, scene_on):
    """A maker of scenes on the same file, as other processes would open it."""
    return lambda **options: scene_on(SqliteStore(path, **options))


def outcomes(scene, count, first=0):
    """Decisions with a call and a reward each."""
    rows = []
    for unit in range(first, first + count):
        decision = scene.decision(unit, arm=unit % 2)
        rows += [decision, scene.call(decision, 0.5), scene.feedback(decision, float(unit % 3 == 0))]
    return rows


def test_a_reopened_file_has_everything(open_scene):
    """A restart is the most ordinary fault."""
    scene = open_scene()
    scene.start()
    rows = outcomes(scene, 30)
    scene.record(*rows)
    scene.store.commit([PutConfig("{}", 0)], AuditEntry(1, "ann", "apply", "file"), now_ms=1)
    lease = scene.store.acquire_lease("planner", "a", 1, 500)
    scene.store.put_progress(1, "{}", lease, 2)
    scene.store.put_report(1, "report", lease, 2)
    assert scene.store.claim_worker("a", 1, 500) == 0

    def everything(store):
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


def test_only_the_owner_may_read_the_files(open_scene, path):
    """The ledger holds what users said and hashes of keys."""
    scene = open_scene()
    scene.start()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    scene.store.close()


def test_commits_are_made_to_survive_power_loss(open_scene, path):
    """WAL with synchronous=NORMAL would lose acknowledged outcomes when the power goes."""
    scene = open_scene()
    with scene.store._file.writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    scene.store.close()


def test_threads_that_write_and_read_at_once_lose_nothing(open_scene):
    """A worker records, assigns and polls from several threads."""
    scene = open_scene()
    scene.start()
    batches = [outcomes(scene, 5, first) for first in range(0, 400, 5)]
    broken: list[object] = []

    def read():
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


def record_in_child(open_scene, first, batches):
    """One worker process: batches of outcomes, some of units that the other process has too."""
    scene = open_scene(patience_ms=20_000)
    scene.sequence = (1 + first) << 16
    for batch in range(batches):
        scene.record(*outcomes(scene, 4, first + 4 * batch))
    scene.store.close()


def test_processes_that_write_at_once_lose_nothing(open_scene):
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
    scene.definitions = {1: None}
    scene.check()
    scene.store.close()


def use_after_fork(scene, pipe):
    """In the child: the parent's store works, or says that it does not."""
    scene.sequence = 1 << 16
    try:
        scene.record(*outcomes(scene, 10, 500))
        pipe.send(len(scene.store.cells(1)))
    except StoreUnavailable as error:
        pipe.send(str(error))


def in_a_forked_child(scene):
    """What `use_after_fork` says in a child."""
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=use_after_fork, args=(scene, send))
    child.start()
    try:
        assert receive.poll(20)
        return receive.recv()
    finally:
        child.join(20)


def test_a_store_goes_on_in_a_forked_child(open_scene):
    """SQLite's connections may not cross a fork: a child that trusts inherited locks could spoil the file."""
    scene = open_scene()
    scene.start()
    stop = threading.Event()
    written = []

    def write():
        while not stop.is_set():
            scene.record(*outcomes(scene, 2, 1_000 + 2 * len(written)))
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


def test_a_child_forked_in_a_transaction_refuses_to_use_the_store(open_scene):
    """There the locks cannot be trusted, so the child may not write; the parent goes on."""
    scene = open_scene(patience_ms=100)
    scene.start()
    with scene.store._file.writing():
        answer = in_a_forked_child(scene)
    assert "closed" in answer
    with scene.store._file.reading():
        answer = in_a_forked_child(scene)
    assert "closed" in answer
    scene.record(*outcomes(scene, 10))
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 10
    scene.store.close()


def test_rivals_from_two_processes_have_one_winner(open_scene):
    """Compare-and-set holds across connections, not only within one store object."""
    one, two = open_scene(), open_scene()
    one.store.commit([PutConfig("one", 0)])
    with pytest.raises(StoreConflict):
        two.store.commit([PutConfig("two", 0)])
    assert two.store.state().config.body == "one"
    assert two.store.state_version() == 1
    for scene in (one, two):
        scene.store.close()


def test_a_full_file_refuses_whole_batches_and_recovers(open_scene):
    """A full disk must end in an honest refusal, and in service again once there is space."""
    scene = open_scene()
    scene.start()
    scene.record(*outcomes(scene, 10))
    with scene.store._file.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    refused = 0
    for first in range(100, 1_100, 100):
        with scene.store._file.writing() as connection:
            connection.execute(f"PRAGMA max_page_count = {pages + 12}")
        before = (scene.store.cells(1), scene.store.traffic(), len(list(scene.store.export("feedback"))))
        try:
            scene.record(*outcomes(scene, 100, first))
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
    scene.record(*outcomes(scene, 100, 9_000))
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == counted + 100
    scene.check()
    scene.store.close()


def write_to_the_limit(scene, pipe):
    """In a child: let no file grow by more than 200 kB, write until refused, lift the limit, go on."""
    size = scene.store._file._path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
    accepted = 0
    with suppress(StoreUnavailable):
        for first in range(0, 100_000, 50):
            scene.record(*outcomes(scene, 50, first))
            accepted += 50
    before = sum(cell.counts[0] for cell in scene.store.cells(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    scene.record(*outcomes(scene, 50, 500_000))
    scene.check()
    pipe.send((accepted, before, sum(cell.counts[0] for cell in scene.store.cells(1))))
    scene.store.close()


def test_a_failed_write_is_refused_and_the_file_stays_whole(open_scene, path):
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


def test_a_copy_made_under_load_is_a_whole_ledger(open_scene, path, scene_on):
    """A backup is taken while servers write; it must open and be consistent in itself."""
    scene = open_scene()
    scene.start()
    copy = path.with_name("copy.db")
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(lambda: [scene.record(*outcomes(scene, 5, 5 * n)) for n in range(60)])
        while not scene.store.cells(1) and not load.done():
            pass
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        load.result()
    restored = scene_on(SqliteStore(copy))
    restored.definitions = scene.definitions
    restored.check()
    assert 0 < sum(cell.counts[0] for cell in restored.store.cells(1)) <= 300
    for one in (scene, restored):
        one.store.close()


def test_a_lock_held_too_long_is_reported_and_passes(open_scene, path):
    """Another process that hangs in a transaction must not hang everybody."""
    scene = open_scene(patience_ms=50)
    scene.start()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            scene.record(*outcomes(scene, 1))
        assert scene.store.cells(1) == []
        other.execute("ROLLBACK")
    scene.record(*outcomes(scene, 1))
    assert scene.store.cells(1)[0].counts[0] == 1
    scene.store.close()


def test_a_thread_that_writes_too_long_is_reported(open_scene):
    """The queue of writers within a process has a limit too."""
    scene = open_scene(patience_ms=50)
    with scene.store._file.writing(), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(scene.store.commit, [PutConfig("{}", 0)])
        with pytest.raises(StoreUnavailable, match="other threads write"):
            writing.result()
    scene.store.commit([PutConfig("{}", 0)])
    scene.store.close()


def test_a_newer_schema_is_refused_with_clear_words(open_scene, path):
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


def test_another_programs_database_is_refused_and_left_alone(path):
    """A mistyped path must not turn somebody's data into ours."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreIncompatible, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    """As above, for a text file."""
    path.write_text("models: {}\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreIncompatible, match="no SQLite file"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path):
    """The remedy belongs into the error."""
    with pytest.raises(StoreUnavailable, match="check that its directory exists"):
        SqliteStore(tmp_path / "nowhere" / "ledger.db")
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path)


def test_all_who_open_a_new_file_at_once_succeed(tmp_path):
    """`serve --workers 8` on an empty folder starts eight of them."""
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        start = threading.Barrier(8)

        def opened(path=path, start=start):
            start.wait()
            return SqliteStore(path)

        with ThreadPoolExecutor(8) as pool:
            stores = [future.result() for future in [pool.submit(opened) for _ in range(8)]]
        stores[0].commit([PutConfig("{}", 0)])
        assert [store.state_version() for store in stores] == [1] * 8
        for store in stores:
            store.close()


def test_a_long_export_holds_no_transaction_open(open_scene, monkeypatch):
    """A download that takes an hour must not let the write-ahead log grow for an hour."""
    monkeypatch.setattr("storage.sqlite_export.PAGE_ROWS", 7)
    scene = open_scene()
    scene.start()
    scene.record(*outcomes(scene, 30))
    for kind in ("decisions", "calls", "feedback", "units"):
        rows = scene.store.export(kind)
        next(rows)
        with scene.store._file.writing() as connection:
            busy, *_ = connection.execute("SELECT 0").fetchone()
        assert busy == 0
        assert len(list(rows)) == 29
    scene.store.close()


def test_every_sum_of_a_cell_is_added_to(open_scene):
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


def test_a_broken_writer_is_replaced(open_scene):
    """A connection that failed is not trusted again, and its lock is given back."""
    scene = open_scene(patience_ms=500)
    scene.start()
    with pytest.raises(sqlite3.ProgrammingError), scene.store._file.writing() as connection:
        connection.close()
    scene.record(*outcomes(scene, 1))
    assert scene.cell().counts[0] == 1
    scene.store.close()
