"""Figures: numbers as people read them, the same in every rendering.

What is not known is an en dash, never `None` or `nan`. Signs are plain ASCII here; pages typeset the minus.
"""

from datetime import UTC, datetime, timedelta
from math import floor, isfinite, log10

from experiments.definition.duration import days_in_words

Value = float | int | None

UNKNOWN = "–"  # noqa: RUF001  # an en dash, as a table shows an empty figure
NOT_ENOUGH = "not enough data"
LARGEST_PLAIN = 1e9
"""Beyond it a figure takes its short scientific form."""
LARGEST_COUNT = 1e12
SMALLEST_P = 1e-4


def units(count: Value) -> str:
    """A count with thousands separated.

    >>> units(21500), units(None)
    ('21,500', '–')
    """
    if count is None or not isfinite(count):
        return UNKNOWN
    return f"{count:,.0f}" if abs(count) < LARGEST_COUNT else f"{count:.3g}"


def money(usd: Value) -> str:
    """US dollars: cents from a dollar on, three significant digits below.

    >>> money(0.00041237), money(1234.5), money(-0.0121), money(0)
    ('$0.000412', '$1,234.50', '-$0.0121', '$0')
    """
    if usd is None or not isfinite(usd):
        return UNKNOWN
    return f"{'-' if usd < 0 else ''}${_plain(abs(usd), whole=2)}"


def money_change(usd: Value) -> str:
    """US dollars gained or lost, always with a sign.

    >>> money_change(132.9), money_change(-3)
    ('+$132.90', '-$3.00')
    """
    shown = money(usd)
    return f"+{shown}" if shown.startswith("$") and usd != 0 else shown


def reward(value: Value) -> str:
    """A mean reward with four decimals; fewer where it is large.

    >>> reward(0.8506791), reward(86.52341), reward(0.00000312)
    ('0.8507', '86.52', '3.12e-06')
    """
    if value is None or not isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size >= LARGEST_PLAIN or 0 < size < 5e-5:
        return f"{value:.3g}"
    return f"{value:,.2f}" if size >= 10 else f"{value:.4f}"


def difference(value: Value) -> str:
    """A difference of rewards, always with a sign.

    >>> difference(0.0351), difference(-0.0084744)
    ('+0.0351', '-0.0085')
    """
    shown = reward(value)
    return f"+{shown}" if shown[0].isdigit() else shown


def rate(value: Value) -> str:
    """A number of any size with four significant digits, as reward per dollar has it.

    >>> rate(815.97464), rate(1132.94), rate(70.8811)
    ('816.0', '1,133', '70.88')
    """
    if value is None or not isfinite(value):
        return UNKNOWN
    if abs(value) >= LARGEST_PLAIN or 0 < abs(value) < 1e-3:
        return f"{value:.4g}"
    decimals = max(0, 3 - floor(log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def percent(fraction: Value) -> str:
    """A fraction in percent, with two decimals where it is small.

    >>> percent(0.60417), percent(0.0042), percent(1.0), percent(0)
    ('60.4%', '0.42%', '100%', '0%')
    """
    if fraction is None or not isfinite(fraction):
        return UNKNOWN
    if fraction in (0, 1):
        return f"{fraction:.0%}"
    if abs(fraction) >= LARGEST_PLAIN:
        return f"{fraction * 100:.3g}%" if isfinite(fraction * 100) else UNKNOWN
    return f"{fraction:.2%}" if abs(fraction) < 0.1 else f"{fraction:.1%}"


def setting(value: float) -> str:
    """A number that somebody declared, as short as it was written.

    >>> setting(0.05), setting(-0.02)
    ('0.05', '-0.02')
    """
    return f"{value:.6g}"


def setting_percent(fraction: float) -> str:
    """A declared fraction in percent.

    >>> setting_percent(0.1), setting_percent(0.025)
    ('10%', '2.5%')
    """
    return f"{fraction * 100:.6g}%"


def chance(probability: Value) -> str:
    """A probability in percent that never rounds to certainty.

    >>> chance(0.99996), chance(0.2515), chance(0.00007)
    ('> 99.9%', '25.1%', '< 0.1%')
    """
    if probability is None or not isfinite(probability):
        return UNKNOWN
    if probability > 0.999:
        return "> 99.9%"
    return "< 0.1%" if probability < 0.001 else f"{probability:.1%}"


def change(relative: Value) -> str:
    """A relative change in percent, always with a sign.

    >>> change(-0.91476), change(10.6236), change(0.004)
    ('-91.5%', '+1,062%', '+0.4%')
    """
    if relative is None or not isfinite(relative):
        return UNKNOWN
    if abs(relative) >= 1e6:
        return f"{relative * 100:+.2g}%" if isfinite(relative * 100) else UNKNOWN
    return f"{relative:+,.0%}" if abs(relative) >= 10 else f"{relative:+.1%}"


def p_value(p: Value) -> str:
    """A p-value with four decimals.

    >>> p_value(0.5474869), p_value(2e-300), p_value(1.0)
    ('0.5475', '< 0.0001', '1')
    """
    if p is None or not isfinite(p):
        return UNKNOWN
    if p < SMALLEST_P:
        return "< 0.0001"
    return "1" if p >= 0.99995 else f"{p:.4f}"


def e_value(value: Value) -> str:
    """An e-value with three significant digits.

    >>> e_value(1234.5), e_value(0.0213), e_value(1e299)
    ('1,230', '0.0213', '1e+299')
    """
    if value is None or not isfinite(value):
        return UNKNOWN
    if value >= 1e6 or 0 < value < 1e-4:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.10g}"


def milliseconds(value: Value) -> str:
    """A latency: milliseconds, and seconds from ten on.

    >>> milliseconds(616.47), milliseconds(12_345.0)
    ('616 ms', '12.3 s')
    """
    if value is None or not isfinite(value):
        return UNKNOWN
    if abs(value) >= LARGEST_PLAIN:
        return f"{value / 1000:.3g} s"
    return f"{value / 1000:,.1f} s" if value >= 10_000 else f"{value:,.0f} ms"


def days(value: Value) -> str:
    """A forecast of days, in hours or minutes where it is short.

    >>> days(11.04), days(0.5), days(0.003), days(1)
    ('11 days', '12 hours', '4 minutes', '1 day')
    """
    if value is None or not isfinite(value):
        return UNKNOWN
    if value >= LARGEST_PLAIN:
        return f"{value:.2g} days"
    return days_in_words(value)


def duration(value_ms: int) -> str:
    """A span of time in the largest unit that leaves it whole.

    >>> duration(86_400_000), duration(600_000), duration(1_500)
    ('1 day', '10 minutes', '1.5 seconds')
    """
    sizes = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"))
    size, unit = next((one for one in sizes if value_ms and value_ms % one[0] == 0), (1_000, "second"))
    count = f"{value_ms / size:,.10g}"
    return f"{count} {unit}" + ("" if count == "1" else "s")


def moment(at_ms: int | None) -> str:
    """A point in time, in UTC.

    >>> moment(1_790_000_000_000)
    '2026-09-21 14:13 UTC'
    """
    known = _utc(at_ms)
    return UNKNOWN if known is None else known.strftime("%Y-%m-%d %H:%M UTC")


def timestamp(at_ms: int | None) -> str:
    """The same in the form machines read; empty where it is not known.

    >>> timestamp(1_790_000_000_000)
    '2026-09-21T14:13:20Z'
    """
    known = _utc(at_ms)
    return "" if known is None else known.strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc(at_ms: int | None) -> datetime | None:
    if at_ms is None:
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    except OverflowError:
        return None


def _plain(size: float, whole: int) -> str:
    """A positive number without exponent: `whole` decimals from one on, three significant digits below."""
    if size == 0:
        return "0"
    if size >= LARGEST_PLAIN or size < 1e-9:
        return f"{size:.2e}"
    decimals = whole if size >= 0.995 else 2 - floor(log10(size))
    return f"{size:,.{decimals}f}"
