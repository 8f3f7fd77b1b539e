"""Files of trained classifiers: plain JSON that is checked whole before anything of it is used.

A file comes from `pointsman classify train`, and may come from anybody: its size, names and numbers are bounded,
and what is no such file is refused with what was found instead. In the ledger it travels packed beside the
configuration, so that every worker on every node has it.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from pathlib import Path
from typing import Any

import orjson

from experiments.definition.names import check_task
from router.classifying.trained import Head, Row, Trained
from router.errors import PointsmanError

FORMAT, VERSION = "pointsman-classifier", 1
MAX_BYTES = 8_000_000
MAX_PACKED = 4_000_000
"""Characters of a packed classifier in the ledger."""
MAX_TASKS = 200
MAX_GRAMS = 50_000
LONGEST_GRAM = 80
LARGEST = 1_000_000
"""Bound of whole numbers in a file."""

_Fields = dict[str, Any]  # reason: a file's JSON of any shape, taken apart and checked below


class ClassifierRefused(PointsmanError):
    """The classifier cannot be used; nothing of it was."""

    code = "classifier_refused"


def read_file(path: Path) -> bytes:
    """The bytes of a classifier's file; raises ClassifierRefused if it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ClassifierRefused(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise ClassifierRefused(f"{path}: larger than {MAX_BYTES:,} bytes; no classifier of this program is")
    return raw


def parse(raw: bytes) -> Trained:
    """The classifier of a file's bytes; raises ClassifierRefused naming what is wrong."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ClassifierRefused(f"is no JSON ({error}); make one with: pointsman classify train") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ClassifierRefused(
            f"is no classifier: it lacks the mark {FORMAT!r}; make one with: pointsman classify train"
        )
    if fields.get("version") != VERSION:
        raise ClassifierRefused(
            f"has version {str(fields.get('version'))[:20]}, this release reads {VERSION}; train it anew"
        )
    try:
        return _trained(fields, digest_of(raw))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ClassifierRefused(
            f"is damaged ({type(error).__name__}: {str(error)[:80]}); train it anew"
        ) from None
    except ValueError as error:
        raise ClassifierRefused(f"is damaged: {error}; train it anew") from None


def digest_of(raw: bytes) -> str:
    """What names a classifier in the ledger, in plans and in audits."""
    return blake2b(raw, digest_size=16, person=b"pointsman-task").hexdigest()


def packed_digest(packed: str) -> str:
    """The digest of a packed classifier, or words for one that is damaged."""
    try:
        return digest_of(unpack(packed))
    except ClassifierRefused:
        return "unreadable"


def pack(raw: bytes) -> str:
    """A file's bytes as the configuration keeps them; raises ClassifierRefused for too many."""
    packed = b64encode(zlib.compress(raw, 9)).decode("ascii")
    if len(packed) > MAX_PACKED:
        raise ClassifierRefused(
            f"packs into {len(packed):,} characters, must be at most {MAX_PACKED:,}; train on fewer tasks"
        )
    return packed


def unpack(packed: str) -> bytes:
    """The bytes of a packed classifier; raises ClassifierRefused for what is none, or unpacks without end."""
    try:
        stream = zlib.decompressobj()
        raw = stream.decompress(b64decode(packed, validate=True), MAX_BYTES + 1)
    except (ValueError, zlib.error):
        raise ClassifierRefused("the packed classifier is damaged; apply the file again") from None
    if len(raw) > MAX_BYTES or not stream.eof:
        raise ClassifierRefused(
            f"the packed classifier is cut, or larger than {MAX_BYTES:,} bytes; apply the file again"
        )
    return raw


@lru_cache(maxsize=2)
def trained_of(packed: str) -> Trained:
    """The classifier of a packed file, kept while snapshots come and go; raises ClassifierRefused."""
    return parse(unpack(packed))


def _trained(fields: _Fields, digest: str) -> Trained:
    names = _names(fields["grams"])
    squares = [_whole(square, 1) for square in _listed(fields["squares"], len(names))]
    domains = _domains(fields["domains"])
    heads = fields["heads"]
    top = _head(heads[""], names, squares, tuple(domains), every=True)
    several = {domain: tasks for domain, tasks in domains.items() if len(tasks) > 1}
    if set(heads) != {"", *several}:
        raise ValueError("its heads do not fit its domains")
    return Trained(
        digest=digest,
        threshold=_fraction(fields["threshold"]),
        floor=_number(fields["floor"]),
        unknown=_whole(fields["unknown"], 1),
        pairs=fields["pairs"] is not False,
        top=top,
        domains=domains,
        within={domain: _head(heads[domain], names, squares, tasks) for domain, tasks in several.items()},
    )


def _names(value: object) -> list[str]:
    names = _listed(value)
    if not 1 <= len(names) <= MAX_GRAMS or len(set(names)) < len(names):
        raise ValueError(f"it has {len(names):,} grams, must have 1 to {MAX_GRAMS:,}, each once")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_GRAM:
            raise ValueError(f"gram {str(name)[:40]!r} must be a text of at most {LONGEST_GRAM} characters")
    return names


def _domains(value: _Fields) -> dict[str, tuple[str, ...]]:
    domains = {domain: tuple(_listed(tasks)) for domain, tasks in value.items()}
    tasks = [task for each in domains.values() for task in each]
    if not 2 <= len(tasks) <= MAX_TASKS or len(set(tasks)) < len(tasks) or not all(domains.values()):
        raise ValueError(f"it has {len(tasks)} tasks, must have 2 to {MAX_TASKS}, each once")
    for domain, each in domains.items():
        for task in each:
            if check_task(task).split("/")[0] != domain:
                raise ValueError(f"task {task!r} is no part of domain {domain[:80]!r}")
    return domains


def _head(
    value: _Fields,
    names: Sequence[str],
    squares: Sequence[int],
    choices: tuple[str, ...],
    every: bool = False,
) -> Head:
    """One head. Weights that are null are all zero; `every` keeps such rows for their squares."""
    rows: dict[str, Row] = {}
    count = len(choices)
    for name, square, weights in zip(names, squares, _listed(value["weights"], len(names)), strict=True):
        if weights is not None:
            rows[name] = (square, *[_whole(weight) for weight in _listed(weights, count)])
        elif every:
            rows[name] = (square, *([0] * count))
    return Head(choices, _number(value["step"]), rows)


def _listed(value: object, length: int | None = None) -> list[Any]:  # reason: as _Fields
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:40]!r} must be a list")
    if length is not None and len(value) != length:
        raise ValueError(f"a list has {len(value):,} entries, must have {length:,}")
    return value


def _whole(value: object, least: int = -LARGEST) -> int:
    if type(value) is not int or not least <= value <= LARGEST:
        raise ValueError(f"{str(value)[:40]!r} must be a whole number from {least:,} to {LARGEST:,}")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not isfinite(value) or abs(value) > LARGEST:  # type: ignore[arg-type]  # reason: its type was just checked
        raise ValueError(f"{str(value)[:40]!r} must be a number within {LARGEST:,}")
    return float(value)  # type: ignore[arg-type]  # reason: as above


def _fraction(value: object) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"threshold == {number:g}, must be in [0, 1]")
    return number
