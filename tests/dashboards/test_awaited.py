"""A report without mature data: what is left out, what is awaited instead, and when a pace is none."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest

from dashboards.awaited import awaited
from dashboards.report_csv import render_csv
from dashboards.report_page import render_html
from dashboards.report_text import render_text
from experiments.report.document import Report
from tests.dashboards.conftest import Document
from tests.dashboards.reading import Page
from tests.dashboards.simulated_reports import HOUR_MS, PLANS, START_MS, simulate
from tests.experiments.looks import Arm, Trial, experiment

LEFT_OUT = ("Effects against", "Saved per day", "Other read-outs;", "Guardrails against", "served as")


@pytest.fixture(scope="module")
def newborn() -> Document:
    """The first report of an experiment."""
    document: Document = json.loads(simulate(replace(PLANS["not_ready"], epochs=0)).model_dump_json())
    return document


def words(document: Document) -> str:
    """What the report says it waits for."""
    return awaited(Report.model_validate(document))


def sections(document: Document) -> set[str | None]:
    """Names of the page's sections."""
    return {section.get("id") for section in Page(render_html(document)).all("section")}


def test_sections_without_a_figure_are_left_out(newborn: Document, documents: dict[str, Document]) -> None:
    """A screen of dashes hides that there is nothing to read yet."""
    early, late = render_text(newborn), render_text(documents["keep_running"])
    assert [heading for heading in LEFT_OUT if heading in early] == []
    assert [heading for heading in LEFT_OUT if heading not in late] == []
    assert len(early.splitlines()) < 60 < len(late.splitlines())
    gone = {"guardrails", "read-outs", "others", "money"}
    assert not gone & sections(newborn)
    assert gone <= sections(documents["keep_running"])
    assert "service-table" not in render_html(newborn)
    assert "service-table" in render_html(documents["keep_running"])


def test_the_table_keeps_every_column(newborn: Document, documents: dict[str, Document]) -> None:
    """Machines read the same columns from the first report to the last."""
    assert render_csv(newborn).splitlines()[0] == render_csv(documents["keep_running"]).splitlines()[0]


def test_one_sentence_says_what_is_awaited_and_when(newborn: Document) -> None:
    """The first epoch of two candidates closes at 100 units, of six at 120; the window is the declared one."""
    said = (
        "Effects, money and other read-outs follow with the first mature epoch: it closes at 100 units or after "
        "1 day, and its rewards are mature once the window of 10 minutes after that is over."
    )
    assert words(newborn) == said
    assert said in " ".join(render_text(newborn).split())
    assert said in Page(render_html(newborn)).text
    names = ("dear", "cheap", "mini", "tiny", "micro", "nano")
    six = Trial(experiment(*names))
    assert "at 120 units" in awaited(six.report(six.look(0), 0))


def test_after_the_first_epoch_the_window_alone_is_awaited() -> None:
    """The time is that of the report's own epochs, and none is given once it has passed."""
    trial = Trial(experiment()).epoch(Arm(300, 200), Arm(300, 200))
    soon = trial.report(trial.look(1), 1)
    assert soon.mature_units == 0
    assert awaited(soon).endswith("epoch's end is over, for the first by 2026-09-21 15:23 UTC.")
    overdue = soon.model_copy(update={"rendered_at_ms": START_MS + 9 * HOUR_MS})
    assert awaited(overdue).endswith("epoch's end is over.")
    assert awaited(trial.report(trial.look())) == ""


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("draft", "once it has started"),
        ("paused", "rewards are mature once the window of 10 minutes after an epoch's end"),
        ("stopped", "It ended before any reward was mature"),
    ],
)
def test_an_experiment_that_does_not_run_waits_for_something_else(
    newborn: Document, state: str, said: str
) -> None:
    """One that has ended would otherwise promise figures that never come."""
    changed = {**newborn, "state": state, "started_at_ms": None if state == "draft" else START_MS}
    assert said in words(changed)


def test_a_guardrail_with_a_figure_is_shown_before_rewards_are_mature(newborn: Document) -> None:
    """Harm is known when a call ends; hiding why a candidate went would be worse than dashes."""
    known = deepcopy(newborn)
    known["candidates"][1]["guardrails"][0] |= {"value": 0.4, "low": 0.1}
    assert "Guardrails against" in render_text(known)
    assert "guardrails" in sections(known)


@pytest.mark.parametrize(("minutes", "short"), [(0.2, True), (59, True), (60, False), (600, False)])
def test_a_run_shorter_than_an_hour_has_no_pace(
    minutes: float, short: bool, documents: dict[str, Document]
) -> None:
    """3,000 units in ten seconds are no 24.7 million a day."""
    run = deepcopy(documents["keep_running"]) | {"units": 3_000, "units_per_day": 3_000 * 1_440 / minutes}
    for text in (render_text(run, 200), Page(render_html(run)).text):
        assert ("too short to tell a pace" in text) == short
        assert (f"{run['units_per_day']:,.0f}" in text) != short


def test_an_hour_without_a_unit_is_a_pace_of_none(newborn: Document) -> None:
    """Nothing came, and that can be told; minutes after the start it cannot."""
    assert "0 units (0 mature), too short to tell a pace" in render_text(newborn, 200)
    later = {**newborn, "rendered_at_ms": START_MS + HOUR_MS}
    assert "0 units (0 mature), 0 a day" in render_text(later, 200)
