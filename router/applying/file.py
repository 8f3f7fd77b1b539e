"""Configuration files: read, checked whole, and refused with every problem at the line where it stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from router.applying.checks import check_document
from router.applying.classifier_file import with_classifier
from router.applying.findings import Finding
from router.applying.mending import mended
from router.applying.messages import field_text, message_of, sharpened
from router.applying.nodes import START, Flaw, Loc, Parsed, Place, parse_yaml
from router.classifying.trained_file import ClassifierRefused
from router.config.document import Document
from router.errors import ConfigInvalid, Problem, Severity

MAX_BYTES = 1_048_576
_MENDINGS = 4


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A valid file: its document, and what in it may not be meant."""

    document: Document
    warnings: tuple[Problem, ...] = ()


def read_document(path: Path | str) -> Document:
    """The document of a file; raises ConfigInvalid with all its problems."""
    return read_config(path).document


def read_config(path: Path | str) -> ConfigFile:
    """The document and the warnings of a file; raises ConfigInvalid with all its problems."""
    return parse_config(read_text(path), str(path), Path(path).parent)


def read_text(path: Path | str) -> str:
    """The text of a file; raises ConfigInvalid if it cannot be read, is too large or is no UTF-8."""
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"{source}: cannot be read: {error.strerror or 'no such file'}") from None
    if len(raw) > MAX_BYTES:
        raise _single(
            source, START, f"larger than {MAX_BYTES} bytes; split nothing, but remove what is not needed"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _single(source, Place(line, column), message) from None


def parse_document(text: str, source: str = "configuration") -> Document:
    """The document of a text; raises ConfigInvalid with all its problems, named as of the file `source`."""
    return parse_config(text, source).document


def parse_config(text: str, source: str = "configuration", folder: Path = Path()) -> ConfigFile:
    """The document and the warnings of a text; raises ConfigInvalid with all its problems.

    Files that it names are looked for in `folder`.
    """
    if len(text) > MAX_BYTES:
        raise _single(source, START, f"larger than {MAX_BYTES} characters; remove what is not needed")
    parsed = parse_yaml(text)
    desk = _Desk(source, parsed)
    for flaw in parsed.flaws:
        desk.add_flaw(flaw)
    if parsed.value is None and parsed.flaws:
        raise desk.refusal()
    document = desk.completed(desk.validated(), folder)
    whole = not desk.refused
    found = check_document(document) if document else []
    desk.add_findings(finding for finding in found if whole or finding.severity == "error")
    if document is None or desk.refused:
        raise desk.refusal()
    return ConfigFile(document, desk.sorted("warning"))


class _Desk:
    """Collects the problems of one file."""

    def __init__(self, source: str, parsed: Parsed) -> None:
        self._source = source
        self._parsed = parsed
        self._problems: list[Problem] = []
        self._broken: set[Loc] = set()
        """Places whose value cannot be used; what is said about them further is noise."""

    @property
    def refused(self) -> bool:
        """Whether any problem is an error."""
        return any(problem.severity == "error" for problem in self._problems)

    def add_flaw(self, flaw: Flaw) -> None:
        """Note what is no plain data."""
        self._note(flaw.loc, flaw.place, flaw.message, "error")
        if not flaw.usable:
            self._broken.add(flaw.loc)

    def add(self, loc: Loc, message: str, severity: Severity = "error") -> None:
        """Note a problem; an error's place counts as broken."""
        self._note(loc, self._parsed.place(loc), message, severity)
        if severity == "error":
            self._broken.add(loc)

    def _note(self, loc: Loc, place: Place, message: str, severity: Severity) -> None:
        self._problems.append(
            Problem(self._source, place.line, place.column, field_text(loc), message, severity)
        )

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """Note what the checks found, unless it rests on something that is broken anyway."""
        broken = [loc for loc in self._broken if loc]
        for finding in findings:
            near = [loc for loc in broken if loc[:2] == finding.loc[:2]]
            named = finding.loc[2:3] in (("task",), ("candidates",))
            if not near or (named and not any(finding.loc[: len(loc)] == loc for loc in near)):
                self.add(finding.loc, finding.message, finding.severity)

    def sorted(self, severity: Severity | None = None) -> tuple[Problem, ...]:
        """Problems in the order of the file."""
        wanted = [problem for problem in self._problems if severity in (None, problem.severity)]
        return tuple(sorted(wanted, key=lambda problem: (problem.line, problem.column, problem.field)))

    def refusal(self) -> ConfigInvalid:
        """All problems as one error."""
        return ConfigInvalid(problems=self.sorted())

    def validated(self) -> Document | None:
        """The document; if parts of it are broken, the rest of it with stand-ins, so that it is checked as well."""
        try:
            return Document.model_validate(self._parsed.value)
        except ValidationError as error:
            self._add_errors(error.errors(include_url=False))
        if self._broken & {("models",), ("policies",), ("tasks",)}:  # what names them cannot be judged
            return None
        broken = list(self._broken)
        for _ in range(_MENDINGS):
            try:
                return Document.model_validate(mended(self._parsed.value, broken))
            except ValidationError as error:
                broken += [self._parsed.known(each["loc"]) for each in error.errors(include_url=False)]
        return None

    def completed(self, document: Document | None, folder: Path) -> Document | None:
        """The document with the files that it names; what is wrong with one is noted where it is named."""
        if document is None:
            return None
        try:
            return with_classifier(document, folder)
        except ClassifierRefused as error:
            self.add(("classifier", "file"), str(error))
            return document.model_copy(update={"classifier": None})

    def _add_errors(self, errors: Iterable[ErrorDetails]) -> None:
        messages: dict[Loc, list[str]] = {}
        flaws = frozenset(self._broken)
        for error in errors:
            loc = self._written(error)
            message = message_of(error, loc)
            if error["type"] == "value_error":
                loc = sharpened(loc, message, self._fields(loc))
            if not any(loc[: len(flaw)] == flaw for flaw in flaws if flaw):
                messages.setdefault(loc, []).append(message)
                if error["type"] == "extra_forbidden":  # the name is what is wrong, not its value
                    self._parsed.values[loc] = self._parsed.keys[loc]
        for loc, alternatives in messages.items():
            self.add(loc, " or ".join(dict.fromkeys(alternatives)))

    def _written(self, error: ErrorDetails) -> Loc:
        """Where an error stands in the file, without the validator's own steps such as '[key]' or 'float'."""
        known = self._parsed.known(error["loc"])
        return (*known, error["loc"][-1]) if error["type"] == "missing" else known

    def _fields(self, loc: Loc) -> list[str]:
        return [str(key[-1]) for key in self._parsed.keys if key[:-1] == loc]


def _single(source: str, place: Place, message: str) -> ConfigInvalid:
    return ConfigInvalid(problems=[Problem(source, place.line, place.column, "document", message)])
