"""The chart of shares: areas that fill the whole, labels that can be read."""

import re
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.share_chart import LABEL_HEIGHT, ShareChart, share_chart, table_rows
from experiments.report.document import SharesPart


def shares_of(epochs: int, arms: int, seed: int, drop: int | None = None) -> SharesPart:
    """A history of shares that sum to one."""
    rows = np.random.default_rng(seed).dirichlet(np.ones(arms), epochs)
    if drop is not None and arms > 1:
        rows[-1, drop % arms] = 0
        rows[-1] /= rows[-1].sum()
    return SharesPart(
        numbers=tuple(range(1, epochs + 1)),
        opened_at_ms=tuple(range(epochs)),
        shares=tuple(tuple(row) for row in rows.tolist()),
    )


def drawn(shares: SharesPart, arms: int, labelled: bool = True) -> ShareChart:
    """The chart of a history that has epochs."""
    chart = share_chart(shares, [f"model-{arm}" for arm in range(arms)], 1000.0, 300.0, labelled=labelled)
    assert chart is not None
    return chart


def corners(path: str) -> list[tuple[float, float]]:
    """Corners of an area."""
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


histories = st.builds(
    shares_of,
    epochs=st.integers(1, 60),
    arms=st.integers(2, 20),
    seed=st.integers(0, 2**32 - 1),
    drop=st.one_of(st.none(), st.integers(0, 19)),
)


@settings(max_examples=40)
@given(shares=histories)
def test_the_areas_fill_the_chart_without_overlap(shares: SharesPart) -> None:
    """Shares sum to one in every epoch, and so must their areas; one gap and the drawing lies."""
    chart = drawn(shares, len(shares.shares[0]))
    sides = [corners(band.path) for band in chart.bands]
    steps = 2 * len(shares.numbers)
    for step in range(steps):
        bottoms_and_tops = [(area[2 * steps - 1 - step], area[step]) for area in sides]
        assert abs(bottoms_and_tops[0][0][1] - chart.bottom) <= 0.1
        assert abs(bottoms_and_tops[-1][1][1] - chart.top) <= 0.1
        for (_, top), (bottom, _) in pairwise(bottoms_and_tops):
            assert abs(top[1] - bottom[1]) <= 0.1


@settings(max_examples=40)
@given(shares=histories)
def test_labels_do_not_cover_each_other(shares: SharesPart) -> None:
    """Thin bands lie close together; their names must not."""
    chart = drawn(shares, len(shares.shares[0]))
    places = sorted(label.at for label in chart.labels)
    assert all(below - above >= LABEL_HEIGHT - 0.2 for above, below in pairwise(places))
    assert all(chart.top <= place <= chart.bottom for place in places)


@settings(max_examples=40)
@given(shares=histories, first=st.integers(1, 5000))
def test_a_handful_of_epochs_is_named_along_the_bottom(shares: SharesPart, first: int) -> None:
    """Too many numbers are unreadable, none leave the axis without meaning."""
    moved = shares.model_copy(update={"numbers": tuple(number + first for number in shares.numbers)})
    chart = drawn(moved, len(shares.shares[0]))
    assert 1 <= len(chart.across) <= 9
    assert chart.across[0].text == str(first + 1)
    assert all(chart.left <= mark.at <= chart.right for mark in chart.across)


def test_a_candidate_without_traffic_has_no_label() -> None:
    """Its band has no height to point at; the legend still names it."""
    chart = drawn(shares_of(5, 3, 1, drop=1), 3)
    assert [label.text.split()[0] for label in chart.labels] == ["model-0", "model-2"]


def test_the_table_beside_the_chart_has_first_and_newest_epoch() -> None:
    """Thinning must not lose the share that is in force now."""
    rows = table_rows(shares_of(300, 2, 1))
    assert rows[0] == 0
    assert rows[-1] == 299
    assert len(rows) == 40
    assert table_rows(shares_of(1, 2, 1)) == [0]


def test_before_the_first_epoch_there_is_no_chart() -> None:
    """A draft has no shares yet."""
    assert (
        share_chart(SharesPart(numbers=(), opened_at_ms=(), shares=()), ["a"], 9.0, 9.0, labelled=True)
        is None
    )
