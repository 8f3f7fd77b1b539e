"""Objectives of money and drift in the renderings: what is declared, what it brought, what changed."""

import json

import pytest

from dashboards.report_csv import render_csv
from dashboards.report_page import render_html
from dashboards.report_text import render_text
from tests.dashboards.reading import Page
from tests.experiments.looks import Arm, Trial, experiment

SHIFT = ((20, Arm(200, 140), Arm(200, 140)), (20, Arm(200, 140), Arm(200, 90)))


def document(*spans: tuple[int, Arm, Arm], **fields: object) -> dict[str, object]:
    """The report of a look after these spans."""
    trial = Trial(experiment(**fields))
    for times, *arms in spans:
        trial.epochs_of(times, *arms)
    parsed: dict[str, object] = json.loads(trial.report(trial.look()).model_dump_json())
    return parsed


NET = document(
    (10, Arm(500, 400, 0.010), Arm(500, 450, 0.012)), objective={"kind": "net_value", "value_usd": 0.05}
)


def test_net_value_is_shown_with_its_value_and_as_dollars_of_a_thousand_requests() -> None:
    """45 cents times .9 less 1.2 cents is 33 dollars; text, page and table say the same."""
    text, page, table = render_text(NET), Page(render_html(NET)).text, render_csv(NET)
    for shown in (text, page):
        assert "net value, a unit of reward being worth $0.0500" in " ".join(shown.split())
        assert "$33.00" in shown
        assert "+$3.00" in shown, "against the control"
    assert "Net value of 1,000 requests" in page
    header, _, cheap = table.splitlines()
    cells = dict(zip(header.split(","), cheap.split(","), strict=False))
    assert float(cells["net_value_per_1000_usd"]) == pytest.approx(33.0)
    assert "net_value_effect_value" in cells


def test_a_budget_is_shown_with_what_was_spent() -> None:
    """Declared, and kept or not."""
    report = document(
        (10, Arm(500, 400, 0.010), Arm(500, 450, 0.006)), objective={"kind": "budget", "budget_usd": 0.009}
    )
    for shown in (render_text(report), Page(render_html(report)).text):
        assert "budget of $0.00900 per request" in " ".join(shown.split())
        assert "$0.00800" in shown
        assert "Within the budget" in shown


def test_other_objectives_have_no_columns_of_money() -> None:
    """A column of dashes asks a question."""
    report = document((10, Arm(500, 400), Arm(500, 400)))
    assert "Net value" not in Page(render_html(report)).text
    assert "net value" not in render_text(report)


def test_drift_is_a_warning_on_every_page() -> None:
    """With size, error, span and remedy."""
    report = document(*SHIFT, mode="earn", objective={"kind": "reward"})
    for shown in (render_text(report), Page(render_html(report)).text):
        words = " ".join(shown.replace("−", "-").split())  # noqa: RUF001  # pages typeset the minus
        assert "dear or cheap changed" in words
        assert "newest 20 epochs" in words
        assert "restart the experiment" in words
