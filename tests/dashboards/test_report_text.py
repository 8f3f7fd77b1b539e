"""The report as text: complete, aligned, within its width, harmless to a terminal."""

import re
from collections.abc import Mapping
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.report_text import render_text
from dashboards.text_table import Column, columns_of, table, wrapped
from tests.dashboards.conftest import Document
from tests.dashboards.reading import expected_figures, holds_figure, sentences

PAINT = re.compile(r"\x1b\[[\d;]+m")


@pytest.mark.parametrize("width", [60, 100, 200])
def test_every_number_of_the_report_is_in_the_text(width: int, document: Document) -> None:
    """Who works in a terminal sees what the page shows."""
    text = render_text(document, width)
    wide = render_text(document, 400)
    missing = [
        (where, figure)
        for where, figure in expected_figures(document)
        if not holds_figure(_unwrapped(text), figure) and not holds_figure(wide, figure)
    ]
    assert missing == []
    assert [one for one in sentences(document) if _letters(one) not in _letters(text)] == []


def _unwrapped(text: str) -> str:
    return " ".join(text.split())


def _letters(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("width", [1, 40, 57, 80, 100, 132])
def test_no_line_is_wider_than_asked(width: int, document: Document) -> None:
    """Lines that a terminal wraps by itself tear tables apart."""
    before, _, after = render_text(document, width).partition("\nNext step\n")
    prose = before + after.partition("\nCandidates\n")[2]
    assert max(map(columns_of, prose.splitlines())) <= max(width, 40)


def test_commands_can_be_pasted_at_any_width(documents: Mapping[str, Document]) -> None:
    """Broken only between words, by a backslash, they run as they stand."""
    _, _, steps = render_text(documents["promote"], 40).partition("\nNext step\n")
    joined = steps.replace("\\\n", " ").split("\n")
    assert "pointsman promote billing-cheaper haiku --why 'your reason'" in [
        _unwrapped(line) for line in joined
    ]


def test_colours_add_nothing_but_colour(document: Document) -> None:
    """Plain and coloured text are the same words; without colours there is no escape at all."""
    plain, coloured = render_text(document), render_text(document, colour=True)
    assert "\x1b" not in plain
    assert PAINT.search(coloured)
    assert PAINT.sub("", coloured) == plain


def test_rendering_twice_gives_the_same_text(document: Document) -> None:
    """Texts are compared, mailed and kept."""
    assert render_text(document) == render_text(deepcopy(document))


def test_unknown_numbers_are_dashes(documents: Mapping[str, Document]) -> None:
    """`None` in a table is a bug shown to a customer."""
    unknown = deepcopy(documents["keep_running"])
    for end in ("value", "low", "high", "p"):
        unknown["candidates"][1]["reward_effect"][end] = None
    text = render_text(unknown)
    assert "not enough data" in text
    assert not set(text.split()) & {"None", "nan", "inf", "True", "False"}


@pytest.mark.parametrize("attack", ["\x1b[2J\x1b[H", "\x07\x08\x08", "\u202eneddih", "a\r\nb", "\x9b31m"])
def test_text_of_users_cannot_command_the_terminal(attack: str, documents: Mapping[str, Document]) -> None:
    """A hypothesis that clears the screen could also rewrite the verdict above it."""
    hostile = deepcopy(documents["promote"])
    hostile["hypothesis"] = hostile["ended_because"] = f"fine {attack} words"
    hostile["experiment"] = f"name{attack}"
    hostile["verdict"]["sentence"] = attack
    text = render_text(hostile)
    assert not set(text) & set("\x1b\x07\x08\x9b\u202e\r")


def test_a_table_too_wide_goes_on_below_with_its_row_names() -> None:
    """Cutting columns off would hide figures."""
    columns = [Column("name", ("one", "two"), right=False)]
    columns += [Column(f"figure {number}", (f"{number}.1111", f"{number}.2222")) for number in range(9)]
    lines = table(columns, 40)
    assert sum(line.startswith("one") for line in lines) == 3
    assert all(f"{number}.{digits}" in "\n".join(lines) for number in range(9) for digits in ("1111", "2222"))


WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)


@given(text=WORDS, width=st.integers(40, 80), indent=st.integers(0, 10))
def test_paragraphs_keep_their_letters_and_their_width(text: str, width: int, indent: int) -> None:
    """Wide letters take two columns, combining ones none; neither may be lost."""
    lines = wrapped(text, width, " " * indent)
    assert all(columns_of(line) <= width for line in lines)
    assert _letters(" ".join(lines)) == _letters(" ".join(wrapped(text, 10_000)))


@given(cells=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), width=st.integers(40, 120))
def test_tables_keep_to_their_width_whatever_is_in_them(
    cells: list[tuple[str, str, str]], width: int
) -> None:
    """One long name must not break the table of all."""
    columns = [Column(f"c{place}", tuple(row[place] for row in cells), place > 0) for place in range(3)]
    assert all(columns_of(line) <= width for line in table(columns, width))
