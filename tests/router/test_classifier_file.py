"""Files of classifiers: read whole, or refused with what is wrong; packed and unpacked within bounds."""

import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.classification.files import load, save
from router.classifying import trained_file
from router.classifying.trained_file import ClassifierRefused, digest_of, pack, packed_digest, parse, unpack
from tests.evaluation.labelled import training

BODY = training().body
Fields = dict[str, Any]


def changed(change: Callable[[Fields], object]) -> bytes:
    """The sound file with something broken in it."""
    fields = json.loads(BODY)
    change(fields)
    return json.dumps(fields).encode()


def test_packing_returns_the_same_bytes_and_digest() -> None:
    """Workers on other nodes must have exactly the classifier that was reviewed."""
    packed = pack(BODY)
    assert unpack(packed) == BODY
    assert packed_digest(packed) == digest_of(BODY) == parse(BODY).digest
    assert len(packed) < len(BODY)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is no JSON"),
        (b"\x80\x04pickle", "is no JSON"),
        (BODY[: len(BODY) // 2], "is no JSON"),
        (b"[1, 2]", "is no classifier"),
        (b'{"model": "other"}', "is no classifier"),
        (changed(lambda f: f.update(version=2)), "has version 2, this release reads 1"),
        (changed(lambda f: f.pop("squares")), "is damaged"),
        (changed(lambda f: f.update(grams="abc")), "must be a list"),
        (changed(lambda f: f["grams"].append(f["grams"][0])), "each once"),
        (changed(lambda f: f["grams"].__setitem__(0, "x" * 100)), "at most 80 characters"),
        (changed(lambda f: f["squares"].pop()), "entries, must have"),
        (changed(lambda f: f["squares"].__setitem__(0, -1)), "must be a whole number"),
        (changed(lambda f: f["heads"][""].update(step=1e999)), "is no JSON"),
        (changed(lambda f: f["heads"][""].update(step="1")), "must be a number"),
        (changed(lambda f: f["heads"][""]["weights"].__setitem__(0, [1])), "must have 3"),
        (
            changed(lambda f: f["heads"][""]["weights"].__setitem__(0, [10**9, 1, 1])),
            "must be a whole number",
        ),
        (changed(lambda f: f["heads"].pop("support")), "do not fit its domains"),
        (changed(lambda f: f["domains"].update(writing=["../etc"])), "must be one to five words"),
        (changed(lambda f: f["domains"].update(writing=["code/x"])), "no part of domain"),
        (changed(lambda f: f.update(threshold=1.5)), r"threshold == 1\.5"),
        (changed(lambda f: f.update(floor=None)), "must be a number"),
    ],
)
def test_a_file_that_is_no_sound_classifier_is_refused_with_what_is_wrong(raw: bytes, words: str) -> None:
    """The file may come from anybody; whatever it holds, no traceback and no half of it."""
    with pytest.raises(ClassifierRefused, match=words):
        parse(raw)


@pytest.mark.parametrize(
    "packed",
    ["", "not base64!", b64encode(b"not zlib").decode(), pack(BODY)[:-400], "AAAA" + pack(BODY)],
)
def test_a_damaged_packed_classifier_is_refused(packed: str) -> None:
    """A ledger that was edited by hand must not stop a worker with something unforeseen."""
    with pytest.raises(ClassifierRefused, match="apply the file again"):
        parse(unpack(packed))


def test_what_unpacks_without_end_and_what_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded whatever the file says."""
    bomb = b64encode(zlib.compress(b" " * (trained_file.MAX_BYTES + 10))).decode()
    with pytest.raises(ClassifierRefused, match="larger than"):
        unpack(bomb)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (trained_file.MAX_BYTES + 1))
    with pytest.raises(ClassifierRefused, match=r"large\.json: larger than 8,000,000 bytes"):
        load(large)
    monkeypatch.setattr(trained_file, "MAX_PACKED", 100)
    with pytest.raises(ClassifierRefused, match="train on fewer tasks"):
        pack(BODY)


def test_a_file_is_written_whole_and_errors_name_it(tmp_path: Path) -> None:
    """Training again over a classifier in use must never leave half of one."""
    path = tmp_path / "tasks.classifier.json"
    save(path, BODY)
    save(path, BODY)
    assert load(path).digest == digest_of(BODY)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    path.write_text("{}")
    with pytest.raises(ClassifierRefused, match=r"tasks\.classifier\.json is no classifier"):
        load(path)
    with pytest.raises(ClassifierRefused, match="cannot be read"):
        load(tmp_path / "none.json")
