"""Champions under a new document: the file moves those that nobody promoted or set by hand since."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from experiments.definition.names import ancestors
from router.applying.plan_items import PlanItem
from router.config.document import Document
from router.deciding.tasks import DEFAULT_TASK
from storage.records import RouteRow

INHERITS = ""
"""Model of a row whose task names no champion any more: its parent's serves (router.deciding.snapshot.champion_of)."""
_DEEDS = {
    "promotion": "promoted",
    "rollback": "rolled back",
    "hand": "set by hand",
    "file": "set by the file",
}


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What becomes of one task's champion; `row` is None where nothing is written."""

    item: PlanItem | None
    row: RouteRow | None


def plan_routes(
    document: Document, rows: dict[str, RouteRow], now_ms: int, actor: str, reset: bool
) -> list[RoutePlan]:
    """A plan for every task that the document or the store names a champion for."""
    wanted = {DEFAULT_TASK: document.default} | {
        name: task.default for name, task in document.tasks.items() if task.default is not None
    }
    plans = [_named(task, model, rows.get(task), now_ms, actor, reset) for task, model in wanted.items()]
    plans += [_unnamed(row, now_ms, actor, reset) for task, row in rows.items() if task not in wanted]
    return plans


def relevant_tasks(document: Document) -> set[str]:
    """Tasks whose champion serves requests: the declared ones, their parents and the default."""
    return {DEFAULT_TASK}.union(*map(ancestors, document.tasks))


def _named(task: str, model: str, row: RouteRow | None, now_ms: int, actor: str, reset: bool) -> RoutePlan:
    subject = f"champion of {task}"
    if row is None:
        first = RouteRow(task, model, 0, "file", now_ms, actor, file_model=model)
        return RoutePlan(PlanItem("add", subject, model), first)
    if row.model == model:
        return _agreed(subject, row)
    if row.source == "file" or reset:
        item = PlanItem("change", subject, f"{row.model or 'inherited'} -> {model}")
        return RoutePlan(item, _moved(row, model, now_ms, actor))
    item = PlanItem("keep", subject, f"{row.model}, kept: {deed(row)} (file says {model})")
    return RoutePlan(item, replace(row, file_model=model) if row.file_model != model else None)


def _agreed(subject: str, row: RouteRow) -> RoutePlan:
    """The file names the champion that serves: from now on it may move it again."""
    if row.source == "file" and row.file_model == row.model:
        return RoutePlan(None, None)
    item = PlanItem("keep", subject, f"{row.model}, {deed(row)}; the file agrees now and owns it again")
    return RoutePlan(item, replace(row, source="file", file_model=row.model))


def _unnamed(row: RouteRow, now_ms: int, actor: str, reset: bool) -> RoutePlan:
    """The file names no champion for this task (any more)."""
    if row.model == INHERITS or not (row.source == "file" or reset):
        return RoutePlan(None, None)
    item = PlanItem("remove", f"champion of {row.task}", f"{row.model}; its parent's champion serves")
    return RoutePlan(item, _moved(row, INHERITS, now_ms, actor))


def _moved(row: RouteRow, model: str, now_ms: int, actor: str) -> RouteRow:
    return replace(
        row,
        model=model,
        source="file",
        changed_at_ms=now_ms,
        changed_by=actor,
        previous=row.model or row.previous,
        file_model=model or None,
    )


def deed(row: RouteRow) -> str:
    """How the champion came to be, as `promoted on 2026-11-20 by ann`."""
    day = datetime.fromtimestamp(row.changed_at_ms / 1000, UTC).date().isoformat()
    return f"{_DEEDS[row.source]} on {day} by {row.changed_by}"
