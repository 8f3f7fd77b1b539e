"""Interval bars: places on one scale that keep the order of what they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from dashboards.interval_bars import WIDTH, Span, interval_bars

VALUES = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """Intervals around their estimates, some without one end, some without anything."""
    low, value, high = sorted(draw(VALUES) for _ in range(3))
    if draw(st.booleans()):
        return Span(value, low, high)
    return draw(st.sampled_from([Span(value, None, high), Span(value, low, None), Span(None, None, None)]))


@given(drawn=st.lists(spans(), min_size=1, max_size=6), margin=st.one_of(st.none(), VALUES))
def test_places_keep_the_order_of_the_numbers(drawn: list[Span], margin: float | None) -> None:
    """A bar on the wrong side of zero would say the opposite of its numbers."""
    for span, bar in zip(drawn, interval_bars(drawn, margin), strict=True):
        assert (bar is None) == (span.value is None)
        if bar is None or span.value is None:
            continue
        assert bar.value is not None
        assert 0 <= bar.low <= bar.value <= bar.high <= WIDTH
        assert (bar.value - bar.zero) * span.value >= 0
        if margin is not None and bar.margin is not None:
            assert (bar.value - bar.margin) * (span.value - margin) >= 0


@given(drawn=st.lists(spans(), min_size=1, max_size=6))
def test_an_end_off_the_scale_is_marked_as_going_on(drawn: list[Span]) -> None:
    """An unknown end drawn as a closed one would promise a bound that nobody showed."""
    for span, bar in zip(drawn, interval_bars(drawn), strict=True):
        if bar is not None:
            assert bar.cut_low or span.low is not None
            assert bar.cut_high or span.high is not None


def test_one_wide_interval_does_not_flatten_the_others() -> None:
    """A new candidate's first interval spans everything; the others must stay readable."""
    narrow, wide = interval_bars([Span(-0.01, -0.03, 0.01), Span(0.0, -500.0, 500.0)])
    assert narrow is not None
    assert wide is not None
    assert narrow.high - narrow.low > 0.15 * WIDTH
    assert wide.cut_low
    assert wide.cut_high


def test_half_and_double_are_equally_far_from_no_change() -> None:
    """Ratios are symmetric by their logarithms; on a plain scale savings would look small."""
    half, double = interval_bars([Span(-0.5, -0.6, -0.4), Span(1.0, 0.8, 1.2)], relative=True)
    assert half is not None
    assert double is not None
    assert half.value is not None
    assert double.value is not None
    assert abs((half.zero - half.value) - (double.value - double.zero)) <= 0.2


def test_nothing_known_draws_nothing() -> None:
    """Before the first mature epoch there is no scale."""
    assert interval_bars([Span(None, None, None)]) == [None]
    assert interval_bars([]) == []
