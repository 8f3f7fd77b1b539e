"""The spool's folder: one SQLite file for what is known of files and batches, and the files themselves.

It stands beside the ledger file, or where it was told to, for its owner alone. Everything is durable when a call
returns: batches outlive `kill -9` of every process. Whoever works on batches holds the spool's lease and writes under
its fencing token, so that a process that was stopped past its lease changes nothing.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from storage.errors import LeaseLost, StoreIncompatible, StoreUnavailable
from storage.leases import taken
from storage.records import Lease
from storage.spool.schema import TABLES, VERSION

LEASE = "batches"
PATIENCE_S = 10.0
_REDIS = ("redis:", "rediss:", "unix:")


def spool_path(store_url: str, folder: Path | None = None) -> Path | None:
    """Where the spool lies: in the folder that is named, else beside the ledger file; None where there is neither."""
    if folder is not None:
        return named_path(folder)
    if store_url.startswith((*_REDIS, "memory:")):
        return None
    ledger = named_path(Path(store_url.removeprefix("sqlite:///")))
    return ledger.with_name(ledger.name + ".batches")


def named_path(path: Path) -> Path:
    """A path that somebody wrote, as every process of a server must read it."""
    return path.expanduser().absolute()


class Spool:
    """Transactions on one folder, from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = RLock()
        with _plain_errors(folder):
            folder.mkdir(mode=0o700, exist_ok=True)  # never its parents: a typing error should be seen
            place = folder / "spool.sqlite"
            os.close(os.open(place, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(
                place, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._set_up()

    def path_of(self, file_id: str) -> Path:
        """Where a file's content lies. Ids are made here and looked up before, never taken from a client."""
        return self.folder / file_id

    @contextmanager
    def writing(self, token: int | None = None) -> Iterator[sqlite3.Connection]:
        """A durable transaction; under a fencing token it is refused once a greater one was given out."""
        with self._lock, _plain_errors(self.folder):
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                if token is not None:
                    _check(connection, token)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Reads of this thread, one after another."""
        with self._lock, _plain_errors(self.folder):
            yield self._connection

    def acquire_lease(self, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
        """Take or renew the lease; None while another holder's is valid. A new holder gets a greater token."""
        with self.writing() as connection:
            lease = taken(_lease(connection), LEASE, holder, now_ms, ttl_ms)
            if lease is not None:
                _keep(connection, lease)
        return lease

    def release_lease(self, holder: str) -> None:
        """Give the lease back early; nothing happens if another has it."""
        with self.writing() as connection:
            lease = _lease(connection)
            if lease.holder == holder:
                _keep(connection, Lease(LEASE, "", lease.token, 0))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _set_up(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        with self.writing():
            for statement in TABLES:
                connection.execute(statement)
            (version,) = connection.execute("SELECT version FROM meta").fetchone()
        if version != VERSION:
            raise StoreIncompatible(
                f"{self.folder} has version {version}, this release reads {VERSION}; let the other release end its work"
            )


def _lease(connection: sqlite3.Connection) -> Lease:
    """The newest lease that was given."""
    token, holder, until_ms = connection.execute("SELECT fence, holder, held_until_ms FROM meta").fetchone()
    return Lease(LEASE, holder, token, until_ms)


def _keep(connection: sqlite3.Connection, lease: Lease) -> None:
    values = (lease.token, lease.holder, lease.expires_at_ms)
    connection.execute("UPDATE meta SET fence = ?, holder = ?, held_until_ms = ?", values)


def _check(connection: sqlite3.Connection, token: int) -> None:
    (newest,) = connection.execute("SELECT fence FROM meta").fetchone()
    if token < newest:
        raise LeaseLost(f"the lease with token {token} was superseded (newest {newest}); take it anew")


@contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{folder}: {error}; check the disk and who may write there") from error
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {error.strerror or error}; check the disk") from error
