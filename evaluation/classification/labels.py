"""Labelled texts: CSV with a text and its task in each row, checked whole before anything is trained on it."""

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evaluation.recorded import listed
from evaluation.recorded_rows import BadRow
from experiments.definition.names import check_task
from router.errors import PointsmanError

MOST_TEXTS = 200_000
LONGEST_TEXT = 100_000
LARGEST_FILE = 500_000_000
"""Bytes of a file after unpacking."""
DEFAULT_MAX_BAD = 0.01


class LabelsRefused(PointsmanError):
    """The labelled file cannot be used; nothing of it was."""

    code = "labels_refused"


@dataclass(frozen=True)
class Labels:
    """Texts with their tasks, in the order of the file."""

    texts: tuple[str, ...]
    tasks: tuple[str, ...]
    bad: tuple[BadRow, ...] = ()
    """Rows left out, by line."""
    repeated: int = 0
    """Rows left out because text and task stood before."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Texts of each task, by name."""
        return dict(sorted(Counter(self.tasks).items()))


@dataclass(frozen=True, slots=True)
class Columns:
    """Where text and task stand, and which rows are wanted."""

    text: str = "text"
    task: str = "task"
    where: tuple[tuple[str, str], ...] = ()
    """Column and value that a row must have, all of them."""


def read_labels(
    path: Path, columns: Columns = Columns(), max_bad: float = DEFAULT_MAX_BAD
) -> Labels:  # frozen
    """The labelled texts of a CSV file, gzipped or not; raises LabelsRefused naming lines, values and bounds."""
    texts: dict[str, str] = {}
    bad: list[BadRow] = []
    repeated = rows = 0
    try:
        with _text(path) as file:
            for row in _rows(path, file, columns):
                rows += 1
                if isinstance(row, BadRow):
                    bad.append(row)
                elif texts.setdefault(row[1], row[2]) != row[2]:
                    bad.append(
                        BadRow(row[0], f"the same text stands above as {texts[row[1]]!r}, here as {row[2]!r}")
                    )
                else:
                    repeated += 1
    except UnicodeDecodeError as error:
        raise LabelsRefused(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LabelsRefused(f"{path}: the gzip file is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise LabelsRefused(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(bad) > max_bad * rows:
        raise LabelsRefused(
            f"{path}: {len(bad)} of {rows:,} rows are bad, at most {max_bad:.2%} may be; "
            f"mend them or raise --max-bad\n{listed(bad)}"
        )
    if not texts:
        raise LabelsRefused(f"{path}: no row is wanted and sound; look at its columns, and at --where")
    return Labels(tuple(texts), tuple(texts.values()), tuple(bad), repeated - len(texts))


def _text(path: Path) -> IO[str]:
    """The file as text; gzip is known by its first bytes, whatever the name says."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("rt", encoding="utf-8-sig", newline="")


def _bounded(path: Path, file: IO[str]) -> Iterator[str]:
    """The file's lines; one without end, or a file without end, is refused before memory is full."""
    read = number = 0
    while line := file.readline(2 * LONGEST_TEXT):
        number, read = number + 1, read + len(line)
        if len(line) == 2 * LONGEST_TEXT:
            raise LabelsRefused(f"{path}: line {number} is longer than {2 * LONGEST_TEXT:,} characters")
        if read > LARGEST_FILE:
            raise LabelsRefused(
                f"{path}: larger than {LARGEST_FILE:,} characters at line {number}; train on a part of it"
            )
        yield line


def _rows(path: Path, file: IO[str], columns: Columns) -> Iterator[tuple[int, str, str] | BadRow]:
    """Each wanted row as (line, text, task), or why not; a row may span lines within quotes."""
    reader = csv.reader(_bounded(path, file), strict=True)
    header: list[str] | None = None
    started = rows = 0
    while True:
        begins = started + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise LabelsRefused(
                f"{path}: the row that begins on line {begins} cannot be read: {_why(error)}"
            ) from None
        started = reader.line_num
        if fields is None:
            break
        if header is None:
            header = _header(path, fields, columns)
        elif fields:
            rows += 1
            if rows > MOST_TEXTS:
                raise LabelsRefused(
                    f"{path}: more than {MOST_TEXTS:,} rows (line {begins}); train on a part of them"
                )
            row = _row(begins, fields, header, columns)
            if row is not None:
                yield row
    if header is None:
        raise LabelsRefused(f"{path}: is empty; its first line must name {columns.text} and {columns.task}")


def _why(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end" in message:
        return "its quote is never closed"
    if "field limit" in message:
        return "a field is longer than 131,072 characters; perhaps a quote is not closed"
    return message


def _header(path: Path, fields: Sequence[str], columns: Columns) -> list[str]:
    names = [name.strip() for name in fields]
    for name in (columns.text, columns.task, *(column for column, _ in columns.where)):
        if names.count(name) != 1:
            found = ", ".join(name[:40] for name in names[:20])
            raise LabelsRefused(
                f"{path}: the header must name {name!r} once, has: {found}; "
                "name the columns with --text-column and --task-column"
            )
    return names


def _row(
    line: int, fields: list[str], header: list[str], columns: Columns
) -> tuple[int, str, str] | BadRow | None:
    """One row; None where it is not wanted."""
    if len(fields) != len(header):
        return BadRow(line, f"has {len(fields)} columns, must have {len(header)} as the header")
    values = dict(zip(header, fields, strict=True))
    if any(values[column] != value for column, value in columns.where):
        return None
    text, task = values[columns.text].strip(), values[columns.task].strip()
    if not 0 < len(text) <= LONGEST_TEXT:
        return BadRow(line, f"its text has {len(text):,} characters, must have 1 to {LONGEST_TEXT:,}")
    try:
        return line, text, check_task(task)
    except ValueError as error:
        return BadRow(line, str(error))
