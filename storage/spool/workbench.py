"""The workbench: what the one process that works on batches reads and writes, under its fencing token."""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from storage.spool.rows import (
    FINISHED,
    OPEN,
    BatchRow,
    Ended,
    FileRow,
    GroupRow,
    GroupState,
    LineRow,
    LineState,
    Owed,
    Status,
)
from storage.spool.shelf import insert_file
from storage.spool.spool import Spool

_LINE = "batch_id, number, custom_id, start, size, state, decision, site, group_id, tries"
LEFT_OVER_MS = 3_600_000
"""Age at which a file that nobody knows is a left-over of a crash."""
_DECISION, _CALL = 1, 2
"""What the ledger is owed of a line: bits."""


class Workbench:
    """Batches from their first look to their end."""

    def __init__(self, spool: Spool, token: int) -> None:
        self.spool = spool
        self.token = token

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self.spool.writing(self.token) as connection:
            yield connection

    # Batches

    def open_batches(self) -> list[BatchRow]:
        """Batches with work left, the oldest first."""
        with self.spool.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM batches WHERE status IN ({_marks(OPEN)}) ORDER BY created_at_ms, id",
                OPEN,
            ).fetchall()
        return [BatchRow(**row) for row in rows]

    def begin(self, batch_id: str, lines: Iterable[LineRow], now_ms: int) -> None:
        """Take over the lines of a batch that was found to be sound; a batch that is being cancelled stays so."""
        with self._writing() as connection:
            connection.execute("DELETE FROM lines WHERE batch_id = ?", (batch_id,))
            connection.executemany(
                "INSERT INTO lines (batch_id, number, custom_id, start, size, state) VALUES (?, ?, ?, ?, ?, 'new')",
                ((line.batch_id, line.number, line.custom_id, line.start, line.size) for line in lines),
            )
            connection.execute(
                "UPDATE batches SET total = (SELECT COUNT(*) FROM lines WHERE batch_id = id) WHERE id = ?",
                (batch_id,),
            )
            _move(connection, batch_id, "in_progress", now_ms, "validating")

    def refuse(self, batch_id: str, errors: Sequence[dict[str, object]], now_ms: int) -> None:
        """End a batch whose file is no use."""
        with self._writing() as connection:
            connection.execute("UPDATE batches SET errors = ? WHERE id = ?", (json.dumps(errors), batch_id))
            _move(connection, batch_id, "failed", now_ms, *OPEN)

    def expire(self, batch_id: str, now_ms: int) -> None:
        """The window is over: what has not ended will not be done."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE batches SET ends_as = 'expired' WHERE id = ? AND ends_as = 'completed'", (batch_id,)
            )
            _move(connection, batch_id, "cancelling", now_ms, "validating", "in_progress")

    def finalize(self, batch_id: str, now_ms: int) -> None:
        """Every line has ended; its files are written next."""
        with self._writing() as connection:
            _move(connection, batch_id, "finalizing", now_ms, "in_progress", "cancelling")

    def close(self, batch: BatchRow, output: FileRow | None, errors: FileRow | None, now_ms: int) -> None:
        """The files are there; the lines are needed no longer."""
        with self._writing() as connection:
            for row in (output, errors):
                if row is not None:
                    insert_file(connection, row)
            connection.execute(
                "UPDATE batches SET output_file_id = ?, error_file_id = ? WHERE id = ?",
                (output.id if output else None, errors.id if errors else None, batch.id),
            )
            _move(connection, batch.id, batch.ends_as, now_ms, "finalizing")
            connection.execute("DELETE FROM lines WHERE batch_id = ?", (batch.id,))
            connection.execute("DELETE FROM groups WHERE batch_id = ?", (batch.id,))

    # Lines

    def lines(self, batch_id: str, state: LineState, limit: int, now_ms: int = 2**62) -> list[LineRow]:
        """Lines in one state that may be worked on by now, in order."""
        with self.spool.reading() as connection:
            rows = connection.execute(
                f"SELECT {_LINE} FROM lines INDEXED BY lines_by_state "
                "WHERE batch_id = ? AND state = ? AND not_before_ms <= ? "
                "ORDER BY number LIMIT ?",
                (batch_id, state, now_ms, limit),
            ).fetchall()
        return [LineRow(**row) for row in rows]

    def goes_on(self, batch_id: str) -> bool:
        """Whether lines of a batch are to be begun still."""
        with self.spool.reading() as connection:
            row = connection.execute("SELECT status FROM batches WHERE id = ?", (batch_id,)).fetchone()
        return row is not None and row[0] == "in_progress"

    def unfinished(self, batch_id: str) -> int:
        """Lines that have not ended, by the batch's counts: looking at the lines would read all their results."""
        with self.spool.reading() as connection:
            row = connection.execute(
                "SELECT total - completed - failed FROM batches WHERE id = ?", (batch_id,)
            ).fetchone()
        return 0 if row is None else int(row[0])

    def decided(self, lines: Iterable[LineRow]) -> None:
        """Keep decisions, with the way that each line takes; the ledger is owed them from now on."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE lines SET decision = ?, state = ?, site = ?, owed = ? WHERE batch_id = ? AND number = ?",
                (
                    (line.decision, line.state, line.site, _DECISION, line.batch_id, line.number)
                    for line in lines
                ),
            )

    def put_back(self, batch_id: str, number: int, not_before_ms: int) -> None:
        """Run a line again later."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE lines SET state = 'single', group_id = NULL, tries = tries + 1, not_before_ms = ? "
                "WHERE batch_id = ? AND number = ?",
                (not_before_ms, batch_id, number),
            )

    def end(self, batch_id: str, ended: Sequence[Ended]) -> None:
        """Keep results, their counts, and what the ledger is owed; a line ends once."""
        with self._writing() as connection:
            for each in ended:
                changed = connection.execute(
                    "UPDATE lines SET state = ?, result = ?, call = ?, owed = owed | ?, group_id = NULL "
                    f"WHERE batch_id = ? AND number = ? AND state NOT IN ({_marks(FINISHED)})",
                    (each.state, each.result, each.call, _CALL if each.call else 0, batch_id, each.number, *FINISHED),
                )  # fmt: skip
                column = "completed" if each.state == "done" else "failed"
                connection.execute(
                    f"UPDATE batches SET {column} = {column} + ? WHERE id = ?",
                    (changed.rowcount, batch_id),
                )

    def results(self, batch_id: str, state: LineState) -> Iterator[bytes]:
        """Lines of the output (`done`) or error (`failed`) file, in order of the input."""
        number = 0
        while True:
            with self.spool.reading() as connection:
                rows = connection.execute(
                    "SELECT number, result FROM lines INDEXED BY lines_by_state "
                    "WHERE batch_id = ? AND state = ? AND number > ? ORDER BY number LIMIT 100",
                    (batch_id, state, number),
                ).fetchall()
            if not rows:
                return
            yield from (result for _, result in rows)
            number = rows[-1][0]

    # The ledger

    def owed(self, limit: int) -> list[Owed]:
        """Rows that the ledger has not confirmed."""
        with self.spool.reading() as connection:
            rows = connection.execute(
                "SELECT batch_id, number, decision, call FROM lines INDEXED BY lines_owed WHERE owed > 0 LIMIT ?",
                (limit,),
            ).fetchall()
        return [Owed(**row) for row in rows]

    def paid(self, owed: Iterable[Owed]) -> None:
        """The ledger has them; what came in meanwhile stays owed."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE lines SET owed = 0 WHERE batch_id = ? AND number = ? AND call = ?",
                ((each.batch_id, each.number, each.call) for each in owed),
            )

    def owes(self, batch_id: str) -> bool:
        """Whether the ledger lacks anything of a batch."""
        with self.spool.reading() as connection:
            return (
                connection.execute(
                    "SELECT 1 FROM lines INDEXED BY lines_owed WHERE batch_id = ? AND owed > 0 LIMIT 1",
                    (batch_id,),
                ).fetchone()
                is not None
            )

    # Groups

    def groups(self, batch_id: str) -> list[GroupRow]:
        """Groups of a batch that are not closed."""
        with self.spool.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM groups WHERE batch_id = ? AND state != 'closed' ORDER BY id", (batch_id,)
            ).fetchall()
        return [GroupRow(**{**dict(row), "cancelled": bool(row["cancelled"])}) for row in rows]

    def waiting_sites(self, batch_id: str) -> list[str]:
        """Sites for which lines wait to be grouped."""
        with self.spool.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT site FROM lines INDEXED BY lines_by_state WHERE batch_id = ? AND state = 'batched'",
                (batch_id,),
            ).fetchall()
        return [site for (site,) in rows]

    def group(
        self, batch_id: str, model: str, site: str, base_url: str, most_lines: int, most_bytes: int
    ) -> None:
        """Put as many waiting lines of a site together as one upstream batch takes."""
        with self._writing() as connection:
            rows = connection.execute(
                "SELECT number, size FROM lines INDEXED BY lines_by_state "
                "WHERE batch_id = ? AND state = 'batched' AND site = ? ORDER BY number LIMIT ?",
                (batch_id, site, most_lines),
            ).fetchall()
            numbers: list[int] = []
            size = 0
            for number, line_size in rows:
                size += line_size
                if numbers and size > most_bytes:
                    break
                numbers.append(number)
            group_id = f"pm{secrets.token_hex(12)}"
            connection.execute(
                "INSERT INTO groups VALUES (?, ?, ?, ?, ?, 'prepared', ?, '', 0, 0, 0)",
                (group_id, batch_id, model, site, base_url, len(numbers)),
            )
            connection.executemany(
                "UPDATE lines SET state = 'grouped', group_id = ? WHERE batch_id = ? AND number = ?",
                ((group_id, batch_id, number) for number in numbers),
            )

    def group_lines(self, group_id: str) -> list[LineRow]:
        """Lines of a group that have not ended."""
        with self.spool.reading() as connection:
            rows = connection.execute(
                f"SELECT {_LINE} FROM lines WHERE group_id = ? AND state = 'grouped' ORDER BY number",
                (group_id,),
            ).fetchall()
        return [LineRow(**row) for row in rows]

    def move_group(
        self,
        group_id: str,
        state: GroupState,
        upstream_id: str = "",
        asked_at_ms: int = 0,
        tried: bool = False,
    ) -> None:
        """Note where a group stands."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE groups SET state = ?, upstream_id = ?, asked_at_ms = ?, tries = tries + ?, "
                "lines = (SELECT COUNT(*) FROM lines WHERE group_id = groups.id) WHERE id = ?",
                (state, upstream_id, asked_at_ms, tried, group_id),
            )

    def cancelled_group(self, group_id: str) -> None:
        """The upstream was told to stop."""
        with self._writing() as connection:
            connection.execute("UPDATE groups SET cancelled = 1 WHERE id = ?", (group_id,))

    def dissolve(self, group_id: str) -> None:
        """Close a group; its lines that have not ended are run one by one."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE lines SET state = 'single', group_id = NULL WHERE group_id = ? AND state = 'grouped'",
                (group_id,),
            )
            connection.execute("UPDATE groups SET state = 'closed' WHERE id = ?", (group_id,))

    # Old things

    def forget(self, now_ms: int, kept_ms: int) -> None:
        """Remove files that have expired and batches that ended as long ago; the left-overs of crashes too."""
        with self._writing() as connection:
            old = connection.execute(
                "SELECT id FROM files WHERE expires_at_ms <= ? AND id NOT IN "
                f"(SELECT input_file_id FROM batches WHERE status IN ({_marks(OPEN)}))",
                (now_ms, *OPEN),
            ).fetchall()
            connection.executemany("DELETE FROM files WHERE id = ?", [tuple(row) for row in old])
            connection.execute(
                f"DELETE FROM batches WHERE status NOT IN ({_marks(OPEN)}) AND created_at_ms <= ?",
                (*OPEN, now_ms - kept_ms),
            )
        for (file_id,) in old:
            with suppress(FileNotFoundError):
                self.spool.path_of(file_id).unlink()

    def sweep_partial(self, now_ms: int) -> None:
        """Remove files that nobody finished writing, or that no row names, once they are surely left over."""
        with self.spool.reading() as connection:
            known = {file_id for (file_id,) in connection.execute("SELECT id FROM files").fetchall()}
        for path in self.spool.folder.iterdir():
            if path.name.startswith("spool.sqlite") or path.name in known:
                continue
            with suppress(FileNotFoundError):
                if path.stat().st_mtime * 1e3 < now_ms - LEFT_OVER_MS:
                    path.unlink()


def _move(connection: sqlite3.Connection, batch_id: str, to: Status, now_ms: int, *before: Status) -> None:
    connection.execute(
        "UPDATE batches SET status = ?, changes = json_set(changes, ?, ?) "
        f"WHERE id = ? AND status IN ({_marks(before)})",
        (to, f"$.{to}", now_ms, batch_id, *before),
    )


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
