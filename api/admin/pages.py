"""Pages and other renderings for people, with the headers that keep a browser from doing anything else.

The renderers are imported when the first page is asked for: most workers never show one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, assert_never

import orjson
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from api.admin.access import Viewer, With
from api.admin.answers import experiment_answers, mix_entry, route_entry
from api.serving.metrics import tiers_of

ReportFormat = Literal["json", "html", "text", "csv"]
STATIC = Path(__file__).resolve().parents[2] / "dashboards" / "static"
PAGE_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_TYPES: Mapping[str, ReportFormat] = {
    "application/json": "json",
    "text/html": "html",
    "text/plain": "text",
    "text/csv": "csv",
}
router = APIRouter()
static = StaticFiles(directory=STATIC, check_dir=False)


@router.get("/", tags=["pages"], response_class=HTMLResponse)
def index(_: Viewer, services: With) -> HTMLResponse:
    """The page of all experiments and routes."""
    from dashboards.index_page import render_html

    answers = experiment_answers(services.store)
    experiments = [answer.model_dump(mode="json", by_alias=True) for answer in answers]
    routes = [route_entry(*entry).model_dump(mode="json") for entry in services.control.routes()]
    mix = mix_entry(services.store, tiers_of(services.counters.totals()))
    page = render_html(experiments, routes, None if mix is None else mix.model_dump(mode="json"))
    return HTMLResponse(page, headers=PAGE_HEADERS)


@router.get("/docs", include_in_schema=False)
def documentation(_: Viewer) -> HTMLResponse:
    """The interactive page of this API; everything it loads comes from here."""
    return HTMLResponse((STATIC / "docs.html").read_text("utf-8"), headers=PAGE_HEADERS)


def rendered(body: str, form: ReportFormat) -> Response:
    """A stored report in one of its formats."""
    match form:
        case "json":
            return Response(body, media_type="application/json")
        case "html":
            from dashboards.report_page import render_html

            return HTMLResponse(render_html(orjson.loads(body)), headers=PAGE_HEADERS)
        case "text":
            from dashboards.report_text import render_text

            return Response(render_text(orjson.loads(body)), media_type="text/plain; charset=utf-8")
        case "csv":
            from dashboards.report_csv import render_csv

            return Response(render_csv(orjson.loads(body)), media_type="text/csv; charset=utf-8")
        case _:
            assert_never(form)


def preferred(accept: str) -> ReportFormat:
    """The format that an `Accept` header likes best; JSON where it does not care.

    >>> preferred("text/html,application/xhtml+xml,*/*;q=0.8"), preferred("*/*")
    ('html', 'json')
    """
    best: ReportFormat = "json"
    best_weight = 0.0
    for part in accept.split(",")[:50]:
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        form = _TYPES.get(kind)
        weight = _weight(parameters)
        if form is not None and weight > best_weight:
            best, best_weight = form, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
