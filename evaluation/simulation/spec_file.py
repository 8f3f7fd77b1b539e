"""Specification files: read whole, and refused with every problem at its line, as configurations are."""

from pathlib import Path

from pydantic import ValidationError

from evaluation.simulation.spec import Spec
from router.applying.file import read_text
from router.applying.messages import field_text, message_of, sharpened
from router.applying.nodes import START, Loc, Parsed, parse_yaml
from router.errors import ConfigInvalid, Problem


def read_spec(path: Path | str) -> Spec:
    """The specification of a file; raises ConfigInvalid with all its problems."""
    return parse_spec(read_text(path), str(path))


def parse_spec(text: str, source: str = "specification") -> Spec:
    """The specification of a text; raises ConfigInvalid with all its problems, named as of the file `source`."""
    if not text.strip():
        message = "the file is empty; it needs seed, requests_per_day, days, environment and experiment"
        raise ConfigInvalid(problems=[Problem(source, 1, 1, "document", message)])
    parsed = parse_yaml(text)
    if parsed.flaws:
        raise ConfigInvalid(
            problems=[
                Problem(source, each.place.line, each.place.column, field_text(each.loc), each.message)
                for each in sorted(parsed.flaws, key=lambda flaw: flaw.place)
            ]
        )
    try:
        return Spec.model_validate(parsed.value)
    except ValidationError as error:
        raise ConfigInvalid(problems=_problems(error, parsed, source)) from None


def _problems(error: ValidationError, parsed: Parsed, source: str) -> list[Problem]:
    """Every problem once, in the order of the file."""
    found: dict[tuple[Loc, str], Problem] = {}
    for each in error.errors(include_url=False):
        loc = parsed.known(each["loc"])
        if each["type"] == "missing":
            loc = (*loc, each["loc"][-1])
        message = message_of(each, loc, Spec)
        if each["type"] == "value_error":
            loc = sharpened(loc, message, (str(key[-1]) for key in parsed.keys if key[:-1] == loc))
        unknown = each["type"] == "extra_forbidden"
        place = parsed.keys.get(loc, START) if unknown else parsed.place(loc)
        found[loc, message] = Problem(source, place.line, place.column, field_text(loc), message)
    return sorted(found.values(), key=lambda problem: (problem.line, problem.column, problem.field))
