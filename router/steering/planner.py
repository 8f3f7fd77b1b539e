"""The planner: the one process that looks at experiments, moves their shares and acts on harm.

It holds a lease with a fencing token: a planner that was stopped past its lease finds its writes refused
and learns that another one has taken over.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from experiments.definition.lifecycle import ExperimentState, ended
from experiments.evidence.evidence import Evidence
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Tick
from experiments.verdict.verdict import Kind
from router.clock import Clock
from router.config.document import Document
from router.errors import PointsmanError
from router.steering.control import Control
from router.steering.look import drafted, look, render_report, rendered
from router.steering.pooling import Neighbours
from router.steering.reading import CellCache
from router.steering.together import peers_of
from storage.errors import LeaseLost, StoreConflict, StoreError
from storage.records import (
    AuditEntry,
    Change,
    CloseEpoch,
    ExperimentRow,
    FreezeReport,
    Lease,
    OpenEpoch,
    PutExperiment,
)
from storage.store import Store

__all__ = ["Planner", "render_report", "run_forever"]

LEASE = "planner"
LEASE_MS = 10_000
ACTOR = "planner"
COUNTS_MS = 5_000
"""How old the counts of a report may be while it would say nothing else."""
_log = logging.getLogger("pointsman.planner")


@dataclass
class _Memory:
    """What the planner keeps of one experiment between ticks; losing it costs time only."""

    cache: CellCache = field(default_factory=CellCache)
    rendered: tuple[object, ...] = ()
    """What the newest report says, in short."""
    counted: tuple[int, ...] = ()
    """The counts in it."""
    rendered_at_ms: int = 0


@dataclass(frozen=True)
class _Act:
    """One look with everything that acting on it needs."""

    row: ExperimentRow
    document: Document
    evidence: Evidence
    seen: Tick
    lease: Lease
    now_ms: int


class Planner:
    """Ticks every running experiment of a store, while it holds the lease."""

    def __init__(self, store: Store, holder: str, clock: Clock) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._lease: Lease | None = None
        self._memories: dict[int, _Memory] = {}
        self._rows: tuple[ExperimentRow, ...] = ()
        """All experiments at the beginning of the round."""
        self._neighbours = Neighbours()

    def run_once(self) -> bool:
        """Tick all running experiments; False while another planner holds the lease. Raises StoreError."""
        self._lease = self._store.acquire_lease(LEASE, self._holder, self._clock(), LEASE_MS)
        if self._lease is None:
            self._memories.clear()
            return False
        state = self._store.state()
        if state.config is None:
            return True
        document, self._rows = Document.model_validate_json(state.config.body), state.experiments
        for row in state.experiments:
            try:
                if row.state is ExperimentState.RUNNING:
                    self._tick(row, document, self._lease)
                elif row.state is ExperimentState.DRAFT:
                    self._plan(row, document, state.config.version, self._lease)
            except LeaseLost:
                self._lease = None
                return False
            except StoreConflict:
                continue  # somebody acted on it meanwhile: the next tick sees the new state
            except StoreError:
                raise
            except Exception:  # one experiment that cannot be looked at must not stop the others
                _log.exception("experiment %s could not be looked at", row.name)
        self._forget({row.id for row in state.experiments if not ended(row.state)})
        running = {row.id for row in state.experiments if row.state is ExperimentState.RUNNING}
        self._neighbours.forget(running)
        return True

    def release(self) -> None:
        """Give the lease back, so that another planner need not wait for its end."""
        if self._lease is not None:
            with suppress(StoreError):  # it ends by itself
                self._store.release_lease(self._lease)
            self._lease = None

    def _tick(self, row: ExperimentRow, document: Document, lease: Lease) -> None:
        now_ms = self._clock()
        memory = self._memories.setdefault(row.id, _Memory())
        pooled = self._neighbours.lent_to(row.id, row.definition)
        evidence, seen = look(self._store, row, document, now_ms, memory.cache, pooled)
        self._neighbours.note(row.id, row.definition, seen)
        if seen.progress != Progress.loads(self._store.progress(row.id)):
            self._store.put_progress(row.id, seen.progress.dumps(), lease, now_ms)
        act = _Act(_dropping(row, seen), document, evidence, seen, lease, now_ms)
        self._render(act, memory)
        if self._ends(act):
            return
        changes: list[Change] = [PutExperiment(act.row)] if act.row is not row else []
        if seen.next_epoch is not None:
            changes.append(OpenEpoch(seen.next_epoch))
        if changes:
            self._store.commit(changes, _drop_entry(row, seen, now_ms), lease, now_ms)

    def _plan(self, row: ExperimentRow, document: Document, config_version: int, lease: Lease) -> None:
        """Keep a draft's plan where its report will be, once for each version of draft and configuration."""
        memory, versions = self._memories.setdefault(row.id, _Memory()), (row.version, config_version)
        if memory.rendered != versions:
            body = drafted(row.definition, document)
            self._store.put_report(row.id, body, lease, self._clock())
            memory.rendered = versions

    def _render(self, act: _Act, memory: _Memory) -> None:
        """Write a new report at once if it says something else, and every few seconds if only counts have risen.

        It costs some ten times what a look costs, and under traffic counts rise with every look.
        """
        said, counted = _said(act.evidence, act.seen), _counted(act.evidence)
        due = act.now_ms - memory.rendered_at_ms >= COUNTS_MS
        if said != memory.rendered or (due and counted != memory.counted):
            self._store.put_report(act.row.id, self._rendered(act, act.row), act.lease, act.now_ms)
            memory.rendered, memory.counted, memory.rendered_at_ms = said, counted, act.now_ms

    def _rendered(self, act: _Act, row: ExperimentRow) -> str:
        """The report of a look for the experiment as `row` says."""
        peers = peers_of(self._store, self._rows, row.name)
        return rendered(row, act.document, act.evidence, act.seen, act.now_ms, peers)

    def _ends(self, act: _Act) -> bool:
        """Act on a verdict that needs no approval: harm, an automatic promotion, a finished holdback."""
        row, verdict = act.row, act.seen.verdict
        watching = row.predecessor is not None
        control = Control(self._store, self._clock, act.lease)
        if verdict.kind is Kind.ROLL_BACK:
            if watching and self._is_champion(row, row.definition.candidates[1]):
                control.rollback(row.definition.task, ACTOR, verdict.sentence, row.dropped)
            else:
                self._finish(act, ExperimentState.ROLLED_BACK)
            return True
        if verdict.kind is Kind.PROMOTE and row.definition.decision.promote == "auto" and not watching:
            try:
                control.promote(row.name, ACTOR, verdict.sentence, verdict.candidate)
            except PointsmanError as error:
                _log.warning("experiment %s was not promoted: %s", row.name, error)
                return False
            return True
        if watching and act.seen.volume.mature >= row.definition.decision.max_units:
            self._finish(act, ExperimentState.STOPPED)
            return True
        return False

    def _is_champion(self, row: ExperimentRow, model: str) -> bool:
        return any(
            route.task == row.definition.task and route.model == model for route in self._store.state().routes
        )

    def _finish(self, act: _Act, to: ExperimentState) -> None:
        """End an experiment on its own evidence."""
        sentence = act.seen.verdict.sentence
        finished = replace(act.row, state=to, ended_at_ms=act.now_ms, ended_because=sentence)
        changes: Sequence[Change] = [
            PutExperiment(finished),
            CloseEpoch(finished.id, act.now_ms),
            FreezeReport(finished.id, self._rendered(act, finished)),
        ]
        entry = AuditEntry(act.now_ms, ACTOR, str(to), finished.name, sentence)
        self._store.commit(changes, entry, act.lease, act.now_ms)

    def _forget(self, live: set[int]) -> None:
        self._memories = {key: memory for key, memory in self._memories.items() if key in live}


def run_forever(
    store: Store, holder: str, clock: Clock, stop: threading.Event, interval_s: float = 1.0
) -> None:
    """Tick until `stop` is set; a store that does not answer is tried again."""
    planner = Planner(store, holder, clock)
    while not stop.wait(interval_s):
        try:
            planner.run_once()
        except StoreError:
            continue
    planner.release()


def _dropping(row: ExperimentRow, seen: Tick) -> ExperimentRow:
    """The row with newly dropped arms, or the same row."""
    if not seen.dropped:
        return row
    return replace(row, dropped=tuple(sorted({*row.dropped, *seen.dropped})))


def _drop_entry(row: ExperimentRow, seen: Tick, now_ms: int) -> AuditEntry | None:
    if not seen.dropped:
        return None
    names = ", ".join(row.definition.candidates[arm] for arm in sorted(seen.dropped))
    return AuditEntry(now_ms, ACTOR, "drop", f"{row.name}: {names}", "; ".join(seen.dropped.values()))


def _said(evidence: Evidence, seen: Tick) -> tuple[object, ...]:
    """What a report says beside its counts, in short: looks, verdict, epochs and what is mature."""
    return seen.progress.looks, seen.verdict.kind, len(evidence.epochs), seen.volume.mature


def _counted(evidence: Evidence) -> tuple[int, ...]:
    """Units of each kind."""
    return tuple(int(kind.sum()) for kind in evidence.counts.values())
