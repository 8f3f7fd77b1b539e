"""Rows of a recorded file: CSV read strictly, each row checked by itself and against those before it."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import IO

from router.errors import PointsmanError

COLUMNS = ("prompt_id", "category", "model", "reward", "input_tokens", "output_tokens", "cost_usd")
LARGEST_COST_USD = 1e6
LARGEST_TOKENS = 100_000_000
LONGEST_TEXT = 200
LONGEST_LINE = 65_536


class RecordingRefused(PointsmanError):
    """The recorded file cannot be replayed; nothing of it was used."""

    code = "recording_refused"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: its line in the file, and why."""

    line: int
    reason: str
    prompt_id: str = ""
    """Whose row it is, where that can be read."""


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """What one model answered to one prompt."""

    line: int
    prompt_id: str
    category: str
    model: str
    reward: float
    input_tokens: int
    output_tokens: int
    cost_usd: float


Key = tuple[str, str]
"""(prompt id, model)"""


@dataclass(frozen=True)
class Rows:
    """What a file holds: good rows by prompt and model, and the bad ones."""

    good: dict[Key, RecordedRow]
    bad: list[BadRow]

    @property
    def total(self) -> int:
        """Data rows of the file."""
        return len(self.good) + len(self.bad)


def read_rows(path: Path) -> Rows:
    """All rows of a CSV file, gzipped or not; raises RecordingRefused for what is no such file."""
    rows, categories = Rows({}, []), dict[str, str]()
    try:
        with _text(path) as file:
            for found in _parsed(path, file):
                checked = _against(found, rows.good, categories) if isinstance(found, RecordedRow) else found
                if isinstance(checked, BadRow):
                    rows.bad.append(checked)
                else:
                    rows.good[checked.prompt_id, checked.model] = checked
                    categories[checked.prompt_id] = checked.category
    except UnicodeDecodeError as error:
        raise RecordingRefused(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordingRefused(f"{path}: the gzip file is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise RecordingRefused(f"{path}: cannot be read: {error.strerror or error}") from None
    if not rows.total:
        raise RecordingRefused(f"{path}: holds a header and no rows")
    return rows


def _text(path: Path) -> IO[str]:
    """The file as text; gzip is known by its first bytes, whatever the name says."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open("rt", encoding="utf-8-sig")


def _parsed(path: Path, file: IO[str]) -> Iterator[RecordedRow | BadRow]:
    """Each data line as a row, good or bad."""
    header, order = -1, (0,) * len(COLUMNS)
    for number, line in _lines(path, file):
        fields = _fields(line)
        if header < 0:
            order, header = _order(path, fields or [line]), len(fields or [line])
        elif fields is None:
            yield BadRow(number, "a quote is not closed on its line")
        elif len(fields) != header:
            yield BadRow(number, f"has {len(fields)} columns, must have {header} as the header")
        else:
            yield _row(number, [fields[place] for place in order])
    if header < 0:
        raise RecordingRefused(f"{path}: is empty; its first line must name {', '.join(COLUMNS)}")


def _lines(path: Path, file: IO[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends, blank ones left out; a row never spans lines, so no quote can hide rows."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise RecordingRefused(f"{path}: line {number} is longer than {LONGEST_LINE:,} characters")
        if line := line.rstrip("\n"):
            yield number, line


def _fields(line: str) -> list[str] | None:
    """The line's fields, None where a quote is not closed."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return None


def _order(path: Path, header: Sequence[str]) -> tuple[int, ...]:
    """Where each column stands; other columns are left alone."""
    names = [name.strip() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise RecordingRefused(
            f"{path}: the header lacks {', '.join(missing)}; it must name {', '.join(COLUMNS)}"
        )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise RecordingRefused(f"{path}: the header names {', '.join(twice)} twice")
    return tuple(names.index(name) for name in COLUMNS)


def _row(line: int, fields: Sequence[str]) -> RecordedRow | BadRow:
    prompt_id, category, model, *numbers = fields
    try:
        return RecordedRow(
            line,
            _name("prompt_id", prompt_id),
            _name("category", category),
            _name("model", model),
            _number("reward", numbers[0], 1.0),
            _count("input_tokens", numbers[1]),
            _count("output_tokens", numbers[2]),
            _number("cost_usd", numbers[3], LARGEST_COST_USD),
        )
    except ValueError as error:
        return BadRow(line, str(error), prompt_id.strip())


def _name(column: str, text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= LONGEST_TEXT or not text.isprintable():
        raise ValueError(f"{column} {text[:40]!r} must be 1 to {LONGEST_TEXT} printable characters")
    return text


def _number(column: str, text: str, largest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{column} {text[:40]!r} is no number") from None
    if not isfinite(value) or not 0 <= value <= largest or "_" in text:
        raise ValueError(f"{column} == {text.strip()[:40]}, must be in [0, {largest:g}]")
    return value


def _count(column: str, text: str) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()) or len(stripped) > 9 or int(stripped) > LARGEST_TOKENS:
        raise ValueError(f"{column} {text[:40]!r} must be a whole number in [0, {LARGEST_TOKENS:,}]")
    return int(stripped)


def _against(
    row: RecordedRow, good: dict[Key, RecordedRow], categories: dict[str, str]
) -> RecordedRow | BadRow:
    """The row, unless it contradicts one before it."""
    earlier = good.get((row.prompt_id, row.model))
    if earlier is not None:
        reason = f"prompt {row.prompt_id!r} has an outcome of {row.model} on line {earlier.line} already"
        return BadRow(row.line, reason)
    category = categories.get(row.prompt_id, row.category)
    if category != row.category:
        reason = f"prompt {row.prompt_id!r} is of category {category!r} above, here of {row.category!r}"
        return BadRow(row.line, reason, row.prompt_id)
    return row
