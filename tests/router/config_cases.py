"""Bad configuration files, each with the line, the field and a telling part of the message it must get."""

from dataclasses import dataclass
from pathlib import Path

MODELS = """\
models:
  big: {base_url: "http://127.0.0.1:9/v1", price: {input: 3, output: 15}}
  small: {base_url: "http://127.0.0.1:9/v1", price: {input: 1, output: 2}}
default: big
"""
"""Four sound lines, so that what follows begins on line 5."""
TASKED = MODELS + "tasks:\n  support: {default: big}\nexperiments:\n"
"""Seven sound lines: an experiment that follows begins on line 8."""
_SHORT_FOR = {"@models\n": MODELS, "@tasks\n": TASKED}


@dataclass(frozen=True)
class BadFile:
    """A file, and what its refusal must say."""

    name: str
    text: str
    line: int
    field: str
    says: str


def _from_section(section: str) -> BadFile:
    name, expected, text = section.split("\n", 2)
    line, field, says = expected.split(" | ")
    for short, whole in _SHORT_FOR.items():
        text = whole + text.removeprefix(short) if text.startswith(short) else text
    return BadFile(name, text, int(line), field, says)


def _nested(depth: int, inner: str = "") -> str:
    return "[" * depth + inner + "]" * depth


_WRITTEN = (Path(__file__).parent / "bad_files.txt").read_text(encoding="utf-8")
BAD_FILES = [
    *map(_from_section, _WRITTEN.split("\n=== ")[1:]),
    BadFile("empty", "", 1, "document", "empty"),
    BadFile("control character", MODELS + "# \x07\n", 5, "document", "not text"),
    BadFile("deep nesting", MODELS + "tasks: " + "[" * 5_000, 5, "document", "nested deeper than 20"),
    BadFile(
        "deep nesting by aliases",
        f"a: &a {_nested(15)}\nb: {_nested(15, '*a')}\n",
        1,
        "b" + "[0]" * 19,
        "nested deeper than 20",
    ),
]
