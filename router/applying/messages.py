"""What is wrong with a value, in words: field, value, bound and remedy instead of the validator's terms.

Secrets that landed in the wrong field must not be repeated, so values of such fields are not shown.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from router.applying.nodes import Loc
from router.config.document import Document

STAND_IN = "stand-in-for-"
"""Beginning of names that stand for what could not be read (router.applying.mending)."""
_UNSHOWN = frozenset({"api_key_env", "base_url", "secrets_env"})
"""Fields into which people paste keys."""
_NOT_YET = {
    "latency": "latency classes are not yet enforced here; models declare theirs, and requests ask for one",
}
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"[a-z_]+")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest known word, else at all of them.

    >>> did_you_mean("sonet", ["haiku", "sonnet"])
    "did you mean 'sonnet'?"
    """
    words = [each for each in known if not each.startswith(STAND_IN)]
    close = get_close_matches(word, words, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    listed = ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")
    return f"known here: {listed}" if words else "none is known here"


def shown(value: object) -> str:
    """A value as a message shows it: short, in the notation of the file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return f"the text {value[:60]!r}" + ("..." if len(value) > 60 else "")
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else str(value)[:60]


def field_text(loc: Loc) -> str:
    """A place in the document as people write it.

    >>> field_text(("experiments", "billing", "candidates", 1))
    'experiments.billing.candidates[1]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "document"


def message_of(error: ErrorDetails, loc: Loc, root: type[BaseModel] = Document) -> str:
    """What a validation error at `loc` means for the person who wrote the file, a `root` as a whole."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return f"is missing: {_purpose(loc, root)}"
    if kind == "extra_forbidden":
        return _unknown_field(loc, root)
    demand = _DEMANDS.get(kind)
    wanted = demand(context) if demand else error["msg"]
    if kind == "literal_error":
        wanted += _nearest_choice(error["input"], str(context.get("expected", "")))
    hidden = any(part in _UNSHOWN for part in loc)
    if hidden and kind == "string_pattern_mismatch":
        return "must name an environment variable (letters, digits and _), never hold the key itself"
    counted = kind in ("too_short", "too_long")
    return wanted if hidden or counted else f"{wanted}, not {shown(error['input'])}"


def sharpened(loc: Loc, message: str, fields: Iterable[str]) -> Loc:
    """The field that the message of a rule over several fields speaks of first, else the place of them all.

    >>> sharpened(("experiments", "x"), "shares sum to 1.1, must sum to 1", ["candidates", "shares"])
    ('experiments', 'x', 'shares')
    """
    known = set(fields)
    for word in _WORD.findall(_QUOTED.sub("", message)):
        for name in (word, word + "s"):
            if name in known:
                return (*loc, name)
    return loc


_Context = Mapping[str, Any]  # reason: pydantic's own type of an error's numbers
_NUMBER = "must be a number"
_DEMANDS: Mapping[str, Callable[[_Context], str]] = {
    "string_type": lambda _: "must be text (in quotes, if it looks like a number)",
    "bool_type": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "float_type": lambda _: _NUMBER,
    "finite_number": lambda _: "must be a finite number",
    "greater_than": lambda c: f"must be greater than {c['gt']:g}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "less_than": lambda c: f"must be less than {c['lt']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "string_too_short": lambda c: f"must have at least {c['min_length']} character(s)",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "string_pattern_mismatch": lambda c: f"must match {c['pattern']}",
    "too_short": lambda c: f"must have at least {c['min_length']} item(s), has {c['actual_length']}",
    "too_long": lambda c: f"must have at most {c['max_length']} items, has {c['actual_length']}",
    "literal_error": lambda c: f"must be {c['expected']}",
    "model_type": lambda _: "must be a mapping of fields",
    "dict_type": lambda _: "must be a mapping of names",
    "tuple_type": lambda _: "must be a list, as in [a, b]",
}


def _nearest_choice(value: object, expected: str) -> str:
    choices = [choice.strip("'") for choice in _QUOTED.findall(expected)]
    close = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f" (did you mean {close[0]!r}?)" if close else ""


def _unknown_field(loc: Loc, root: type[BaseModel]) -> str:
    name = str(loc[-1])
    if name in _NOT_YET:
        return _NOT_YET[name]
    model = _model_at(loc[:-1], root)
    fields = [field.alias or key for key, field in model.model_fields.items()] if model else []
    return f"unknown field {name[:60]!r}; {did_you_mean(name, fields)}"


def _purpose(loc: Loc, root: type[BaseModel]) -> str:
    """What a missing field is for, in the words of its documentation."""
    model = _model_at(loc[:-1], root)
    if model is not None:
        for key, field in model.model_fields.items():
            if (field.alias or key) == loc[-1] and field.description:
                words = " ".join(field.description.split()).rstrip(".")
                return words[0].lower() + words[1:]
    return "this field is required"


def _model_at(loc: Loc, root: type[BaseModel]) -> type[BaseModel] | None:
    """The model that describes the mapping at `loc`."""
    annotation: object = root
    for part in loc:
        model = _model_in(annotation)
        if get_origin(annotation) in (dict, tuple) or model is None:
            annotation = model
            continue
        field = next((f for key, f in model.model_fields.items() if part in (key, f.alias)), None)
        if field is None:
            return None
        annotation = field.annotation
    return _model_in(annotation)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first model within an annotation, such as dict[str, Model]."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
