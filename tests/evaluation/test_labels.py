"""Reading labelled texts: multi-line texts, gzip, and everything hostile refused with its line."""

import gzip
from pathlib import Path

import pytest

from evaluation.classification import labels as reading
from evaluation.classification.labels import Columns, LabelsRefused, read_labels

GOOD = 'text,task\n"two\nlines, here",a\nplain,b/c\n'


def write(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_texts_may_span_lines_and_files_may_be_packed(tmp_path: Path) -> None:
    """Prompts have line breaks; exports are large."""
    plain = read_labels(write(tmp_path, GOOD))
    packed = read_labels(write(tmp_path, gzip.compress(GOOD.encode()), "labels.csv.gz"))
    assert plain.texts == packed.texts == ("two\nlines, here", "plain")
    assert plain.tasks == ("a", "b/c")
    assert plain.counts == {"a": 1, "b/c": 1}


def test_columns_are_named_and_rows_chosen(tmp_path: Path) -> None:
    """Files come with columns of their own, and with a split for training and test."""
    content = "id,prompt,label,split\n1,one,a,train\n2,two,b,test\n3,three,b,train\n"
    found = read_labels(write(tmp_path, content), Columns("prompt", "label", (("split", "train"),)))
    assert found.texts == ("one", "three")


def test_repeated_rows_are_kept_once_and_contradictions_are_bad(tmp_path: Path) -> None:
    """A text in training and held out at once would flatter the figures."""
    rows = "".join(f"text {n},a\n" for n in range(300))
    found = read_labels(write(tmp_path, f"text,task\n{rows}text 7,a\ntext 8,b\n"))
    assert (len(found.texts), found.repeated) == (300, 1)
    assert [(bad.line, "stands above as 'a', here as 'b'" in bad.reason) for bad in found.bad] == [
        (303, True)
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"text,task\n", "no row is wanted"),
        (b"text,label\nx,a\n", "must name 'task' once, has: text, label"),
        (b"text,text,task\nx,y,a\n", "must name 'text' once"),
        (
            b'text,task\nfine,a\n"never closed,a\nmore,b\n',
            "row that begins on line 3 cannot be read: its quote",
        ),
        (b'text,task\n"a"b,c\n', "line 2"),
        (b"text,task\nx,a,b\n", "line 2: has 3 columns"),
        (b"text,task\n ,a\n", "line 2: its text has 0 characters"),
        (b"text,task\nx,no such/../task\n", "line 2: task"),
        (b"text,task\nx,\n", "line 2: task"),
        (b"text,task\n\xff\xfe,a\n", "not UTF-8"),
        (b"\x1f\x8bnot gzip", "damaged"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], "damaged"),
        (b"text,task\n" + b"x" * 150_000 + b",a\n", "longer than 131,072 characters"),
        (b"text,task\n" + b"x" * 300_000 + b",a\n", "line 2 is longer than 200,000 characters"),
        (b"text,task\n" + b'"' + b"x\n" * 100_000 + b'",a\n', "line 2 cannot be read"),
    ],
)
def test_a_hostile_file_is_refused_where_it_is_wrong(tmp_path: Path, content: bytes, words: str) -> None:
    """People export from anywhere; nothing may be trained on half of it."""
    with pytest.raises(LabelsRefused, match=words):
        read_labels(write(tmp_path, content))


def test_files_without_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzip of a few kilobytes can hold gigabytes."""
    path = write(tmp_path, gzip.compress(b"text,task\n" + b"x,a\n" * 50_000), "bomb.csv.gz")
    monkeypatch.setattr(reading, "LARGEST_FILE", 100_000)
    with pytest.raises(LabelsRefused, match=r"larger than 100,000 characters at line \d+"):
        read_labels(path)
    monkeypatch.setattr(reading, "LARGEST_FILE", 10**9)
    monkeypatch.setattr(reading, "MOST_TEXTS", 1_000)
    with pytest.raises(LabelsRefused, match="more than 1,000 rows"):
        read_labels(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The commonest mistake of all."""
    with pytest.raises(LabelsRefused, match=r"none\.csv: cannot be read: No such file"):
        read_labels(tmp_path / "none.csv")
