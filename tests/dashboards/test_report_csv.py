"""The report as a table: raw numbers, one row a candidate, and no formula of anybody else."""

import csv
from collections.abc import Mapping
from copy import deepcopy
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.report_csv import render_csv
from tests.dashboards.conftest import Document
from tests.dashboards.reading import CANDIDATE_FIGURES, EFFECT_ENDS, EFFECT_P, EFFECTS


def rows_of(document: Document) -> list[dict[str, str]]:
    """Rows as a spreadsheet reads them."""
    return list(csv.DictReader(StringIO(render_csv(document), newline="")))


def cell(value: float | None) -> str:
    """What stands in the table for a number."""
    return "" if value is None else repr(value)


def test_each_candidate_is_a_row_with_every_number_exact(document: Document) -> None:
    """A table is for further work: digits lost in it are lost for good."""
    rows = rows_of(document)
    assert [row["candidate"] for row in rows] == [one["name"] for one in document["candidates"]]
    for row, candidate in zip(rows, document["candidates"], strict=True):
        for field in CANDIDATE_FIGURES:
            assert row[field] == cell(candidate[field])
        for effect in EFFECTS:
            for end in (*EFFECT_ENDS, *EFFECT_P):
                assert row[f"{effect}_{end}"] == (cell(candidate[effect][end]) if candidate[effect] else "")


def test_each_row_says_where_it_belongs(documents: Mapping[str, Document]) -> None:
    """Tables of several experiments are put under each other."""
    for kind, document in documents.items():
        for row in rows_of(document):
            assert row["verdict"] == kind
            assert row["experiment"] == document["experiment"]
            assert row["rendered_at_ms"] == str(document["rendered_at_ms"])
            assert set(row["is_control"].split()) <= {"true", "false"}


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_text_starts_like_a_formula(text: str, documents: Mapping[str, Document]) -> None:
    """A spreadsheet would run it with its reader's rights."""
    _assert_no_formula(text, documents["roll_back"])


@pytest.mark.parametrize(
    "formula",
    [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1+1",
        '=HYPERLINK("x","y")',
    ],
)
def test_known_formula_attacks_become_text(formula: str, documents: Mapping[str, Document]) -> None:
    """Each of these has run in some spreadsheet."""
    _assert_no_formula(formula, documents["roll_back"])


def _assert_no_formula(text: str, document: Document) -> None:
    hostile = deepcopy(document)
    hostile["experiment"] = hostile["task"] = hostile["state"] = text
    for candidate in hostile["candidates"]:
        candidate["name"] = candidate["dropped"] = text
        for effect in EFFECTS:
            if candidate[effect]:
                candidate[effect]["fixed_method"] = text
    rows = list(csv.reader(StringIO(render_csv(hostile), newline="")))
    assert len(rows) == 1 + len(hostile["candidates"])
    for row in rows[1:]:
        assert row[0] in (text, f"'{text}")
        for shown in row:
            if shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")):
                float(shown)  # only our own numbers may begin with a sign


def test_what_is_not_known_is_an_empty_cell(documents: Mapping[str, Document]) -> None:
    """An empty cell stays out of sums; a dash or a zero would not."""
    control = rows_of(documents["promote"])[0]
    assert control["reward_effect_value"] == ""
    assert control["saved_usd_per_day"] == ""
    assert not [
        value for row in rows_of(documents["not_ready"]) for value in row.values() if value in ("None", "nan")
    ]
