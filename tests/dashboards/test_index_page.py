"""The overview: experiments, routes, and a first step where there is nothing yet."""

from typing import Any

import pytest

from dashboards.index_page import render_html
from tests.dashboards.reading import Page
from tests.dashboards.test_report_page import HOSTILE

Entry = dict[str, Any]  # reason: parsed JSON


def experiment(**changes: object) -> Entry:
    """One experiment as the API lists it, with keys the page does not need."""
    shares = [
        {"candidate": "sonnet", "share": 0.2, "dropped": False},
        {"candidate": "haiku", "share": 0.8, "dropped": False},
        {"candidate": "tiny", "share": 0.0, "dropped": True},
    ]
    return {
        "name": "billing-cheaper", "task": "support/billing", "state": "running", "mode": "earn", "unit": "request",
        "control": "sonnet", "epoch": 4, "shares": shares, "version": 3, "created_at_ms": 1, "ended_because": "",
        "started_at_ms": 1_790_000_000_000, "ended_at_ms": None, "predecessor": None,
    } | changes  # fmt: skip


def route(**changes: object) -> Entry:
    """One route as the API lists it."""
    return {
        "task": "support/billing", "champion": "haiku", "own": True, "version": 2, "source": "promotion",
        "changed_at_ms": 1_790_000_000_000, "changed_by": "ada", "previous": "sonnet",
    } | changes  # fmt: skip


def test_an_experiment_shows_where_it_stands_and_links_to_its_report() -> None:
    """The overview answers "what runs, and is anything decided?"."""
    html = render_html([experiment(verdict="promote", leader="haiku", units=21500)], [route()])
    page = Page(html)
    for words in ("billing-cheaper", "support/billing", "Running", "Promote", "haiku", "21,500", "80.0%"):
        assert words in page.text
    assert "/v1/experiments/billing-cheaper/report?format=html" in [
        link.get("href") for link in page.all("a")
    ]


def test_an_experiment_without_report_yet_is_listed_too() -> None:
    """The planner writes the first report some seconds after the start."""
    page = Page(render_html([experiment(state="draft", started_at_ms=None)], []))
    assert "Draft" in page.text
    assert "None" not in page.text


def test_a_route_shows_who_set_it_and_what_it_was() -> None:
    """The way back must be visible before it is needed."""
    text = Page(
        render_html([], [route(), route(task="support", own=False, source=None, changed_by=None)])
    ).text
    assert "promotion by ada" in text
    assert "2026-09-21 14:13 UTC" in text
    assert "sonnet" in text
    assert "from its parent" in text


def test_an_empty_store_tells_the_first_step() -> None:
    """The first page a new user sees must lead on."""
    page = Page(render_html([], []))
    for command in (
        "pointsman validate",
        "pointsman plan",
        "pointsman apply",
        "pointsman start",
        "pointsman demo",
    ):
        assert command in page.text


@pytest.mark.parametrize("attack", HOSTILE)
def test_names_stay_text_and_links_stay_links(attack: str) -> None:
    """Names of experiments become part of an address."""

    def page_of(word: str) -> Page:
        shares = [{"candidate": word, "share": 1.0}]
        one = experiment(
            name=word, task=word, verdict=word, leader=word, ended_because=word, state=word, shares=shares
        )
        return Page(
            render_html([one], [route(task=word, champion=word, source=word, changed_by=word, previous=word)])
        )

    page, harmless = page_of(attack), page_of("word")
    assert page.shapes() <= harmless.shapes()
    assert " ".join(attack.split()) in page.text
    for link in page.all("a"):
        assert str(link["href"]).startswith(("/", "#"))
        assert not set(str(link["href"])) & set("<>\"' ")


def test_the_overview_keeps_to_the_strict_policy() -> None:
    """The same policy as for reports, on the page that everyone opens."""
    page = Page(render_html([experiment()], [route()]))
    assert page.inline == []
    assert not [tag for tag, attributes in page.elements if "style" in attributes or tag == "style"]
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    assert len(page.all("h1")) == 1


def test_it_refreshes_only_while_something_runs() -> None:
    """A quiet overview needs no polling."""
    assert "data-live" in render_html([experiment()], [])
    assert "data-live" not in render_html([experiment(state="stopped")], [])


def test_the_strip_of_shares_fills_its_width() -> None:
    """It is a picture of all traffic."""
    page = Page(render_html([experiment()], []))
    strips = [shape for shape in page.all("rect") if "x" in shape]
    assert [float(shape["x"] or 0) for shape in strips] == [0.0, 24.0, 120.0]
    assert sum(float(shape["width"] or 0) for shape in strips) == pytest.approx(120.0)
