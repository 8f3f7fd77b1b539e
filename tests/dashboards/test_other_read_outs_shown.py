"""Other read-outs on the page, in the text and in the table: every figure, folded away, harmless."""

import csv
import json
from io import StringIO

import pytest

from dashboards.other_read_outs import other_read_outs
from dashboards.report_csv import render_csv
from dashboards.report_page import render_html
from dashboards.report_text import render_text
from experiments.report.document import Report
from tests.dashboards.conftest import Document
from tests.dashboards.reading import OTHER_FIGURES, Page, expected_figures, holds_figure, sentences
from tests.experiments.looks import Arm, Trial, experiment
from tests.experiments.scored_units import scored


def document_of(trial: Trial) -> Document:
    """The report of a trial as renderings get it."""
    document: Document = json.loads(trial.report(trial.look()).model_dump_json())
    return document


def bounded() -> Trial:
    """Covariates, clipped rewards, capped costs."""
    fields = {
        "reward": {"kind": "score", "range": [0.0, 0.6], "outside": "clip"},
        "objective": {"cost_cap_usd": 0.01}, "decision": {"mde": 0.02, "adjust": "covariate"},
    }  # fmt: skip
    return scored(Trial(experiment(**fields)), 8, 4, slope=0.5, cap=0.01, clip=(0.0, 0.6))


def strict() -> Trial:
    """Exact tests that decide."""
    return Trial(experiment(decision={"read_out": "strict"})).epochs_of(10, Arm(200, 8), Arm(200, 9))


def disagreeing() -> Trial:
    """Feedback at different rates, an effect that changes, two candidates."""
    trial = Trial(experiment("dear", "cheap", "mini")).epochs_of(3, *[Arm(500, 250)] * 3)
    return trial.epochs_of(20, Arm(500, 400), Arm(500, 160, rated=200), Arm(500, 300))


MADE = {"bounded": bounded, "strict": strict, "disagreeing": disagreeing}


@pytest.fixture(params=sorted(MADE), scope="module")
def shown(request: pytest.FixtureRequest) -> Document:
    """Reports with read-outs that the plain ones do not have."""
    return document_of(MADE[request.param]())


def test_the_examples_have_every_read_out_between_them() -> None:
    """A figure that none of them has would be in no test of this file."""
    documents = [document_of(make()) for make in MADE.values()]
    missing = []
    for path in OTHER_FIGURES:
        found = [one["other"] for document in documents for one in document["candidates"] if one["other"]]
        for step in path.split("."):
            found = [each[step] for each in found if each is not None]
        if all(each is None for each in found):
            missing.append(path)
    assert missing == []


def test_every_figure_and_sentence_is_on_the_page_and_in_the_text(shown: Document) -> None:
    """Folded away is not hidden: search and screen readers find it."""
    for text in (Page(render_html(shown)).text, " ".join(render_text(shown, 400).split())):
        assert [each for each in expected_figures(shown) if not holds_figure(text, each[1])] == []
        assert [each for each in sentences(shown) if " ".join(each.split()) not in text] == []


def test_each_candidate_has_a_section_of_its_own_and_only_a_disagreement_opens_it(shown: Document) -> None:
    """The page stays short; a cross-check that disagrees must be seen."""
    report = Report.model_validate(shown)
    folded = [each for each in Page(render_html(shown)).all("details") if "others" in str(each.get("class"))]
    found = other_read_outs(report)
    doubtful = [any(line.doubtful for line in each.lines) for each in found]
    assert ["open" in each for each in folded[: len(found)]] == doubtful
    assert len(found) == len(report.candidates) - 1


def test_a_disagreeing_cross_check_is_marked_in_words() -> None:
    """Colour alone would leave out who cannot see it."""
    page = Page(render_html(document_of(disagreeing())))
    assert "a cross-check disagrees" in page.text
    assert "a cross-check disagrees" not in Page(render_html(document_of(strict()))).text


def test_the_table_has_a_column_for_each_read_out_with_the_exact_number(shown: Document) -> None:
    """The same columns for every report; empty where there is nothing."""
    rows = list(csv.DictReader(StringIO(render_csv(shown), newline="")))
    for row, candidate in zip(rows, shown["candidates"], strict=True):
        for path in OTHER_FIGURES:
            value = candidate["other"]
            for step in path.split("."):
                value = value and value[step]
            assert row["other_" + path.replace(".", "_")] == ("" if value is None else repr(value))


def test_names_of_candidates_stay_text_in_these_lines() -> None:
    """They come from configurations and must not become markup."""
    document = document_of(bounded())
    document["candidates"][0]["name"] = "<b>bold</b>"
    page = Page(render_html(document))
    assert "<b>bold</b>: reward as reported" in page.text


def test_the_text_keeps_to_its_width(shown: Document) -> None:
    """Long notes wrap."""
    before, _, after = render_text(shown, 72).partition("\nNext step\n")
    prose = before + after.partition("\nCandidates\n")[2]
    assert max(map(len, prose.splitlines())) <= 72
