"""A foreign file on its way in: each of its keys is taken, or remarked upon at its line.

What an importer does not ask for is never dropped in silence: `Section.rest` remarks on every key that nobody took.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from router.applying.file import read_text
from router.applying.messages import field_text
from router.applying.nodes import START, Loc, Parsed, parse_yaml
from router.errors import ConfigInvalid, Problem

UNKNOWN = "is not known to this importer and was left out"
_INDENTS = re.compile(r"^[ \t]*\t[ \t]*", re.MULTILINE)


@dataclass(slots=True)
class Source:
    """A parsed foreign file and the remarks on it."""

    name: str
    parsed: Parsed
    remarks: list[Problem] = field(default_factory=list)

    def remark(self, loc: Loc, message: str) -> None:
        """Note what is not carried over as it stands; a message repeats no value that may be a secret."""
        place = self.parsed.place(loc)
        self.remarks.append(Problem(self.name, place.line, place.column, field_text(loc), message, "warning"))

    @property
    def root(self) -> "Section":
        """The whole file; raises ConfigInvalid if it is no mapping."""
        if not isinstance(self.parsed.value, dict):
            raise refused(self.name, "the file must be a mapping of fields")
        return Section(self, self.parsed.value, ())


def read_source(path: Path) -> Source:
    """A foreign file as plain data; raises ConfigInvalid with every place that is none."""
    text = read_text(path)
    if path.suffix == ".json":  # JSON may be indented with tabs, which YAML may not
        text = _INDENTS.sub(lambda found: " " * len(found[0]), text)
    parsed = parse_yaml(text)
    if parsed.flaws:
        raise ConfigInvalid(
            problems=[
                Problem(str(path), flaw.place.line, flaw.place.column, field_text(flaw.loc), flaw.message)
                for flaw in parsed.flaws
            ]
        )
    return Source(path.name, parsed)


def refused(name: str, message: str) -> ConfigInvalid:
    """A file of which nothing can be carried over."""
    return ConfigInvalid(problems=[Problem(name, START.line, START.column, "document", message)])


class Section:
    """One mapping of a foreign file, read key by key."""

    def __init__(self, source: Source, value: Mapping[str, object], loc: Loc) -> None:
        self.source = source
        self.loc = loc
        self._value = value
        self._taken: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._value)

    def has(self, key: str) -> bool:
        """Whether the key stands here with a value."""
        return self._value.get(key) is not None

    def take(self, key: str) -> object:
        """The plain value of a key, None where there is none."""
        self._taken.add(key)
        return self._value.get(key)

    def text(self, key: str) -> str | None:
        """A text; anything else is remarked upon."""
        value = self.take(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return None if value is None else str(value).strip()
        self._odd(key, "is no text")
        return None

    def number(self, key: str) -> float | None:
        """A number that is not below zero; anything else is remarked upon."""
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
            return float(value)
        self._odd(key, "is no number from 0 to 1e12")
        return None

    def section(self, key: str) -> "Section":
        """A mapping, empty where there is none."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            self._odd(key, "is no mapping")
        return Section(self.source, value if isinstance(value, dict) else {}, (*self.loc, key))

    def sections(self, key: str) -> list["Section"]:
        """A list of mappings; what is none is remarked upon."""
        value = self.take(key)
        if value is not None and not isinstance(value, list):
            self._odd(key, "is no list")
        found = []
        for index, each in enumerate(value if isinstance(value, list) else []):
            if isinstance(each, dict):
                found.append(Section(self.source, each, (*self.loc, key, index)))
            else:
                self.source.remark((*self.loc, key, index), "is no mapping and was left out")
        return found

    def __iter__(self) -> Iterator[str]:
        """All keys, in the order of the file."""
        return iter(list(self._value))

    def remark(self, key: str, message: str) -> None:
        """Remark on one key, which then counts as taken."""
        self._taken.add(key)
        self.source.remark((*self.loc, key), message)

    def remark_if(self, key: str, message: str) -> None:
        """Remark on a key if it is there."""
        if self.has(key):
            self.remark(key, message)

    def rest(self, why: str = UNKNOWN) -> None:
        """Remark on every key that nobody took."""
        for key, value in self._value.items():
            if key not in self._taken and value is not None:
                self.remark(key, why)

    def _odd(self, key: str, what: str) -> None:
        self.source.remark((*self.loc, key), f"{what} and was left out")
