"""YAML text to plain values with the place of each: strict where YAML is generous.

A file is data only: no tags, no merge keys, keys are text and stand once, aliases expand within a
budget. Everything that breaks this is collected with its place, so that a user sees all of it at once.
JSON is YAML too.
"""

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

Loc = tuple[str | int, ...]
MAX_DEPTH = 20
"""Levels of nesting; a configuration has seven."""
MAX_VALUES = 100_000
"""Values after aliases are expanded; bounds time and memory of a hostile file."""
_TAG = "tag:yaml.org,2002:"
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels; a configuration needs seven"
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written, counted from one."""

    line: int
    column: int


START = Place(1, 1)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that YAML allows or that is no YAML, and that a configuration may not hold."""

    loc: Loc
    place: Place
    message: str
    usable: bool = False
    """Whether the value at `loc` can be looked at all the same."""


@dataclass(slots=True)
class Parsed:
    """Plain values of a file, with the place of every key and value."""

    value: object = None
    values: dict[Loc, Place] = field(default_factory=dict)
    keys: dict[Loc, Place] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)

    def place(self, loc: Loc) -> Place:
        """Place of a value, or of the nearest thing around it that is written in the file."""
        for length in range(len(loc), 0, -1):
            place = self.values.get(loc[:length])
            if place is not None:
                return place
        return START

    def known(self, loc: Loc) -> Loc:
        """The longest beginning of `loc` that is written in the file."""
        for length in range(len(loc), 0, -1):
            if loc[:length] in self.values:
                return loc[:length]
        return ()


class _TooManyError(Exception):
    """The budget of values is used up."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class _RefusedError(Exception):
    """One key or value is refused; the message says why."""


class _Composer(Composer):
    """Composes within the budget of values; an anchor may be defined anew, as YAML allows."""

    def __init__(self, loader: Any = None) -> None:  # reason: ruamel passes its loader without a type
        super().__init__(loader)
        self.warn_double_anchors = False
        self.composed = 0

    def compose_node(self, parent: Any, index: Any) -> Any:  # reason: ruamel's own signature
        self.composed += 1
        if self.composed > MAX_VALUES:
            raise _TooManyError(_place(self.parser.peek_event().start_mark))
        return super().compose_node(parent, index)


def parse_yaml(text: str) -> Parsed:
    """Plain values of one YAML document; `flaws` is empty only if all of it is plain data."""
    parsed = Parsed()
    try:
        root = _compose(text)
        if root is None:
            parsed.flaws.append(Flaw((), START, "the file is empty; it needs at least models and default"))
        else:
            parsed.value = _Converter(parsed).convert(root, ())
    except _TooManyError as error:
        message = f"more than {MAX_VALUES} values after aliases are expanded; write fewer, or without aliases"
        parsed.flaws.append(Flaw((), error.place, message))
    except ReaderError as error:
        parsed.flaws.append(_unprintable(text, error))
    except YAMLError as error:
        parsed.flaws.append(_syntax(error))
    return parsed


def _compose(text: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.max_depth = MAX_DEPTH
    node: Node | None = yaml.compose(text)
    return node


def _place(mark: Any) -> Place:  # reason: ruamel's marks have no common type
    return START if mark is None else Place(mark.line + 1, mark.column + 1)


class _Converter:
    """Turns the node graph into plain values; a refused value becomes None and is noted as a flaw."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed
        self._open: set[int] = set()
        self._count = 0

    def convert(self, node: Node, loc: Loc) -> object:
        """The plain value of a node that stands at `loc`."""
        place = _place(node.start_mark)
        self._count += 1
        if self._count > MAX_VALUES:
            raise _TooManyError(place)
        self._parsed.values[loc] = place
        try:
            return _scalar(node) if isinstance(node, ScalarNode) else self._collection(node, loc)
        except _RefusedError as refused:
            self._parsed.flaws.append(Flaw(loc, place, str(refused)))
            return None

    def _collection(self, node: Node, loc: Loc) -> object:
        if id(node) in self._open:
            raise _RefusedError("an alias contains itself; write the values out")
        if len(loc) >= MAX_DEPTH:
            raise _RefusedError(_TOO_DEEP)
        self._open.add(id(node))
        try:
            return self._mapping(node, loc) if isinstance(node, MappingNode) else self._sequence(node, loc)
        finally:
            self._open.discard(id(node))

    def _sequence(self, node: Node, loc: Loc) -> object:
        if node.tag != _TAG + "seq":
            raise _foreign(node)
        return [self.convert(item, (*loc, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, loc: Loc) -> object:
        if node.tag != _TAG + "map":
            raise _foreign(node)
        plain: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._new_key(key_node, loc, plain)
            if key is None:
                continue
            inner = (*loc, key)
            self._parsed.keys[inner] = _place(key_node.start_mark)
            plain[key] = self.convert(value_node, inner)
            if not isinstance(value_node, ScalarNode) or not value_node.value:
                self._parsed.values[inner] = self._parsed.keys[inner]
        return plain

    def _new_key(self, node: Node, loc: Loc, taken: dict[str, object]) -> str | None:
        """The key, or None if it is refused or stands there already."""
        place = _place(node.start_mark)
        try:
            key = _key(node)
        except _RefusedError as refused:
            self._parsed.flaws.append(Flaw(loc, place, str(refused)))
            return None
        if key not in taken:
            return key
        first = self._parsed.keys[(*loc, key)].line
        message = f"key {key[:80]!r} stands twice, first on line {first}; keep one"
        self._parsed.flaws.append(Flaw((*loc, key), place, message, usable=True))
        return None


def _key(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        raise _RefusedError("a key must be text, not a list or mapping")
    if node.tag == _TAG + "merge":
        raise _RefusedError("merge keys (<<) are not taken; write the fields out")
    if node.tag not in (_TAG + "str", _TAG + "value"):
        raise _RefusedError(f"key {node.value[:40]!r} is not text; put it in quotes")
    return _joined(node.value)


def _scalar(node: ScalarNode) -> object:
    kind, text = str(node.tag).removeprefix(_TAG), node.value
    if kind in ("str", "value", "merge"):
        return _joined(text)
    if kind == "null":
        return None
    if kind not in ("bool", "int", "float"):
        raise _foreign(node)
    try:
        return _BOOLS[text.lower()] if kind == "bool" else _number(kind, text)
    except (ValueError, KeyError):
        message = f"{text[:40]!r} is neither a number nor true or false; if it is text, put it in quotes"
        raise _RefusedError(message) from None


def _foreign(node: Node) -> _RefusedError:
    tag = str(node.tag).replace(_TAG, "!!")[:80]
    remedy = "put it in quotes" if tag == "!!timestamp" else "write plain values"
    return _RefusedError(f"values of type {tag} are not taken; {remedy}")


def _joined(text: str) -> str:
    """The text with escaped surrogate pairs joined, as JSON writes characters beyond the first 65,536."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise _RefusedError("holds half a character (a lone surrogate); write the character itself") from None


def _number(kind: str, text: str) -> int | float:
    if kind == "int":
        digits = text.replace("_", "")
        return int(digits, 0) if digits.lstrip("+-")[:2].lower() in ("0x", "0o") else int(digits)
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def _unprintable(text: str, error: ReaderError) -> Flaw:
    before = text[: error.position]
    place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
    character = text[error.position : error.position + 1]
    return Flaw((), place, f"character {character!a} is not text; is this a binary file?")


def _syntax(error: YAMLError) -> Flaw:
    """A syntax error without the excerpt, which could show a secret."""
    if not isinstance(error, MarkedYAMLError):
        return Flaw((), START, "not readable as YAML")
    place = _place(error.problem_mark or error.context_mark)
    if isinstance(error, MaxDepthExceededError):
        return Flaw((), place, _TOO_DEEP)
    problem, context = str(error.problem or ""), str(error.context or "")
    if "single document" in context:
        return Flaw((), place, "a second document begins here; a configuration is one document")
    if "'\\t'" in problem:
        return Flaw((), place, "a tab cannot stand here; indent with spaces")
    return Flaw((), place, f"not readable as YAML: {context}{', ' if context and problem else ''}{problem}")
