"""The report's page: it shows the whole document, hides nothing in markup, and runs nothing of its text."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, get_args

import pytest

from dashboards import wording
from dashboards.pages import STATIC
from dashboards.report_page import render_html
from experiments.report.document import CandidatePart, EffectPart, Report
from experiments.report.other_parts import OtherPart
from experiments.report.part import Part
from tests.dashboards.conftest import Document
from tests.dashboards.reading import (
    CANDIDATE_FIGURES,
    EFFECT_CORRECTED,
    EFFECT_ENDS,
    EFFECT_P,
    EFFECTS,
    OTHER_FIGURES,
    REPORT_FIGURES,
    Page,
    expected_figures,
    holds_figure,
    sentences,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)//",
    "&lt;b&gt; &amp;",
    "</code><style>*{display:none}</style>",
)


def number_paths(model: type[Part], prefix: str = "") -> Iterator[str]:
    """Paths of the numbers of a part and of the parts in it."""
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Part)), None)
        if inner is not None:
            yield from number_paths(inner, f"{prefix}{name}.")
        elif kinds & {float, int}:
            yield prefix + name


def test_each_simulated_experiment_reaches_the_verdict_it_was_made_for(
    documents: Mapping[str, Document],
) -> None:
    """All other tests here mean what they say only if the reports do."""
    assert {name: document["verdict"]["kind"] for name, document in documents.items()} == {
        name: name for name in documents
    }


def test_every_number_of_the_report_is_on_the_page(document: Document) -> None:
    """The page is the report; a figure that only the JSON has would be hidden from its reader."""
    text = Page(render_html(document)).text
    missing = [
        (where, figure) for where, figure in expected_figures(document) if not holds_figure(text, figure)
    ]
    assert missing == []


def test_every_sentence_of_the_report_is_on_the_page(document: Document) -> None:
    """Sentences carry the reasons; the reader gets each of them word for word."""
    text = Page(render_html(document)).text
    assert [sentence for sentence in sentences(document) if sentence not in text] == []


def test_no_number_field_of_the_report_is_forgotten_by_these_tests() -> None:
    """A field that is added to the document must be shown, or the law above would not know of it."""

    def numbers(model: type[Report | CandidatePart | EffectPart]) -> set[str]:
        fields = model.model_json_schema()["properties"]
        kinds: dict[str, list[object]] = {
            name: [part.get("type") for part in field.get("anyOf", [field])] for name, field in fields.items()
        }
        return {name for name, types in kinds.items() if {"number", "integer"} & set(map(str, types))}

    assert numbers(Report) - {"format"} == set(REPORT_FIGURES)
    assert numbers(CandidatePart) == set(CANDIDATE_FIGURES)
    assert numbers(EffectPart) == {*EFFECT_ENDS, *EFFECT_P, *EFFECT_CORRECTED}
    assert set(number_paths(OtherPart)) == set(OTHER_FIGURES)
    assert set(EFFECTS) == {name for name in CandidatePart.model_fields if name.endswith("_effect")}


def test_the_verdict_is_said_in_words_and_by_an_icon(document: Document) -> None:
    """Colour alone would leave out who cannot see it."""
    html = render_html(document)
    kind = document["verdict"]["kind"]
    shown = wording.VERDICTS[kind]
    assert shown.words in Page(html).text
    assert f'class="verdict {shown.tone}"' in html
    assert '<div class="seal"><svg class="icon"' in html


@pytest.mark.parametrize("standalone", [False, True])
def test_unknown_numbers_never_show_as_programmers_words(document: Document, standalone: bool) -> None:
    """`None` and `nan` are ours, not the reader's."""
    words = set(Page(render_html(document, standalone)).text.replace("(", " ").replace(")", " ").split())
    assert not words & {"None", "nan", "inf", "null", "undefined", "NaN", "True", "False"}


def test_a_report_without_any_number_is_still_a_page(documents: Mapping[str, Document]) -> None:
    """The first report of an experiment knows nothing yet."""
    empty = deepcopy(documents["not_ready"])
    empty["shares"] = {"numbers": [], "opened_at_ms": [], "shares": []}
    empty["rules"], empty["started_at_ms"], empty["state"] = [], None, "draft"
    for candidate in empty["candidates"]:
        for field in CANDIDATE_FIGURES:
            if field not in ("share", "units", "mature_units", "missing_feedback", "served_as_assigned"):
                candidate[field] = None
        for effect in EFFECTS:
            candidate[effect] = None
    text = Page(render_html(empty)).text
    assert "No epoch was opened yet" in text
    assert "not started" in text
    assert "not enough data" in text
    assert "None" not in text


@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("attack", HOSTILE)
def test_text_of_users_stays_text(attack: str, standalone: bool, documents: Mapping[str, Document]) -> None:
    """Names and sentences come from configurations and requests; none may become markup or script."""
    harmless = _with_text(documents["promote"], "word")
    page = Page(render_html(_with_text(documents["promote"], attack), standalone))
    allowed = Page(render_html(harmless, standalone))
    assert page.shapes() <= allowed.shapes()
    assert " ".join(attack.split()) in page.text
    assert len(page.inline) == len(allowed.inline)
    addresses = [attributes.get("href") for attributes in page.all("a")]
    assert addresses == [attributes.get("href") for attributes in allowed.all("a")]


def _with_text(document: Document, text: str) -> Document:
    """The report with every free text and name replaced or extended by `text`."""
    changed = deepcopy(document)
    for field in ("experiment", "task", "hypothesis", "ended_because", "reward_metric", "unit", "mode"):
        changed[field] = text
    changed["objective"] = changed["read_out"] = changed["state"] = text
    changed["verdict"] |= {"sentence": text, "would_change": text, "kind": text}
    changed["health"] |= {"alarm": text, "warnings": [text], "ok": False}
    for test in changed["health"]["sample_ratio"]:
        test["sentence"] = text
    names = {candidate["name"]: f"{candidate['name']}{text}" for candidate in changed["candidates"]}
    changed["control"] = names[changed["control"]]
    for rule in changed["rules"]:
        rule |= {"candidate": names[rule["candidate"]], "name": text, "sentence": text}
    for candidate in changed["candidates"]:
        candidate |= {"name": names[candidate["name"]], "dropped": text}
        for effect in EFFECTS:
            if candidate[effect]:
                candidate[effect]["fixed_method"] = text
    return changed


def test_a_served_page_keeps_to_the_strict_policy(document: Document) -> None:
    """`style-src 'self'; script-src 'self'`: one inline style or script and the browser drops it."""
    page = Page(render_html(document))
    assert page.all("style") == []
    assert page.inline == []
    for tag, attributes in page.elements:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag


def test_a_page_refers_to_nothing_elsewhere(document: Document) -> None:
    """A report must open on a plane, and tell no one that it was opened."""
    for standalone in (False, True):
        html = render_html(document, standalone)
        page = Page(html)
        linked = [attributes.get(name) or "" for _, attributes in page.elements for name in ("href", "src")]
        assert not [address for address in linked if "://" in address or address.startswith("//")]
        assert "http://" not in html
        assert "https://" not in html
        assert "url(" not in html
        assert "@import" not in html


def test_linked_files_are_in_the_package(documents: Mapping[str, Document]) -> None:
    """A page without its style sheet is bare."""
    page = Page(render_html(documents["promote"]))
    linked = [attributes.get(name) or "" for _, attributes in page.elements for name in ("href", "src")]
    files = [address.split("?")[0] for address in linked if address.startswith("/static/")]
    assert len(files) == 3
    assert all((STATIC / name.removeprefix("/static/")).is_file() for name in files)


def test_a_saved_page_carries_its_style_and_script(documents: Mapping[str, Document]) -> None:
    """The file is sent by mail and opened anywhere."""
    page = Page(render_html(documents["promote"], standalone=True))
    assert len(page.all("style")) == 1
    assert len(page.all("script")) == 1
    assert [link for link in page.all("link") if not str(link.get("href")).startswith("data:")] == []
    assert any("prefers-color-scheme" in text for text in page.inline)


def test_only_a_running_experiment_refreshes_itself(documents: Mapping[str, Document]) -> None:
    """What has ended does not change; polling it forever is noise."""
    running = documents["keep_running"]
    assert "data-live" in render_html(running)
    assert "data-live" not in render_html(running, standalone=True).split("<script>")[0]
    assert "data-live" not in render_html({**running, "state": "stopped"})


def test_figures_that_do_not_count_are_greyed_with_the_reason(documents: Mapping[str, Document]) -> None:
    """A classical p under moving shares misleads whoever finds it unmarked."""
    moved = {**documents["promote"], "fixed_valid": False, "fixed_reached": True}
    early = {**documents["promote"], "fixed_valid": True, "fixed_reached": False, "fixed_units_per_arm": 7654}
    counts = {**documents["promote"], "fixed_valid": True, "fixed_reached": True}
    assert "shares moved" in Page(render_html(moved)).text
    assert "needs 7,654 mature units" in Page(render_html(early)).text
    for doubtful in (moved, early):
        assert 'class="n greyed"' in render_html(doubtful)
    assert "greyed" not in render_html(counts)


def test_the_page_is_made_for_keyboards_and_screen_readers(document: Document) -> None:
    """Headers with scopes, named drawings, one main heading, unique ids, regions that take the focus."""
    page = Page(render_html(document))
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert page.all("html")[0]["lang"] == "en"
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (
            drawing.get("role") == "img" and drawing["aria-label"]
        )
    for _, attributes in page.elements:
        for name in ("aria-labelledby",):
            assert name not in attributes or attributes[name] in ids
        if "scroll" in (attributes.get("class") or "").split():
            assert attributes.get("tabindex") == "0"
            assert attributes.get("role") == "region"


def test_a_document_of_another_shape_is_refused(documents: Mapping[str, Document]) -> None:
    """Half a page of a report nobody understands is worse than an error that names the field."""
    with pytest.raises(ValueError, match="format"):
        render_html({**documents["promote"], "format": 2})


def test_the_page_survives_extreme_numbers(documents: Mapping[str, Document]) -> None:
    """Early intervals of ratios can be absurdly wide; the page must still be drawn."""
    wild: dict[str, Any] = deepcopy(documents["promote"])
    effect = wild["candidates"][1]["reward_per_cost_effect"]
    effect |= {"value": 1e6, "low": -1.0, "high": 1e300, "fixed_low": None, "fixed_high": 1e300}
    wild["candidates"][1]["cost_usd"] = 5e-324
    wild["candidates"][2]["cost_effect"] |= {"low": None, "high": None}
    wild = json.loads(json.dumps(wild))
    page = Page(render_html(wild))
    assert "at most +1e+302%" in page.text
    for line in page.all("line"):
        assert all(0 <= float(line[name] or "nan") <= 1100 for name in ("x1", "x2", "y1", "y2"))
