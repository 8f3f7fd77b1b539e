"""docs/ledger.md names exactly the tables and columns that the SQLite ledger has."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from experiments.evidence.units import COUNTS, MOMENTS
from storage.sqlite.schema import VERSION, create

PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"


def documented() -> dict[str, list[str]]:
    """Columns per table as the page lists them, with a meaning for each."""
    tables = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading = re.match(r"`(\w+)`", section)
        if heading:
            cells = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|$", section, flags=re.MULTILINE)
            assert all(meaning.strip() for _, meaning in cells)
            tables[heading[1]] = [name for names, _ in cells for name in re.findall(r"`(\w+)`", names)]
    return tables


def real() -> dict[str, list[str]]:
    """Columns per table of a new ledger."""
    with closing(sqlite3.connect(":memory:")) as connection:
        create(connection)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: [
                column for _, column, *_ in connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,))
            ]
            for (name,) in tables
        }


def test_the_page_lists_every_table_and_column() -> None:
    """Users query the ledger with their own tools; the page is the promise they build on."""
    assert documented() == real()


def test_the_page_names_the_schema_version() -> None:
    """A reader must know which release the page describes."""
    assert f"Schema version: **{VERSION}**" in PAGE.read_text(encoding="utf-8")


def test_cells_and_moments_have_the_columns_of_the_unit_statistics() -> None:
    """A count or moment added to the statistics and not to the tables would be lost in silence."""
    tables = real()
    assert tables["cells"][3:] == list(COUNTS)
    assert tables["moments"][4:] == [f"m_{name.lower()}" for name in MOMENTS]
