"""Rows of a recorded file: CSV read strictly, each row checked by itself."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import IO

from router.errors import PointsmanError

COLUMNS = ("prompt_id", "category", "model", "reward", "input_tokens", "output_tokens", "cost_usd")
LARGEST_COST_USD = 1e6
LARGEST_TOKENS = 100_000_000
LONGEST_TEXT = 200


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


def read_rows(path: Path) -> tuple[dict[Key, RecordedRow], list[BadRow]]:
    """All rows by prompt and model, and the bad ones; raises RecordingRefused for what is no such file."""
    rows: dict[Key, RecordedRow] = {}
    categories: dict[str, str] = {}
    bad: list[BadRow] = []
    try:
        with _text(path) as file:
            for found in _parsed(path, file):
                reason = found.reason if isinstance(found, BadRow) else _contradiction(found, rows, categories)
                if isinstance(found, BadRow):
                    bad.append(found)
                elif reason:
                    bad.append(BadRow(found.line, reason, found.prompt_id))
                else:
                    rows[found.prompt_id, found.model] = found
                    categories[found.prompt_id] = found.category
    except UnicodeDecodeError as error:
        raise RecordingRefused(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordingRefused(f"{path}: the gzip file is damaged: {error}") from None
    except OSError as error:
        raise RecordingRefused(f"{path}: cannot be read: {error.strerror or error}") from None
    if not rows and not bad:
        raise RecordingRefused(f"{path}: holds no rows")
    return rows, bad


def _text(path: Path) -> IO[str]:
    """The file as text; gzip is known by its first bytes, whatever the name says."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("rt", encoding="utf-8-sig", newline="")


def _parsed(path: Path, file: IO[str]) -> Iterator[RecordedRow | BadRow]:
    reader = csv.reader(file, strict=True)
    places = _places(path, next(reader, []))
    width = len(places) if not places else max(places) + 1
    columns = reader_width(places, width)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(reader.line_num, f"is no CSV: {error}")
            continue
        if fields:
            yield _row(reader.line_num, fields, places, columns)
