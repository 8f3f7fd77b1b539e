"""Durations as people write them in a configuration: `500ms`, `30s`, `15m`, `24h`, `7d`."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT = re.compile(r"(\d{1,11}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)")
LONGEST_MS = 400 * _UNITS_MS["d"]


def parse(value: object) -> object:
    """Milliseconds of a duration's text; other values pass on to be refused as no whole number.

    >>> parse("24h"), parse("1.5s")
    (86400000, 1500)
    """
    if not isinstance(value, str):
        return value
    match = _TEXT.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"duration {value[:40]!r} must be a number and a unit (ms, s, m, h, d), as in '24h'")
    return round(float(match[1]) * _UNITS_MS[match[2]])


def text(duration_ms: int) -> str:
    """The shortest exact text of a duration.

    >>> text(86_400_000), text(1_500)
    ('1d', '1500ms')
    """
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % _UNITS_MS[unit] == 0:
            return f"{duration_ms // _UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms"


DurationMs = Annotated[
    int,
    BeforeValidator(parse),
    Field(ge=0, le=LONGEST_MS, strict=True),
    PlainSerializer(text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["24h", "30m", "5s"]}),
]


def days_in_words(days: float) -> str:
    """A forecast of days, in hours or minutes where it is short.

    >>> days_in_words(11.04), days_in_words(0.5), days_in_words(0.003), days_in_words(1)
    ('11 days', '12 hours', '4 minutes', '1 day')
    """
    for size, unit in ((1.0, "day"), (1 / 24, "hour")):
        if days >= size * 0.9999:
            count = days / size
            shown = f"{count:,.0f}" if count >= 10 or abs(count - round(count)) < 0.05 else f"{count:.1f}"
            return f"{shown} {unit}" + ("" if shown == "1" else "s")
    minutes = max(1, round(max(days, 0.0) * 1440))
    return f"{minutes} minute" + ("" if minutes == 1 else "s")
