"""Reading recorded outcomes: whole or not at all, with every bad row named."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.recorded import listed, read_recording
from evaluation.recorded_rows import BadRow, RecordingRefused
from tests.evaluation.recordings import HEADER, rows_of, write

RATES = {"big": (0.8, 1e-3), "small": (0.5, 1e-4)}
GOOD = rows_of("law", 200, RATES)


def test_a_recording_is_the_full_matrix_of_prompts_and_models(tmp_path: Path) -> None:
    """Every later figure is read off these arrays."""
    rows = [*rows_of("law", 30, RATES), *rows_of("math", 20, RATES, seed=6)]
    recording = read_recording(write(tmp_path / "r.csv", rows))
    assert recording.models == ("big", "small")
    assert [(category.name, category.reward.shape) for category in recording.categories] == [
        ("law", (30, 2)),
        ("math", (20, 2)),
    ]
    assert (recording.rows, recording.prompts, recording.bad, recording.incomplete) == (100, 50, (), 0)
    first = rows[0].split(",")
    assert recording.categories[0].reward[0, 0] == float(first[3])
    assert recording.categories[0].cost_usd[0, 0] == float(first[6])


def test_gzip_byte_order_mark_quotes_column_order_and_extra_columns_change_nothing(tmp_path: Path) -> None:
    """The same outcomes come out of every tool in a slightly different file."""
    plain = read_recording(write(tmp_path / "plain.csv", GOOD))
    packed = read_recording(write(tmp_path / "packed.csv.gz", GOOD))
    turned = ["note," + ",".join(f'"{field}"' for field in reversed(row.split(","))) + "\r" for row in GOOD]
    header = "\ufeffnote," + ",".join(reversed(HEADER.split(","))) + "\r"
    other = read_recording(write(tmp_path / "turned.csv", turned, header))
    for recording in (packed, other):
        assert recording.models == plain.models
        assert np.array_equal(recording.categories[0].reward, plain.categories[0].reward)
        assert np.array_equal(recording.categories[0].cost_usd, plain.categories[0].cost_usd)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    """The reader must learn what to add, not that something is wrong."""
    path = write(tmp_path / "r.csv", ["p,law,big,1"], "prompt_id,category,model,reward")
    with pytest.raises(RecordingRefused, match="header lacks input_tokens, output_tokens, cost_usd"):
        read_recording(path)


BAD_ROWS = {
    "too few columns": ("p,law,big,1,100,50", "has 6 columns, must have 7"),
    "too many columns": ("p,law,big,1,100,50,0.1,x", "has 8 columns"),
    "no number": ("p,law,big,yes,100,50,0.1", "reward 'yes' is no number"),
    "not a number": ("p,law,big,nan,100,50,0.1", "reward == nan"),
    "reward above one": ("p,law,big,1.5,100,50,0.1", r"reward == 1.5, must be in \[0, 1\]"),
    "negative reward": ("p,law,big,-1,100,50,0.1", "reward == -1"),
    "negative cost": ("p,law,big,1,100,50,-0.1", "cost_usd == -0.1"),
    "infinite cost": ("p,law,big,1,100,50,inf", "cost_usd == inf"),
    "underscored cost": ("p,law,big,1,100,50,1_0", "cost_usd == 1_0"),
    "fractional tokens": ("p,law,big,1,100,5.5,0.1", "output_tokens '5.5' must be a whole number"),
    "negative tokens": ("p,law,big,1,-3,50,0.1", "input_tokens '-3'"),
    "huge tokens": ("p,law,big,1,999999999,50,0.1", "input_tokens '999999999'"),
    "no prompt": (",law,big,1,100,50,0.1", "prompt_id ''"),
    "no model": ("p,law,,1,100,50,0.1", "model ''"),
    "control character": ("p\x07,law,big,1,100,50,0.1", "prompt_id 'p"),
    "open quote": ('"p,law,big,1,100,50,0.1', "quote is not closed"),
    "duplicate": (GOOD[0], "has an outcome of big on line 2 already"),
    "other category": ("law-0,math,other,1,100,50,0.1", "is of category 'law' above"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named_by_its_line_and_reason(tmp_path: Path, kind: str) -> None:
    """One bad row of many is left out, and the reader can find it."""
    row, reason = BAD_ROWS[kind]
    recording = read_recording(write(tmp_path / "r.csv", [*GOOD[:100], row, *GOOD[100:]]))
    assert [one.line for one in recording.bad] == [102]
    with pytest.raises(RecordingRefused, match=f"line 102: .*{reason}"):
        read_recording(write(tmp_path / "r.csv", [*GOOD[:100], row, *GOOD[100:]]), max_bad=0.0)


def test_an_open_quote_hides_no_further_rows(tmp_path: Path) -> None:
    """A quote that runs on would silently swallow thousands of outcomes."""
    recording = read_recording(write(tmp_path / "r.csv", ['"broken,law,big,1,1,1,0.1', *GOOD]))
    assert recording.prompts == 200


def test_a_prompt_without_an_outcome_of_each_model_is_left_out_and_named(tmp_path: Path) -> None:
    """A gap would make the served model's figures those of other prompts than its rivals'."""
    recording = read_recording(write(tmp_path / "r.csv", GOOD[:-1]))
    assert recording.prompts == 199
    assert recording.incomplete == 1
    assert [(one.line, one.reason) for one in recording.bad] == [
        (400, "prompt 'law-199' has no outcome of small")
    ]


def test_a_bad_row_leaves_its_prompt_out_and_counts_once(tmp_path: Path) -> None:
    """Its prompt is incomplete for that very reason; counting it twice would refuse files too early."""
    broken = GOOD[0].replace("law-0,law,big,", "law-0,law,big,x")
    recording = read_recording(write(tmp_path / "r.csv", [broken, *GOOD[1:]]))
    assert (len(recording.bad), recording.incomplete, recording.prompts) == (1, 1, 199)


def test_more_bad_rows_than_the_threshold_are_refused_with_all_counted(tmp_path: Path) -> None:
    """A file that is wrong by the hundred is probably wrong everywhere."""
    rows = [*GOOD, *(f"q-{number},law,big,2,1,1,0.1" for number in range(21))]
    path = write(tmp_path / "r.csv", rows)
    with pytest.raises(
        RecordingRefused, match=r"21 of 421 rows are bad or missing, at most 1.00%"
    ) as refused:
        read_recording(path)
    assert "line 402: reward == 2" in str(refused.value)
    assert "and 11 more" in str(refused.value)
    assert read_recording(path, max_bad=0.05).prompts == 200


def test_only_the_wanted_models_must_be_complete(tmp_path: Path) -> None:
    """A model that answered a few prompts must not cost the others theirs, when it is left out."""
    rows = [*GOOD, "law-0,law,rare,1,10,10,0.1"]
    recording = read_recording(write(tmp_path / "r.csv", rows), ["small", "big"])
    assert recording.models == ("small", "big")
    assert recording.prompts == 200
    with pytest.raises(RecordingRefused, match="no model 'none'; it records big, small, rare"):
        read_recording(tmp_path / "r.csv", ["none", "big"])


def test_model_names_are_made_plain_and_never_merged(tmp_path: Path) -> None:
    """Published names hold slashes; two models under one name would be one candidate with both outcomes."""
    renamed = [row.replace(",big,", ",meta/Llama 3,") for row in GOOD]
    assert read_recording(write(tmp_path / "r.csv", renamed)).models == ("meta-Llama-3", "small")
    both = [*renamed, *(row.replace(",meta/Llama 3,", ",meta-Llama 3,") for row in renamed if "Llama" in row)]
    with pytest.raises(RecordingRefused, match="two models are both called 'meta-Llama-3'"):
        read_recording(write(tmp_path / "r.csv", both))


UNREADABLE = {
    "empty": (b"", "is empty"),
    "header only": ((HEADER + "\n").encode(), "no rows"),
    "latin 1": ((HEADER + "\np,caf\xe9,big,1,1,1,1\n").encode("latin-1"), "not UTF-8"),
    "cut gzip": (gzip.compress((HEADER + "\n").encode() * 50, mtime=0)[:-12], "gzip file is damaged"),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\x55" * 60, "gzip file is damaged"),
    "endless line": (HEADER.encode() + b"\n" + b"x" * 70_000, "line 2 is longer than"),
    "two of a column": (b"reward," + HEADER.encode() + b"\n", "names reward twice"),
    "one model": ((HEADER + "\np,law,big,1,1,1,1\n").encode(), "a comparison needs two"),
    "no common prompt": ((HEADER + "\np,a,big,1,1,1,1\nq,a,small,1,1,1,1\n").encode(), "2 of 2 rows are bad"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, kind: str) -> None:
    """None of these may end in a traceback or in half a recording."""
    data, reason = UNREADABLE[kind]
    path = tmp_path / "r.csv"
    path.write_bytes(data)
    with pytest.raises(RecordingRefused, match=reason):
        read_recording(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """The most common mistake of all."""
    with pytest.raises(RecordingRefused, match="cannot be read: No such file"):
        read_recording(tmp_path / "none.csv")


@given(st.lists(st.lists(st.text(max_size=12), max_size=9), max_size=12))
def test_any_rows_are_taken_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, fields: list[list[str]]
) -> None:
    """Whatever stands in the file, each row is good, named as bad, or blank."""
    junk = [",".join(row).replace("\n", " ").replace("\r", " ") for row in fields]
    path = tmp_path_factory.mktemp("junk") / "r.csv"
    path.write_bytes("\n".join([HEADER, *GOOD, *junk]).encode("utf-8", "ignore"))
    recording = read_recording(path, max_bad=1.0)
    assert recording.models[:2] == ("big", "small")
    assert recording.rows == len(GOOD) + sum(1 for row in junk if row.encode("utf-8", "ignore"))


def test_listed_bad_rows_are_bounded() -> None:
    """A file with a million bad rows must not flood a terminal."""
    bad = [BadRow(line, "is bad") for line in range(2, 1_000)]
    assert listed(bad, 2).splitlines() == ["  line 2: is bad", "  line 3: is bad", "  and 996 more"]
    assert listed(bad[:2], 2).splitlines() == ["  line 2: is bad", "  line 3: is bad"]
