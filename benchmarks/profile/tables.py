"""Tables of the profile, in the Markdown that docs/hot-path.md holds."""

from collections.abc import Iterable, Sequence


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One table under its title; all columns but the first are numbers."""
    lines = [f"\n### {title}\n", _line(head), _line(["---", *["--:"] * (len(head) - 1)])]
    return "\n".join([*lines, *map(_line, rows)])


def shared(sums: Iterable[tuple[str, float]], whole: float, unit_us: float, most: int) -> list[list[str]]:
    """Rows of name, microseconds of a request and share; what is left over stands in the last one."""
    known = list(sums)
    rows = [[name, f"{weight * unit_us:.1f}", f"{weight / whole:.1%}"] for name, weight in known[:most]]
    rest = sum(weight for _, weight in known[most:])
    if rest:
        rows.append([f"{len(known) - most} others", f"{rest * unit_us:.1f}", f"{rest / whole:.1%}"])
    return rows


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
