"""Output for people and for programs: tables, or the same rows as JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

Fields = Mapping[str, object]
Listing = Literal["text", "json"]
Form = Annotated[Listing, typer.Option("--format", help="text for people, json for programs.")]
Columns = Mapping[str, Callable[[Fields], object]]
"""Heading and content of each column of a table."""
_WIDE = 400
"""Width of tables that go into a file or a pipe: nothing is cut there."""


def plain(text: str) -> str:
    """Text without control characters, which could rewrite a terminal; line breaks stay.

    >>> plain("a\\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)


def say(text: str) -> None:
    """One or more lines on stdout."""
    typer.echo(plain(text))


def show(rows: Sequence[Fields], columns: Columns, form: Listing, empty: str) -> None:
    """Rows as a table or as JSON; `empty` is said where there are none."""
    if form == "json":
        typer.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
    elif not rows:
        say(empty)
    else:
        _table(rows, columns)


def show_one(fields: Fields, line: str, form: Listing) -> None:
    """What a command did, as a line or as JSON."""
    if form == "json":
        typer.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        say(line)


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "model"), counted(2, "model")
    ('1 model', '2 models')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def time_text(at_ms: object) -> str:
    """A time in UTC to the second, or a dash.

    >>> time_text(0)
    '1970-01-01 00:00:00'
    """
    if not isinstance(at_ms, int):
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(rows: Sequence[Fields], columns: Columns) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(str(content(row)))) for content in columns.values()))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table)
