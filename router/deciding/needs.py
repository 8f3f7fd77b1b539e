"""Needs: what one request asks of the model that serves it, from its body and from its caller's hints."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from experiments.definition.names import check_name
from experiments.evidence.record import record
from router.config.abilities import LatencyClass, plain_language, plain_word
from router.config.task import MAX_COST_USD
from router.errors import InvalidRequest

MAX_WORDS = 20
CHARACTERS_PER_TOKEN = 4
"""Of a text whose tokens nobody counted."""
_MONEY = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,12})?(?:[eE]-?[0-9]{1,2})?|\.[0-9]{1,12}")


@record(frozen=True, slots=True)
class Needs:
    """What is asked for; the defaults ask for nothing."""

    max_cost_usd: float | None = None
    """Most that the request may cost by the price list."""
    latency: LatencyClass | None = None
    residency: str | None = None
    language: str | None = None
    domain: str | None = None
    skills: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    input_tokens: int | None = None
    """Estimated from the length of what is sent."""
    output_tokens: int | None = None
    """Longest answer that the request allows."""
    tools: bool = False
    vision: bool = False
    audio: bool = False
    json_mode: bool = False
    ceiling_of: str = ""
    """Task that states `max_cost_usd`; "" where the caller does."""


def speaks(languages: Sequence[str], asked: str) -> bool:
    """Whether a language is among those declared; one without a region covers all its regions.

    >>> speaks(("de", "pt-br"), "de-at"), speaks(("de", "pt-br"), "pt")
    (True, False)
    """
    return asked in languages or asked.split("-")[0] in languages


def counted(needs: Needs | None, text: str) -> Needs:
    """The same with the input's length taken from its text, where nobody counted it."""
    if needs is None:
        return Needs(input_tokens=tokens_of(text))
    return needs if needs.input_tokens is not None else replace(needs, input_tokens=tokens_of(text))


def within_ceiling(needs: Needs | None, most_usd: float | None, task: str) -> Needs | None:
    """The same under a task's ceiling as well: the smaller of the task's and the caller's holds.

    >>> needs = Needs(max_cost_usd=0.5)
    >>> [within_ceiling(needs, most, "mail").max_cost_usd for most in (0.1, 2.0)]
    [0.1, 0.5]
    """
    if most_usd is None:
        return needs
    if needs is None:
        return Needs(max_cost_usd=most_usd, ceiling_of=task)
    if needs.max_cost_usd is not None and needs.max_cost_usd <= most_usd:
        return needs
    return replace(needs, max_cost_usd=most_usd, ceiling_of=task)


def tokens_of(text: str) -> int:
    """Tokens of a text, estimated."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def hinted_needs(hints: Mapping[str, str | None]) -> Needs | None:
    """Needs from hints written as text, by the names of HINTS; None where none is given. Raises InvalidRequest."""
    given = {name: text for name, text in hints.items() if text}
    if not given:
        return None
    cost = given.get("max_cost")
    return asked_needs(
        None if cost is None else _money(cost),
        given.get("latency"),
        given.get("residency"),
        given.get("language"),
        given.get("domain"),
        _split(given.get("skills")),
        _split(given.get("tags")),
    )


HINTS = ("max_cost", "latency", "residency", "language", "domain", "skills", "tags")
"""What callers may ask of a model, beside `override` and `tier`."""
FLAGS = ("tools", "vision", "audio", "json_mode")
COUNTS = ("input_tokens", "output_tokens")
MOST_TOKENS = 1_000_000_000


def asked_needs(
    max_cost: object = None, latency: object = None, residency: object = None, language: object = None,
    domain: object = None, skills: object = None, tags: object = None, needs: object = None,
) -> Needs | None:  # fmt: skip
    """Needs from a caller's values, `needs` a mapping of FLAGS and COUNTS; None where nothing is asked.

    Raises InvalidRequest naming the field.
    """
    if (max_cost, latency, residency, language, domain, skills, tags, needs) == (None,) * 8:
        return None
    asked = Needs(
        _checked_cost(max_cost), _checked_latency(latency), _word(residency, "residency"), _language(language),
        _word(domain, "domain"), _words(skills, "skills"), _words(tags, "tags"),
    )  # fmt: skip
    return asked if needs is None else _with_body(asked, needs)


def _checked_cost(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, float | int) or not 0 < value <= MAX_COST_USD:
        raise InvalidRequest(
            f"max_cost must be US dollars per request, above 0 and at most {MAX_COST_USD:g}", "max_cost"
        )
    return float(value)


def _money(text: str) -> float:
    return float(text) if _MONEY.fullmatch(text) else math.nan


def _checked_latency(value: object) -> LatencyClass | None:
    if value is None or value == "interactive" or value == "batch":
        return value
    raise InvalidRequest(f"latency must be one of {', '.join(get_args(LatencyClass))}", "latency")


def _word(value: object, field: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"{field} must be a text", field)
    try:
        return plain_word(check_name(value))
    except ValueError as error:
        raise InvalidRequest(f"{field}: {error}", field) from None


def _language(value: object) -> str | None:
    word = _word(value, "language")
    return None if word is None else plain_language(word)


def _words(value: object, field: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > MAX_WORDS:
        raise InvalidRequest(f"{field} must be a list of at most {MAX_WORDS} words", field)
    return tuple(word for each in value if (word := _word("" if each is None else each, field)) is not None)


def _split(text: str | None) -> list[str] | None:
    """Words of a header or of metadata, between commas."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _with_body(asked: Needs, value: object) -> Needs:
    """The same with what a caller says of the body that it will send itself."""
    if not isinstance(value, Mapping) or not value.keys() <= {*FLAGS, *COUNTS}:
        raise InvalidRequest(f"needs must be an object of {', '.join((*FLAGS, *COUNTS))}", "needs")
    for name in FLAGS:
        if type(value.get(name, False)) is not bool:
            raise InvalidRequest(f"needs.{name} must be true or false", "needs")
    for name in COUNTS:
        count = value.get(name, 1)
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            raise InvalidRequest(f"needs.{name} must be a whole number from 0 to {MOST_TOKENS}", "needs")
    return replace(asked, **value)
