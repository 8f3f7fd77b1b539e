"""Pages: templates with everything escaped, and style and script by link or, in a saved file, inside it.

A served page works under a content security policy without `unsafe-inline`: no inline style, no inline
script, nothing from elsewhere.
"""

import re
from functools import cache
from hashlib import blake2b
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dashboards import figures, wording
from dashboards.effect_tables import Format, interval
from dashboards.figures import Value

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
MINUS = "−"  # noqa: RUF001  # the typographic minus, which screen readers read aloud
_NEGATIVE = re.compile(r"(?<![\w.-])-(?=[\d.$])")
_FIGURES: tuple[Format, ...] = (
    figures.units,
    figures.money,
    figures.money_change,
    figures.reward,
    figures.difference,
    figures.rate,
    figures.percent,
    figures.chance,
    figures.change,
    figures.p_value,
    figures.e_value,
    figures.milliseconds,
    figures.days,
)


def fill(template: str, standalone: bool = False, **values: object) -> str:
    """A page out of its template; `standalone` puts style and script inside the document."""
    return _environment().get_template(template).render(standalone=standalone, **values)


@cache
def asset(name: str) -> str:
    """Text of a file that pages link to."""
    return (STATIC / name).read_text("utf-8")


@cache
def asset_version(name: str) -> str:
    """Short digest of a file, so that browsers fetch it again when it has changed."""
    return blake2b(asset(name).encode(), digest_size=4).hexdigest()


def typeset(text: str) -> str:
    """A figure with a true minus.

    >>> typeset("-$0.50")
    '−$0.50'
    """
    return text.replace("-", MINUS)


def prose(sentence: str) -> str:
    """A sentence whose negative numbers have a true minus; hyphens in names stay.

    >>> prose("gpt-4 is at least -0.05 below")
    'gpt-4 is at least −0.05 below'
    """
    return _NEGATIVE.sub(MINUS, sentence)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {shown.__name__: _typeset(shown) for shown in _FIGURES}
    environment.filters |= {
        "moment": figures.moment,
        "timestamp": figures.timestamp,
        "duration": figures.duration,
        "prose": prose,
        "setting": lambda value: typeset(figures.setting(value)),
        "setting_percent": figures.setting_percent,
        "spaced": wording.spaced,
    }
    environment.globals |= {
        "asset": asset,
        "asset_version": asset_version,
        "interval": _interval,
        "wording": wording,
        "UNKNOWN": figures.UNKNOWN,
        "NOT_ENOUGH": figures.NOT_ENOUGH,
    }
    return environment


def _typeset(shown: Format) -> Format:
    return lambda value: typeset(shown(value))


def _interval(low: Value, high: Value, shown: Format) -> str:
    return typeset(interval(low, high, shown))
