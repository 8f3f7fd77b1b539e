"""One SQLite file: its writer and reader connections, durable settings, and errors in our words.

WAL lets readers go on beside the writer; `synchronous=FULL` makes a commit survive power loss. One
connection writes, behind a lock, so that threads of a process queue here and not in SQLite's polling;
readers come from a pool. No connection crosses a fork: SQLite keeps the locks of a process in memory, so
a child would believe in locks that it does not hold. All close before a fork and open again when used.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Lock
from weakref import WeakSet

from storage.errors import StoreError, StoreIncompatible, StoreUnavailable
from storage.sqlite.schema import create, is_new

_OURS = (sqlite3.ProgrammingError, sqlite3.IntegrityError)
"""Mistakes of this program, not faults of the file: they pass as they are."""


class SqliteFile:
    """Transactions on one file, from any thread of any process."""

    def __init__(self, path: Path, patience_ms: int) -> None:
        """Open or create the file, waiting at most `patience_ms` for the locks of other processes."""
        self._path = path.expanduser().absolute()
        self._patience_s = patience_ms / 1000
        self._closed = False
        self._write_lock, self._pool = Lock(), Condition(Lock())
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._lent = 0
        self._forking = False
        with _plain_errors(self._path):
            self._set_up()
        _OPENED.add(self)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed durably at the end of the block, or rolled back whole."""
        if not self._write_lock.acquire(timeout=self._patience_s):
            raise StoreUnavailable(f"{self._path}: other threads write for {self._patience_s:g} s; try again")
        try:
            self._check_open()
            with _plain_errors(self._path):
                connection = self._writer = self._writer or self._connect()
                try:
                    with _transaction(connection, "BEGIN IMMEDIATE"):
                        yield connection
                except sqlite3.Error:
                    self._writer = None  # whatever state it is in, the next transaction begins afresh
                    connection.close()
                    raise
        finally:
            self._write_lock.release()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: everything in the block sees one state of the file."""
        self._check_open()
        with _plain_errors(self._path), self._lent_reader() as connection, _transaction(connection, "BEGIN"):
            yield connection

    def close(self) -> None:
        """Close all connections; a reader in use closes when it is returned."""
        self._closed = True
        with self._write_lock, self._pool:
            self._close_idle()

    def before_fork(self) -> None:
        """Let running transactions end, close every connection, and hold new ones back until after the fork."""
        if not self._write_lock.acquire(timeout=self._patience_s):
            return
        self._pool.acquire()
        self._forking = True
        if self._pool.wait_for(lambda: not self._lent, timeout=self._patience_s):
            self._close_idle()
        else:
            self._let_go()

    def after_fork(self, in_child: bool) -> None:
        """Go on in the parent and in the child; a child forked in the midst of a transaction must not."""
        if self._forking:
            self._let_go()
        elif in_child:
            self._closed = True
            self._write_lock, self._pool = Lock(), Condition(Lock())

    def _let_go(self) -> None:
        self._forking = False
        self._pool.notify_all()
        self._pool.release()
        self._write_lock.release()

    def _close_idle(self) -> None:
        for connection in (*self._readers, self._writer):
            if connection is not None:
                connection.close()
        self._readers, self._writer = [], None

    def _set_up(self) -> None:
        """Create the file for its owner alone; SQLite gives its -wal and -shm files the same mode."""
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = self._connect()
        try:
            with _transaction(connection, "BEGIN"):
                is_new(connection, str(self._path))  # a foreign file is refused before anything is changed
            self._use_wal(connection)
            with _transaction(connection, "BEGIN IMMEDIATE"):
                if is_new(connection, str(self._path)):
                    create(connection)
        finally:
            connection.close()

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Switch a new file to WAL; SQLite does not wait for other processes here, so this does."""
        deadline_s = time.monotonic() + self._patience_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def _connect(self) -> sqlite3.Connection:
        """A connection in autocommit mode; `mode=rw` never makes a new file where one was moved away."""
        connection = sqlite3.connect(
            self._path.as_uri() + "?mode=rw",
            uri=True,
            timeout=self._patience_s,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")  # a WAL that grew shrinks to 64 MiB
        return connection

    @contextmanager
    def _lent_reader(self) -> Iterator[sqlite3.Connection]:
        """A reader from the pool, which takes it back only if all went well."""
        with self._pool:
            self._pool.wait_for(lambda: not self._forking)
            connection = self._readers.pop() if self._readers else self._connect()
            self._lent += 1
        good = False
        try:
            yield connection
            good = True
        finally:
            with self._pool:
                self._lent -= 1
                if good and not self._closed:
                    self._readers.append(connection)
                else:
                    connection.close()
                self._pool.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store was closed; open it anew")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _OURS:
        raise
    except sqlite3.Error as error:
        raise _in_our_words(path, error) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnavailable(f"{path}: {reason}; check that its directory exists and is ours") from error


def _in_our_words(path: Path, error: sqlite3.Error) -> StoreError:
    match _code(error):
        case sqlite3.SQLITE_NOTADB:
            return StoreIncompatible(f"{path} is no SQLite file; name another file")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(f"{path} is locked by another process for too long ({error}); try again")
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(f"{path}: {error}; free space, then send it again")
        case sqlite3.SQLITE_CORRUPT:
            return StoreUnavailable(f"{path} is damaged ({error}); stop the servers and restore a copy")
        case _:
            return StoreUnavailable(f"{path}: {error}; check the disk and who may write there")


def _code(error: sqlite3.Error) -> int:
    """Primary result code; 0 where Python's own checks raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_OPENED: WeakSet[SqliteFile] = WeakSet()


def _before_fork() -> None:
    for file in _OPENED:
        file.before_fork()


def _after_fork(in_child: bool) -> None:
    for file in _OPENED:
        file.after_fork(in_child)


if sys.platform != "win32":
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )
