"""Routes that only read: experiments, reports, routes, traffic, audit, export, metrics, keys."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse

from api.admin.access import Admin, Viewer, With
from api.admin.answers import (
    audit_line,
    experiment_answers,
    explained,
    key_entry,
    mix_entry,
    one_experiment,
    route_entry,
    traffic_lines,
)
from api.admin.pages import ReportFormat, preferred, rendered
from api.admin.route_schemas import ExplainAnswer, RouteBody
from api.admin.schemas import (
    AuditList,
    ExperimentAnswer,
    ExperimentList,
    KeyList,
    RouteList,
    TrafficList,
)
from api.admin.stories import DecisionStory, decision_story
from api.serving import metrics
from experiments.planning.days import Plan
from router.clock import machine_clock
from router.steering.planned import planned
from storage.exported import ExportKind

router = APIRouter()
_LINES_AT_ONCE = 500
_REPORT_ANSWERS: dict[int | str, dict[str, Any]] = {  # reason: FastAPI's own type for it
    200: {"content": {kind: {} for kind in ("text/html", "text/plain", "text/csv")}}
}


@router.get("/v1/experiments", tags=["reading"])
def list_experiments(_: Viewer, services: With) -> ExperimentList:
    """All experiments, the newest first."""
    return ExperimentList(experiments=experiment_answers(services.store))


@router.get("/v1/experiments/{name}", tags=["reading"])
def read_experiment(name: str, _: Viewer, services: With) -> ExperimentAnswer:
    """One experiment in any state, with its definition and shares."""
    return one_experiment(services.store, services.control.experiment(name))


@router.get("/v1/experiments/{name}/report", tags=["reading"], responses=_REPORT_ANSWERS)
def read_report(
    name: str,
    _: Viewer,
    services: With,
    accept: Annotated[str, Header()] = "",
    format: Annotated[ReportFormat | None, Query()] = None,  # noqa: A002  # its name in the URL
) -> Response:
    """The newest report, or the one an ended experiment was decided on; its format follows `Accept`."""
    report = services.control.report(name)
    return rendered(report.body, format or preferred(accept))


@router.get("/v1/experiments/{name}/power", tags=["reading"])
def read_power(
    name: str, _: Viewer, services: With, units_per_day: Annotated[float | None, Query()] = None
) -> Plan:
    """Units and days to a verdict, at the experiment's own pace or at `units_per_day` units of its task.

    It rests on the plan that the planner keeps of every draft and renews with every report.
    """
    return planned(services.store, name, units_per_day)


@router.get("/v1/routes", tags=["reading"])
def list_routes(_: Viewer, services: With) -> RouteList:
    """Every declared task and the model that serves it outside experiments, the default first."""
    routes = [route_entry(*entry) for entry in services.control.routes()]
    return RouteList(
        routes=routes, mix=mix_entry(services.store, metrics.tiers_of(services.counters.totals()))
    )


@router.post("/v1/explain", tags=["reading"])
def explain(body: RouteBody, _: Viewer, services: With) -> ExplainAnswer:
    """Which model a request would get now, and why; nothing is decided or recorded.

    A body rather than a query: prompts do not belong into URLs, which are logged.
    """
    asked = body.model_dump(exclude_none=True, exclude_unset=True)
    return explained(services.store, asked, machine_clock())


@router.get("/v1/traffic", tags=["reading"])
def read_traffic(_: Viewer, services: With) -> TrafficList:
    """Recorded decisions by task, experiment and reason."""
    experiments = services.store.state().experiments
    return TrafficList(traffic=traffic_lines(services.store.traffic(), experiments))


@router.get("/v1/audit", tags=["reading"])
def read_audit(_: Viewer, services: With, limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> AuditList:
    """Who changed what, when and why; the newest first."""
    return AuditList(entries=[audit_line(entry) for entry in services.store.audit(limit)])


@router.get("/v1/decisions/{decision_id}", tags=["reading"])
def read_decision(decision_id: str, _: Viewer, services: With) -> DecisionStory:
    """One decision: what was decided and why, every attempt, what came back, what was reported."""
    return decision_story(services.store, decision_id)


@router.get("/v1/export", tags=["reading"], response_class=StreamingResponse)
def export(
    _: Viewer, services: With, kind: ExportKind = "decisions", experiment: str | None = None
) -> StreamingResponse:
    """Rows of the ledger as one JSON object a line; units stand as digests."""
    experiment_id = None if experiment is None else services.control.experiment(experiment).id
    rows = services.store.export(kind, experiment_id)
    return StreamingResponse(_lines(rows), media_type="application/x-ndjson")


@router.get("/v1/keys", tags=["keys"])
def list_keys(_: Admin, services: With) -> KeyList:
    """All keys, revoked ones too, without their secrets."""
    return KeyList(keys=[key_entry(row) for row in services.store.state().keys])


@router.get("/metrics", tags=["health"], response_class=Response)
def read_metrics(_: Viewer, services: With) -> Response:
    """Counters of all workers and of the ledger in Prometheus' text format."""
    text = metrics.render(
        services.counters.totals(), services.store.traffic(), services.store.state().experiments
    )
    return Response(text, headers={"content-type": metrics.CONTENT_TYPE})


def _lines(rows: Iterator[dict[str, object]]) -> Iterator[bytes]:
    """Rows as lines, several hundred at once."""
    for first in rows:
        part = chain((first,), islice(rows, _LINES_AT_ONCE - 1))
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in part)
