"""A holdback on page, in text, in the table for spreadsheets and in the overview: words of a watch everywhere."""

import csv
from io import StringIO

import pytest

from dashboards import index_page
from dashboards.next_steps import next_steps
from dashboards.report_csv import render_csv
from dashboards.report_page import render_html
from dashboards.report_text import render_text
from experiments.report.document import Report
from tests.dashboards.reading import Page
from tests.experiments.looks import Arm, Trial, experiment

OLD = Arm(100, 80)
CASES = {
    "promote": (Arm(100, 82, cost_usd=0.005), 40, {}, "Holds: cheap"),
    "keep_running": (OLD, 8, {}, "Keep watching: cheap"),
    "roll_back": (Arm(100, 50), 40, {}, "Regression, roll back"),
    "stop_futile": (OLD, 400, {"mde": 0.05}, "No gain left to keep"),
    "inconclusive": (OLD, 8, {"max_units": 1_000}, "No regression seen"),
    "not_ready": (OLD, 0, {}, "Not ready"),
}


def report(kind: str, name: str = "cheaper~holdback") -> Report:
    """The report of a watch that comes to this verdict."""
    arm, epochs, decision, _ = CASES[kind]
    made = Trial(experiment(mode="ab", name=name, decision=decision), watching="~" in name)
    found = made.epochs_of(epochs, OLD, arm).look()
    assert found.verdict.kind == kind
    return made.report(found)


@pytest.mark.parametrize("kind", CASES)
def test_no_rendering_of_a_holdback_speaks_of_a_promotion(kind: str) -> None:
    """Its candidate is the champion: whoever reads "Promote" would look for something to do."""
    found, title = report(kind), CASES[kind][3]
    given = found.model_dump()
    texts = (Page(render_html(given)).text, render_text(given))
    for text in texts:
        assert "promot" not in text.lower()
        assert title.lower() in text.lower()
    assert not any("promote" in step.command for step in next_steps(found))
    row = next(csv.DictReader(StringIO(render_csv(given))))
    assert (row["verdict"], row["verdict_title"]) == (kind, title)


def test_an_experiment_before_its_promotion_keeps_its_own_words() -> None:
    """The same evidence asks for an action there."""
    given = report("promote", "cheaper").model_dump()
    assert "PROMOTE CHEAP" in render_text(given)
    assert "Rules of promotion" in Page(render_html(given)).text
    assert next(csv.DictReader(StringIO(render_csv(given))))["verdict_title"] == "Promote cheap"


def test_the_overview_shows_that_a_holdback_holds() -> None:
    """The kind on the wire is the same for both; the badge is not."""
    entry = {"task": "support", "state": "running", "verdict": "promote", "leader": "cheap"}
    text = Page(index_page.render_html([{**entry, "name": "cheaper~holdback"}], [])).text
    assert "Holds" in text
    assert "Promote" not in text
    assert "Promote" in Page(index_page.render_html([{**entry, "name": "cheaper"}], [])).text
