"""The shelf: files of the spool and batches as their owners see them. Nobody sees another's.

What is there at all, and when it was made, is no secret among an owner's keys; an id that belongs to somebody
else is answered as one that does not exist.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.errors import StoreConflict
from storage.spool.rows import OPEN, BatchRow, FileRow, Purpose, Status
from storage.spool.spool import Spool

KEPT_MS = 30 * 86_400_000
"""How long files, and batches that have ended, are kept."""
OPEN_BATCHES = 20
"""Batches of one owner that may be open at a time."""


def new_id(prefix: str) -> str:
    """An id that nobody can guess."""
    return f"{prefix}_{secrets.token_hex(12)}"


class Shelf:
    """Files and batches by owner."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    # Files

    def used_bytes(self) -> int:
        """Bytes of all files, and of the results that wait to become one."""
        with self.spool.reading() as connection:
            (files,) = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM files").fetchone()
            (results,) = connection.execute("SELECT COALESCE(SUM(LENGTH(result)), 0) FROM lines").fetchone()
        return int(files) + int(results)

    def temporary(self) -> Path:
        """A name for a file that is being written; left-overs go at the next start."""
        return self.spool.folder / f"partial-{secrets.token_hex(12)}"

    def add_file(self, path: Path, owner: str, purpose: Purpose, filename: str, now_ms: int) -> FileRow:
        """Take over a file that is written and synced, and know it."""
        row = self.shelve(path, owner, purpose, filename, now_ms)
        with self.spool.writing() as connection:
            insert_file(connection, row)
        return row

    def shelve(self, path: Path, owner: str, purpose: Purpose, filename: str, now_ms: int) -> FileRow:
        """Put a file in its place; it is there for others once its row is."""
        row = FileRow(new_id("file"), owner, purpose, filename, path.stat().st_size, now_ms, now_ms + KEPT_MS)
        path.rename(self.spool.path_of(row.id))
        sync_folder(self.spool.folder)
        return row

    def file(self, owner: str, file_id: str) -> FileRow | None:
        """One file of an owner."""
        with self.spool.reading() as connection:
            row = connection.execute(
                "SELECT * FROM files WHERE id = ? AND owner = ?", (file_id, owner)
            ).fetchone()
        return None if row is None else FileRow(**row)

    def files(
        self, owner: str, limit: int, after: str | None, descending: bool, purpose: str | None
    ) -> list[FileRow]:
        """Files of an owner, by time."""
        rows = self._page("files", owner, limit, after, descending, purpose)
        return [FileRow(**row) for row in rows]

    def delete_file(self, owner: str, file_id: str) -> bool:
        """Delete a file; raises StoreConflict while an open batch reads it. False if there is none."""
        with self.spool.writing() as connection:
            (open_,) = connection.execute(
                f"SELECT COUNT(*) FROM batches WHERE input_file_id = ? AND owner = ? AND status IN ({_marks(OPEN)})",
                (file_id, owner, *OPEN),
            ).fetchone()
            if open_:
                raise StoreConflict(
                    f"file {file_id} is the input of a batch that has not ended; cancel that first"
                )
            found = connection.execute("DELETE FROM files WHERE id = ? AND owner = ?", (file_id, owner))
        if found.rowcount:
            with suppress(FileNotFoundError):
                self.spool.path_of(file_id).unlink()
        return bool(found.rowcount)

    # Batches

    def add_batch(
        self, owner: str, endpoint: str, input_file_id: str, metadata: dict[str, str], now_ms: int, window_ms: int
    ) -> BatchRow:  # fmt: skip
        """Open a batch; raises StoreConflict where the owner has too many open ones."""
        row = BatchRow(
            new_id("batch"), owner, endpoint, input_file_id, json.dumps(metadata), "validating", "completed", now_ms,
            now_ms + window_ms, json.dumps({"validating": now_ms}),
        )  # fmt: skip
        with self.spool.writing() as connection:
            (many,) = connection.execute(
                f"SELECT COUNT(*) FROM batches WHERE owner = ? AND status IN ({_marks(OPEN)})",
                (owner, *OPEN),
            ).fetchone()
            if many >= OPEN_BATCHES:
                raise StoreConflict(
                    f"{many} batches are open, at most {OPEN_BATCHES} may be; wait for one to end"
                )
            values = [getattr(row, name) for name in BatchRow.__dataclass_fields__]
            connection.execute(f"INSERT INTO batches VALUES ({_marks(values)})", values)
        return row

    def batch(self, owner: str, batch_id: str) -> BatchRow | None:
        """One batch of an owner."""
        with self.spool.reading() as connection:
            row = connection.execute(
                "SELECT * FROM batches WHERE id = ? AND owner = ?", (batch_id, owner)
            ).fetchone()
        return None if row is None else BatchRow(**row)

    def batches(self, owner: str, limit: int, after: str | None) -> list[BatchRow]:
        """Batches of an owner, the newest first."""
        return [BatchRow(**row) for row in self._page("batches", owner, limit, after, True, None)]

    def cancel(self, owner: str, batch_id: str, now_ms: int) -> BatchRow | None:
        """Ask for an end; raises StoreConflict where the batch has ended already. None if there is none."""
        row = self.batch(owner, batch_id)
        if row is None or row.status == "cancelling":
            return row
        with self.spool.writing() as connection:
            changed = connection.execute(
                "UPDATE batches SET status = 'cancelling', ends_as = 'cancelled', "
                "changes = json_set(changes, '$.cancelling', ?) "
                "WHERE id = ? AND status IN ('validating', 'in_progress')",
                (now_ms, batch_id),
            )
        if not changed.rowcount:
            raise StoreConflict(f"batch {batch_id} is {row.status}; only one that runs can be cancelled")
        return self.batch(owner, batch_id)

    def _page(
        self, table: str, owner: str, limit: int, after: str | None, descending: bool, purpose: str | None
    ) -> Sequence[Any]:  # reason: rows of either table
        """A page of rows behind `after`."""
        sign, order = ("<", "DESC") if descending else (">", "ASC")
        where, values = ["owner = ?"], [owner]
        if purpose is not None:
            where.append("purpose = ?")
            values.append(purpose)
        if after is not None:
            where.append(
                f"(created_at_ms, id) {sign} (SELECT created_at_ms, id FROM {table} WHERE id = ? AND owner = ?)"
            )
            values += [after, owner]
        query = f"SELECT * FROM {table} WHERE {' AND '.join(where)} ORDER BY created_at_ms {order}, id {order} LIMIT ?"
        with self.spool.reading() as connection:
            return connection.execute(query, (*values, limit)).fetchall()


def insert_file(connection: sqlite3.Connection, row: FileRow) -> None:
    """One more file."""
    values = [getattr(row, name) for name in FileRow.__dataclass_fields__]
    connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def sync_folder(folder: Path) -> None:
    """Make a new name durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def is_open(status: Status) -> bool:
    """Whether work is left."""
    return status in OPEN
