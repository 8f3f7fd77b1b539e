"""Figures: short, unmistakable, and never a programmer's word."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import figures
from dashboards.effect_tables import Format, interval

FORMATS: tuple[Format, ...] = (
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
    figures.milliseconds,
    figures.days,
)
SIGNED: tuple[Format, ...] = (figures.difference, figures.change)


def number_of(figure: str) -> float:
    """The number that a figure shows."""
    return float(re.sub(r"[$,%\s]|days?|hours?|minutes?|ms", "", figure))


@pytest.mark.parametrize("shown", FORMATS)
@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), float("-inf")])
def test_what_is_not_known_is_a_dash(shown: Format, unknown: float | None) -> None:
    """Silence must not look like a number, nor like an error."""
    assert shown(unknown) == figures.UNKNOWN


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_has_a_short_figure(value: float) -> None:
    """Columns have a width; a cost of 5e-324 must not take three hundred digits."""
    for shown in FORMATS:
        assert 0 < len(shown(value)) <= 18
        assert not re.search(r"nan|inf|None", shown(value))


@given(usd=st.floats(min_value=1e-12, max_value=1e15))
def test_money_shows_at_least_two_true_digits(usd: float) -> None:
    """Models cost fractions of a cent: rounding to cents would show every one of them as free."""
    assert number_of(figures.money(usd)) == pytest.approx(usd, rel=0.006)
    assert figures.money(-usd) == "-" + figures.money(usd)


@given(value=st.floats(min_value=1e-5, max_value=1e8))
def test_rates_and_rewards_round_to_what_they_show(value: float) -> None:
    """Rounding may lose digits, never the size."""
    assert number_of(figures.rate(value)) == pytest.approx(value, rel=1e-3)
    assert number_of(figures.reward(value)) == pytest.approx(value, rel=6e-3, abs=6e-5)


@given(value=st.floats(min_value=-1e9, max_value=1e9))
def test_differences_carry_their_sign(value: float) -> None:
    """`0.03` in a column of differences leaves open which way it points."""
    for shown in SIGNED:
        assert shown(value)[0] in "+-"
    assert figures.money_change(value)[0] in "+-$"


@given(probability=st.floats(min_value=0, max_value=1))
def test_a_chance_is_never_certain(probability: float) -> None:
    """100% would say that the data exclude what they cannot exclude."""
    assert figures.chance(probability) not in ("100.0%", "0.0%", "100%", "0%")


@given(one=st.floats(min_value=0, max_value=1), other=st.floats(min_value=0, max_value=1))
def test_a_smaller_p_never_shows_as_a_greater_one(one: float, other: float) -> None:
    """The order of p-values is what readers compare."""
    small, great = sorted((one, other))
    shown = [figures.p_value(p) for p in (small, great)]
    values = [0.0 if figure.startswith("<") else float(figure) for figure in shown]
    assert values[0] <= values[1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2.2, "2.2 days"), (1 / 24, "1 hour"), (0.0, "1 minute"), (365.0, "365 days"), (1e12, "1e+12 days")],
)
def test_forecasts_read_in_the_unit_of_their_size(value: float, shown: str) -> None:
    """0.04 days means nothing to anyone."""
    assert figures.days(value) == shown


def test_an_open_end_is_said_in_words() -> None:
    """`- to +50%` could be taken for a range."""
    assert interval(None, 0.5, figures.change) == "at most +50.0%"
    assert interval(-0.5, None, figures.change) == "at least -50.0%"
    assert interval(None, None, figures.change) == figures.UNKNOWN


@given(at_ms=st.integers())
def test_any_time_has_a_figure(at_ms: int) -> None:
    """A broken clock must not break the page."""
    assert figures.moment(at_ms)
    assert isinstance(figures.timestamp(at_ms), str)
