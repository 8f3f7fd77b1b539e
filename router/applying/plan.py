"""Plan and apply: what a document would change in the store, and that change as one transaction.

The store owns champions and the state of experiments; the file seeds an empty store and later only
proposes. A plan that may not happen as a whole does not happen at all.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b

from pydantic import ValidationError

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import LIVE, ExperimentState
from router.applying.plan_items import PlanItem, differences, setting_items
from router.applying.plan_routes import plan_routes, relevant_tasks
from router.clock import Clock
from router.config.document import Document
from router.errors import Conflict
from router.steering.drafts import new_experiment
from storage.errors import StoreConflict
from storage.records import (
    AuditEntry,
    Change,
    ExperimentRow,
    PutConfig,
    PutExperiment,
    PutRoute,
    RouteRow,
    State,
)
from storage.store import Store

_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a document does: lines for people, changes for the store."""

    items: tuple[PlanItem, ...]
    changes: tuple[Change, ...]
    digest: str
    """Of the document."""

    @property
    def refused(self) -> tuple[PlanItem, ...]:
        """Why the plan cannot be applied; empty if it can."""
        return tuple(item for item in self.items if item.action == "refuse")

    @property
    def text(self) -> str:
        """The plan as lines, or the words that nothing changes."""
        lines = [str(item) for item in self.items]
        if not self.changes and not self.refused:
            lines.append("nothing changes")
        return "\n".join(lines)


def plan_changes(
    document: Document, state: State, now_ms: int, actor: str, reset_champions: bool = False
) -> Plan:
    """Compare a valid document with the store's state."""
    body = document_body(document)
    old = _readable(state)
    rows = {row.task: row for row in state.routes}
    routes = plan_routes(document, rows, now_ms, actor, reset_champions)
    drafts = [_plan_experiment(each, state, now_ms) for each in document.experiments.values()]
    written = [plan.row for plan in routes if plan.row is not None]
    changes: list[Change] = [PutRoute(row) for row in written]
    changes += [PutExperiment(row) for _, row in drafts if row is not None]
    if state.config is None or state.config.body != body:
        changes.insert(0, PutConfig(body, state.config.version if state.config else 0))
    items = [
        *setting_items(old, document),
        *(plan.item for plan in routes if plan.item is not None),
        *(item for item, _ in drafts if item is not None),
        *_left_alone(old, document),
        *_refusals(document, state, rows | {row.task: row for row in written}),
    ]
    if changes and not items:
        items.append(PlanItem("change", "configuration", "the same entries in another order"))
    return Plan(tuple(items), tuple(changes), _digest(body))


def apply(
    store: Store, document: Document, clock: Clock, actor: str, reset_champions: bool = False, why: str = ""
) -> Plan:
    """Make a document the configuration, all of it in one transaction; returns what was done.

    Raises Conflict, with nothing changed, where the plan is refused or the state keeps changing meanwhile.
    """
    for attempt in range(_ATTEMPTS):
        plan = plan_changes(document, store.state(), clock(), actor, reset_champions)
        if plan.refused:
            raise Conflict("nothing was applied:\n" + "\n".join(map(str, plan.refused)))
        if not plan.changes:
            return plan
        entry = AuditEntry(clock(), actor, "apply", "configuration", why, plan.digest)
        try:
            store.commit(plan.changes, entry, now_ms=clock())
        except StoreConflict as error:
            if attempt + 1 == _ATTEMPTS:
                raise Conflict(
                    f"the state changed meanwhile ({error}); nothing was applied, try again"
                ) from error
        else:
            return plan
    raise AssertionError("every attempt returns or raises")


def seed(store: Store, document: Document, clock: Clock, actor: str) -> Plan:
    """Apply a document to a store that holds no configuration; a store that has one is left alone."""
    state = store.state()
    if state.config is not None:
        return Plan((), (), _digest(state.config.body))
    return apply(store, document, clock, actor)


def document_body(document: Document) -> str:
    """The document as the store keeps it."""
    return document.model_dump_json(by_alias=True, exclude_none=True)


def _readable(state: State) -> Document | None:
    """The stored document; None too for one that this release cannot read, so that applying a file mends it."""
    try:
        return Document.model_validate_json(state.config.body) if state.config else None
    except ValidationError:
        return None


def _digest(body: str) -> str:
    return blake2b(body.encode(), digest_size=16).hexdigest()


def _plan_experiment(
    definition: Experiment, state: State, now_ms: int
) -> tuple[PlanItem | None, ExperimentRow | None]:
    """A draft for a new experiment; a draft's definition may change, a started one's may not."""
    subject = f"experiment {definition.name}"
    row = next((row for row in state.experiments if row.name == definition.name), None)
    if row is None:
        candidates = " against ".join((", ".join(definition.candidates[1:]), definition.control))
        detail = (
            f"a draft on {definition.task}, {candidates}; start it with: pointsman start {definition.name}"
        )
        return PlanItem("add", subject, detail), new_experiment(definition, now_ms)
    changed = differences(row.definition, definition)
    if not changed:
        return None, None
    if row.state is ExperimentState.DRAFT:
        return PlanItem("change", subject, "; ".join(changed)), replace(row, definition=definition)
    remedy = "stop it or name it anew" if row.state in LIVE else "name it anew"
    return PlanItem("refuse", subject, f"is {row.state} and frozen; {remedy} ({'; '.join(changed)})"), None


def _left_alone(old: Document | None, new: Document) -> list[PlanItem]:
    """Experiments that the file names no more: only `stop` ends one."""
    gone = [name for name in old.experiments if name not in new.experiments] if old else []
    return [PlanItem("keep", f"experiment {name}", "no longer in the file; left as it is") for name in gone]


def _refusals(document: Document, state: State, rows: dict[str, RouteRow]) -> list[PlanItem]:
    """What the document would take away from under traffic."""
    items = []
    if (
        document.classifier is not None
        and document.classifier.file is not None
        and document.classifier.packed is None
    ):
        detail = "its file was not read; read the configuration from its own file"
        items.append(PlanItem("refuse", "classifier", detail))
    for task in sorted(relevant_tasks(document) & rows.keys()):
        model = rows[task].model
        if model and not document.serves(model):
            detail = (
                f"is removed and still the champion of {task}; set another (pointsman set-route {task} MODEL)"
            )
            items.append(PlanItem("refuse", f"model {model}", detail))
    for row in state.experiments:
        if row.state in LIVE:
            items += _taken_from(row, document)
    return items


def _taken_from(row: ExperimentRow, document: Document) -> list[PlanItem]:
    """Models and task that a live experiment needs and the document lacks."""
    definition = row.definition
    items = [
        PlanItem("refuse", f"model {name}", f"is removed and still a candidate of {row.name}; stop it first")
        for name in definition.candidates
        if not document.serves(name)
    ]
    if definition.task not in document.tasks:
        detail = f"is removed and still under experiment {row.name}; stop it first"
        items.append(PlanItem("refuse", f"task {definition.task}", detail))
    return items
