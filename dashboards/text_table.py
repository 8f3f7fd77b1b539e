"""Text tables: aligned columns that never exceed a width.

What does not fit goes on in a further block that repeats the first column; long cells wrap. Text of users
cannot move the cursor: control and direction characters are taken out.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

GAP = "  "
NARROWEST = 40
_UNSAFE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, its cells, and whether figures line up on the right."""

    heading: str
    cells: tuple[str, ...]
    right: bool = True


@dataclass(frozen=True, slots=True)
class _Block:
    """Columns that fit side by side, with their widths."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]


def plain(text: str) -> str:
    """Text on one line without characters that a terminal obeys.

    >>> plain("red \\x1b[31m now")
    'red  [31m now'
    """
    return "".join(" " if unicodedata.category(sign) in _UNSAFE else sign for sign in text)


def columns_of(text: str) -> int:
    """Columns of a terminal that a text takes: wide characters take two, combining ones none.

    >>> columns_of("haiku"), columns_of("日本")
    (5, 4)
    """
    if text.isascii():  # as nearly every word of a report is, and a report measures hundreds of thousands
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """A paragraph in lines of at most `width` columns; lines after the first are indented."""
    lines: list[str] = []
    room = width - len(indent)
    for word in plain(text).split():
        for piece in _pieces(word, room):
            if lines and columns_of(lines[-1]) + 1 + columns_of(piece) <= width:
                lines[-1] += " " + piece
            else:
                lines.append(indent + piece if lines else piece)
    return lines or [""]


def table(columns: Sequence[Column], width: int) -> list[str]:
    """Lines of a table whose first column names the rows."""
    first, *others = columns
    lines: list[str] = []
    for block in _blocks(first, others, max(width, NARROWEST)):
        lines += [*([""] if lines else []), *_lines(block)]
    return lines


def _blocks(first: Column, others: Sequence[Column], width: int) -> list[_Block]:
    """As many columns side by side as fit; at least one beside the first."""
    name = min(_natural(first), max(width // 3, 12))
    blocks: list[_Block] = []
    columns, widths = [first], [name]
    for column in others:
        need = min(_natural(column), width - name - len(GAP))
        if len(columns) > 1 and sum(widths) + need + len(GAP) * len(columns) > width:
            blocks.append(_Block(tuple(columns), tuple(widths)))
            columns, widths = [first], [name]
        columns.append(column)
        widths.append(need)
    return [*blocks, _Block(tuple(columns), tuple(widths))]


def _natural(column: Column) -> int:
    """Width without breaking a cell; headings break at spaces."""
    texts = (*plain(column.heading).split(), *map(plain, column.cells))
    return max(map(columns_of, texts), default=1)


def _lines(block: _Block) -> list[str]:
    heads = [
        wrapped(column.heading, width) for column, width in zip(block.columns, block.widths, strict=True)
    ]
    height = max(map(len, heads))
    lines = _row(block, [[""] * (height - len(head)) + head for head in heads])
    lines.append("-" * (sum(block.widths) + len(GAP) * (len(block.widths) - 1)))
    for cells in zip_longest(*(column.cells for column in block.columns), fillvalue=""):
        lines += _row(block, [wrapped(cell, width) for cell, width in zip(cells, block.widths, strict=True)])
    return lines


def _row(block: _Block, cells: Sequence[Sequence[str]]) -> list[str]:
    return [
        GAP.join(
            _padded(text, width, column.right)
            for text, width, column in zip(texts, block.widths, block.columns, strict=True)
        ).rstrip()
        for texts in zip_longest(*cells, fillvalue="")
    ]


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * max(width - columns_of(text), 0)
    return space + text if right else text + space


def _pieces(word: str, room: int) -> list[str]:
    """A word, or its parts where it is wider than a line."""
    if columns_of(word) <= room:
        return [word]
    return wrap(word, max(room // 2 if columns_of(word) > len(word) else room, 1), break_on_hyphens=False)
