"""Acting on experiments and routes: every change is a compare-and-set with an audit entry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from experiments.definition.experiment import Experiment
from experiments.definition.first_shares import first_shares
from experiments.definition.lifecycle import LIVE, ExperimentState, may_move
from experiments.evidence.epochs import Epoch
from router.clock import Clock
from router.config.document import Document
from router.config.prices import list_price
from router.deciding.snapshot import champion_of
from router.deciding.tasks import DEFAULT_TASK
from router.errors import Conflict, EvidenceRefused, InvalidRequest, NotFound, no_experiment
from router.keys import hash_key, new_key
from router.steering.drafts import new_experiment
from router.steering.listed import list_costs
from router.steering.series import follow_on, model_version, price_version
from router.steering.successor import holdback
from storage.errors import StoreConflict
from storage.records import (
    AuditEntry,
    Change,
    CloseEpoch,
    ExperimentRow,
    FreezeReport,
    KeyRow,
    Lease,
    OpenEpoch,
    PutExperiment,
    PutKey,
    PutRoute,
    RouteRow,
    RouteSource,
    Scope,
    State,
    StoredReport,
)
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Promotion:
    """A task's new champion and the evidence it rests on."""

    task: str
    old: str
    new: str
    successor: str | None
    """Holdback experiment that watches it."""
    digest: str
    """Of the frozen report."""
    forced: bool


class Control:
    """The acting use cases over one store."""

    def __init__(self, store: Store, clock: Clock, lease: Lease | None = None) -> None:
        """`lease` fences every change, as the planner needs it."""
        self._store = store
        self._clock = clock
        self._lease = lease

    # Reading

    def experiments(self) -> tuple[ExperimentRow, ...]:
        """All experiments, whatever their state."""
        return self._store.state().experiments

    def experiment(self, name: str) -> ExperimentRow:
        """One experiment; raises NotFound."""
        row = self._store.experiment(name)
        if row is None:
            raise no_experiment(name)
        return row

    def report(self, name: str) -> StoredReport:
        """The newest report, or the frozen one of an ended experiment; raises NotFound before the first."""
        report = self._looked(self.experiment(name).id)
        if report is None:
            raise NotFound(f"experiment {name!r} has no report yet; it appears with the planner's next tick")
        return report

    def routes(self) -> list[tuple[str, str, RouteRow | None]]:
        """(task, effective champion, own row) of every declared task, the default first."""
        state = self._store.state()
        document = _document(state)
        rows = {row.task: row for row in state.routes}
        return [
            (task, champion_of(task, document, rows), rows.get(task))
            for task in (DEFAULT_TASK, *document.tasks)
        ]

    # Experiments

    def create(self, definition: Experiment, actor: str) -> ExperimentRow:
        """Keep a draft; raises Conflict for a used name and InvalidRequest for names nobody declared."""
        _check_declared(definition, _document(self._store.state()))
        row = new_experiment(definition, self._clock())
        self._commit([PutExperiment(row)], self._entry(actor, "create", row.name))
        return replace(row, version=1)

    def start(self, name: str, actor: str, why: str = "") -> ExperimentRow:
        """Start a draft, or resume a paused experiment."""
        state, row = self._state_and(name)
        if row.state is ExperimentState.RUNNING:
            raise Conflict(f"experiment {name!r} is running already")
        _check_declared(row.definition, _document(state))
        _check_shadow(row.definition, state)
        changed = self._moved(row, ExperimentState.RUNNING)
        if row.started_at_ms is None:
            changed = replace(changed, started_at_ms=self._clock())
        changes = [PutExperiment(changed), *self._opening(row, state)]
        self._commit(changes, self._entry(actor, "start", name, why))
        return replace(changed, version=row.version + 1)

    def pause(self, name: str, actor: str, why: str = "") -> ExperimentRow:
        """Send the task's traffic to its champion until the experiment is started again."""
        return self._close(self.experiment(name), ExperimentState.PAUSED, actor, "pause", why)

    def stop(self, name: str, actor: str, why: str = "") -> ExperimentRow:
        """End an experiment without promotion; its newest report is frozen."""
        return self._close(self.experiment(name), ExperimentState.STOPPED, actor, "stop", why)

    # Promotion

    def promote(
        self, name: str, actor: str, why: str, candidate: str | None = None, force: bool = False
    ) -> Promotion:
        """Make a candidate the champion, freeze the evidence, and start the holdback that watches it.

        Raises EvidenceRefused unless the newest report's verdict is to promote this candidate, or `force`
        is set; a reason is required either way.
        """
        state, row = self._state_and(name)
        _require_why(why)
        if row.state not in LIVE:
            raise Conflict(f"experiment {name!r} is {row.state}; only a running or paused one can promote")
        report = self._store.report(row.id)
        chosen = _promotable(row, json.loads(report.body) if report is not None else {}, candidate, force)
        return self._promote(state, row, chosen, (actor, why, force))

    def _promote(
        self, state: State, row: ExperimentRow, chosen: str, audited: tuple[str, str, bool]
    ) -> Promotion:
        actor, why, forced = audited
        now_ms, task = self._clock(), row.definition.task
        route, old = self._route(state, task, chosen, "promotion", actor)
        ended = self._moved(row, ExperimentState.PROMOTED, f"promoted {chosen}")
        successor = holdback(row, old, chosen, now_ms)
        frozen = self._frozen(ended)
        digest = blake2b("".join(one.body for one in frozen).encode(), digest_size=16).hexdigest()
        changes: list[Change] = [PutExperiment(ended), CloseEpoch(row.id, now_ms), PutRoute(route), *frozen]
        if successor is not None:
            changes += [PutExperiment(successor), *self._opening(successor, state)]
        entry = AuditEntry(
            now_ms, actor, "promote", f"{task}: {old} -> {chosen} ({row.name})", why, digest, forced
        )
        self._commit(changes, entry)
        return Promotion(task, old, chosen, successor.name if successor else None, digest, forced)

    def rollback(self, task: str, actor: str, why: str, dropped: tuple[int, ...] = ()) -> RouteRow:
        """Give a task its previous champion back and end the holdback that watched the newer one.

        `dropped` are the holdback's arms that were shown to do harm: they keep no conversation.
        """
        _require_why(why)
        state = self._store.state()
        current = next((row for row in state.routes if row.task == task), None)
        if current is None or current.previous is None:
            raise Conflict(f"task {task[:100]!r} has no earlier champion to go back to")
        route, old = self._route(state, task, current.previous, "rollback", actor)
        watching = [row for row in state.experiments if row.state in LIVE and row.definition.task == task]
        changes: list[Change] = [PutRoute(route)]
        for row in watching:
            if row.predecessor is not None:
                ended = self._moved(row, ExperimentState.ROLLED_BACK, f"rolled back to {route.model}: {why}")
                ended = replace(ended, dropped=dropped or row.dropped)
                changes += [PutExperiment(ended), CloseEpoch(row.id, self._clock()), *self._frozen(ended)]
        self._commit(changes, self._entry(actor, "rollback", f"{task}: {old} -> {route.model}", why))
        return replace(route, version=route.version + 1)

    def set_route(
        self, task: str, model: str, actor: str, why: str = "", expected_version: int | None = None
    ) -> RouteRow:
        """Name a task's champion by hand; raises Conflict if the row's version is not the expected one."""
        state = self._store.state()
        document = _document(state)
        if task != DEFAULT_TASK and task not in document.tasks:
            raise NotFound(f"task {task[:100]!r} is not declared; declare it in the configuration first")
        if not document.serves(model):
            raise InvalidRequest(f"model {model[:100]!r} is not declared in the configuration", "model")
        route, old = self._route(state, task, model, "hand", actor)
        if expected_version is not None and expected_version != route.version:
            raise Conflict(
                f"route {task!r} has version {route.version}, not {expected_version}; read it again"
            )
        self._commit([PutRoute(route)], self._entry(actor, "set_route", f"{task}: {old} -> {model}", why))
        return replace(route, version=route.version + 1)

    # Keys

    def add_key(self, key_id: str, scopes: Sequence[Scope], actor: str) -> str:
        """A new bearer key, returned this once; only its hash is stored."""
        if any(key.id == key_id for key in self._store.state().keys):
            raise Conflict(f"key {key_id!r} exists; revoke it and choose another id")
        if not scopes:
            raise InvalidRequest("a key needs at least one scope: traffic, feedback, view or admin", "scopes")
        secret = new_key()
        row = KeyRow(key_id, hash_key(secret), tuple(dict.fromkeys(scopes)), self._clock())
        self._commit([PutKey(row)], self._entry(actor, "add_key", key_id, ", ".join(row.scopes)))
        return secret

    def revoke_key(self, key_id: str, actor: str) -> None:
        """End a key; servers refuse it as soon as they follow the store."""
        row = next((key for key in self._store.state().keys if key.id == key_id), None)
        if row is None:
            raise NotFound(f"there is no key {key_id[:100]!r}")
        revoked = replace(row, revoked_at_ms=self._clock())
        self._commit([PutKey(revoked)], self._entry(actor, "revoke_key", key_id))

    # Parts

    def _state_and(self, name: str) -> tuple[State, ExperimentRow]:
        state = self._store.state()
        row = next((row for row in state.experiments if row.name == name), None)
        if row is None:
            raise no_experiment(name)
        return state, row

    def _moved(self, row: ExperimentRow, to: ExperimentState, because: str = "") -> ExperimentRow:
        """The row in its next state; raises Conflict if the life cycle does not lead there."""
        if not may_move(row.state, to):
            raise Conflict(f"experiment {row.name!r} is {row.state} and cannot become {to}")
        ended_at = None if to in LIVE else self._clock()
        return replace(row, state=to, ended_at_ms=ended_at, ended_because=because)

    def _close(
        self, row: ExperimentRow, to: ExperimentState, actor: str, action: str, why: str
    ) -> ExperimentRow:
        changed = self._moved(row, to, why)
        changes: list[Change] = [PutExperiment(changed), CloseEpoch(row.id, self._clock())]
        if to is ExperimentState.STOPPED:
            changes += self._frozen(changed)
        self._commit(changes, self._entry(actor, action, row.name, why))
        return replace(changed, version=row.version + 1)

    def _frozen(self, ended: ExperimentRow) -> list[FreezeReport]:
        """The newest report, closed with the experiment's end; none where no look was taken yet."""
        report = self._looked(ended.id)
        if report is None or report.frozen:
            return []
        document = json.loads(report.body)
        document.update(state=ended.state, ended_because=ended.ended_because, ended_at_ms=ended.ended_at_ms)
        return [FreezeReport(ended.id, json.dumps(document))]

    def _opening(self, row: ExperimentRow, state: State) -> list[Change]:
        """The epochs that start or resume an experiment."""
        now_ms, shares = self._clock(), row.definition.starting_shares
        document = _document(state)
        prices, models = price_version(row.definition, document), model_version(row.definition, document)
        newest = next((epoch for epoch in state.epochs if epoch.experiment_id == row.id), None)
        if newest is None:
            first = Epoch(row.id, 0, now_ms, shares, 0, prices, now_ms, 0, models)
            shares = first_shares(row.definition, list_costs(row.definition, document))
            return [OpenEpoch(first), OpenEpoch(replace(first, number=1, shares=shares, closed_at_ms=None))]
        series, model_series = follow_on(newest, prices, models)
        number, kept = newest.number + 1, newest.shares
        return [OpenEpoch(Epoch(row.id, number, now_ms, kept, series, prices, None, model_series, models))]

    def _route(
        self, state: State, task: str, model: str, source: RouteSource, actor: str
    ) -> tuple[RouteRow, str]:
        """The task's next route row and the champion it has now."""
        rows = {row.task: row for row in state.routes}
        old = champion_of(task, _document(state), rows)
        current = rows.get(task)
        route = RouteRow(
            task=task,
            model=model,
            version=current.version if current else 0,
            source=source,
            changed_at_ms=self._clock(),
            changed_by=actor,
            previous=old if old != model else (current.previous if current else None),
            file_model=current.file_model if current else None,
        )
        return route, old

    def _looked(self, experiment_id: int) -> StoredReport | None:
        """The kept report, if it is one of a look: before that it holds a draft's plan only."""
        report = self._store.report(experiment_id)
        return report if report is not None and "verdict" in json.loads(report.body) else None

    def _entry(self, actor: str, action: str, subject: str, why: str = "") -> AuditEntry:
        return AuditEntry(self._clock(), actor, action, subject, why)

    def _commit(self, changes: Sequence[Change], entry: AuditEntry) -> None:
        try:
            self._store.commit(changes, entry, self._lease, self._clock())
        except StoreConflict as error:
            raise Conflict(f"{error}; nothing was changed") from error


def _document(state: State) -> Document:
    if state.config is None:
        raise Conflict("the store holds no configuration yet; run: pointsman apply FILE")
    return Document.model_validate_json(state.config.body)


def _check_declared(definition: Experiment, document: Document) -> None:
    if definition.task not in document.tasks:
        raise InvalidRequest(f"task {definition.task!r} is not declared in the configuration", "task")
    unknown = [name for name in definition.candidates if not document.serves(name)]
    if unknown:
        raise InvalidRequest(f"candidate {unknown[0]!r} is not declared in the configuration", "candidates")


def _check_shadow(definition: Experiment, state: State) -> None:
    """In mode shadow the control serves everybody, so it must be who serves anyway, and its copies must have prices."""
    if definition.mode != "shadow":
        return
    document = _document(state)
    champion = champion_of(definition.task, document, {row.task: row for row in state.routes})
    if definition.control != champion:
        raise Conflict(
            f"mode shadow leaves the traffic alone, but {definition.control!r} is not the champion of "
            f"{definition.task!r}, which is {champion!r}; make the champion the control"
        )
    for name in definition.candidates[1:]:
        if name in document.policies:
            raise Conflict(f"{name!r} is a policy, and mode shadow sends copies to models; use another mode")
        if list_price(name, document.models[name]) is None:
            raise Conflict(
                f"no price of {name!r} is known, so shadow_usd_per_day could not be kept; give models.{name}.price"
            )


def _require_why(why: str) -> None:
    if not why.strip():
        raise InvalidRequest("a reason is required; it goes into the audit record", "why")


def _promotable(row: ExperimentRow, evidence: dict[str, object], candidate: str | None, force: bool) -> str:
    """The candidate to promote; raises EvidenceRefused where the verdict names another or none."""
    verdict = evidence.get("verdict")
    said = verdict if isinstance(verdict, dict) else {}
    kind, named = said.get("kind", "not_ready"), said.get("candidate")
    sentence = said.get("sentence", "no report exists yet")
    chosen = candidate or (named if isinstance(named, str) else None)
    if chosen is not None and chosen not in row.definition.candidates:
        raise InvalidRequest(f"{chosen[:100]!r} is no candidate of {row.name!r}", "candidate")
    if chosen is None and force:
        raise InvalidRequest("force needs a candidate: name the one to promote", "candidate")
    if row.definition.mode == "shadow":
        raise EvidenceRefused(
            "mode shadow promotes nobody: no user has seen the candidate's answers; start an experiment in mode ab "
            "or earn, or name the champion by hand: pointsman set-route"
        )
    if not force and (kind != "promote" or chosen != named):
        raise EvidenceRefused(f"the verdict is {kind}: {sentence}")
    assert chosen is not None
    return chosen
