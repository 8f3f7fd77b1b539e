"""The judgement of a classifier, drawn and set: every figure is there, whatever is missing."""

import re

import pytest

from dashboards.classification_page import render_judgement_page
from dashboards.classification_text import render_judgement
from dashboards.risk_chart import risk_chart
from evaluation.classification.judged import judge
from evaluation.classification.labels import Labels
from evaluation.classification.outcome import Judgement
from tests.evaluation.labelled import labelled, trained


def judged(**changes: object) -> Judgement:
    """A judgement on new texts, some of them out of scope."""
    found = judge(trained(), labelled(each=30, seed=7, out_of_scope=True))
    return found.model_copy(update=changes)


EMPTY = judge(trained(), Labels(("unknown words only", "and more of them"), ("nobody", "default")))


@pytest.mark.parametrize("width", [1040.0, 340.0])
def test_the_curve_stays_within_its_drawing_and_ends_at_all_texts(width: float) -> None:
    """Coverage runs to the right, error upwards; the last point is every text."""
    judgement = judged()
    chart = risk_chart(judgement, width, 240.0)
    assert chart is not None
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+),([\d.]+)", chart.path)]
    assert len(points) == len(judgement.curve)
    assert all(chart.left <= x <= chart.right + 0.1 and chart.top <= y <= chart.bottom for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[-1][0] == pytest.approx(chart.right, abs=0.1)
    assert chart.here is not None
    assert chart.up[0].text == "0%"


def test_text_and_page_show_every_figure_at_any_width() -> None:
    """What the JSON says, people read too."""
    judgement = judged()
    page, text = render_judgement_page(judgement, "m.json", "l.csv"), render_judgement(judgement, 80)
    for task in judgement.tasks:
        assert task.task in text
        assert task.task in page
        assert f"{task.f1:.3f}" in text
    assert judgement.digest in text
    assert judgement.digest in page
    for width in (60, 100, 200):
        assert max(map(len, render_judgement(judgement, width).splitlines())) <= width


def test_without_a_text_in_scope_nothing_is_made_up() -> None:
    """A dash and words, never 0% or 100% of nothing."""
    assert (EMPTY.accuracy, EMPTY.macro_f1, EMPTY.coverage, EMPTY.curve) == (None, None, None, ())
    assert risk_chart(EMPTY, 340.0, 240.0) is None
    assert "No text is in scope" in render_judgement_page(EMPTY, "m.json", "l.csv")
    assert "2 texts, 0 of them in scope" in render_judgement(EMPTY)


def test_names_of_files_cannot_write_into_the_page() -> None:
    """Files are named by anybody."""
    assert "<script>alert" not in render_judgement_page(EMPTY, "<script>alert(1)</script>", "<b>")
