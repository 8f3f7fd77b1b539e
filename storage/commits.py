"""The rules of commits: what each change expects to find and what it leaves, the same for every store."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from experiments.definition.lifecycle import LIVE, ExperimentState, may_move
from experiments.evidence.epochs import Epoch
from storage.errors import NameTaken, StoreConflict, TaskTaken
from storage.records import (
    Change,
    CloseEpoch,
    ConfigRow,
    ExperimentRow,
    FreezeReport,
    KeyRow,
    OpenEpoch,
    PutConfig,
    PutExperiment,
    PutKey,
    PutRoute,
    RouteRow,
    StoredReport,
)


class Desk(Protocol):
    """A store inside one commit: it sees its own writes, and drops them if the commit fails."""

    def config(self) -> ConfigRow | None:
        """The configuration in force."""

    def put_config(self, row: ConfigRow) -> None:
        """Replace the configuration."""

    def route(self, task: str) -> RouteRow | None:
        """The champion of one task."""

    def put_route(self, row: RouteRow) -> None:
        """Write a champion."""

    def experiment(self, experiment_id: int) -> ExperimentRow | None:
        """One experiment by number."""

    def named(self, name: str) -> ExperimentRow | None:
        """One experiment by name."""

    def live(self, task: str) -> ExperimentRow | None:
        """The task's running or paused experiment."""

    def put_experiment(self, row: ExperimentRow) -> None:
        """Write an experiment, new or replaced."""

    def has_epoch(self, experiment_id: int, number: int) -> bool:
        """Whether this epoch is recorded."""

    def newest_epoch(self, experiment_id: int) -> Epoch | None:
        """The epoch with the greatest number."""

    def put_epoch(self, epoch: Epoch) -> None:
        """Write an epoch, new or now closed."""

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report."""

    def put_report(self, experiment_id: int, report: StoredReport) -> None:
        """Replace the newest report."""

    def put_key(self, row: KeyRow) -> None:
        """Write a key by id."""


def make(desk: Desk, changes: Sequence[Change], now_ms: int) -> None:
    """Make the changes in their order, or raise StoreConflict at the first that does not find what it expects.

    That an opened epoch belongs to a running experiment is checked last: a start may name the two in any order.
    """
    for change in changes:
        _make(desk, change, now_ms)
    for change in changes:
        if isinstance(change, OpenEpoch) and change.epoch.number:
            _expect_running(desk, change.epoch)


def _make(desk: Desk, change: Change, now_ms: int) -> None:
    match change:
        case PutConfig():
            _put_config(desk, change, now_ms)
        case PutRoute():
            _put_route(desk, change.row)
        case PutExperiment():
            _put_experiment(desk, change.row)
        case OpenEpoch():
            _open_epoch(desk, change.epoch)
        case CloseEpoch():
            _close_epoch(desk, change)
        case FreezeReport():
            _freeze_report(desk, change, now_ms)
        case PutKey():
            desk.put_key(change.row)


def _put_config(desk: Desk, change: PutConfig, now_ms: int) -> None:
    stored = desk.config()
    _expect("the configuration", stored.version if stored else 0, change.expected)
    desk.put_config(ConfigRow(change.body, change.expected + 1, now_ms))


def _put_route(desk: Desk, row: RouteRow) -> None:
    stored = desk.route(row.task)
    _expect(f"route {row.task!r}", stored.version if stored else 0, row.version)
    desk.put_route(replace(row, version=row.version + 1))


def _put_experiment(desk: Desk, row: ExperimentRow) -> None:
    stored = desk.experiment(row.id)
    if stored is not None and row.version:
        _check_replaced(stored, row)
    else:
        _check_new(desk, stored, row)
    rival = desk.live(row.definition.task) if row.state in LIVE else None
    if rival is not None and rival.id != row.id:
        raise TaskTaken(
            f"experiment {rival.name!r} of task {rival.definition.task!r} is {rival.state}; end it first"
        )
    desk.put_experiment(replace(row, version=row.version + 1))


def _check_new(desk: Desk, stored: ExperimentRow | None, row: ExperimentRow) -> None:
    if desk.named(row.name) is not None:
        raise NameTaken(f"an experiment {row.name!r} exists; names are used once, choose another")
    _expect(f"experiment number {row.id} ({row.name!r})", stored.version if stored else 0, row.version)
    if row.state not in (ExperimentState.DRAFT, ExperimentState.RUNNING):
        raise StoreConflict(f"new experiment {row.name!r} is {row.state}; it may begin as draft or running")


def _check_replaced(stored: ExperimentRow, row: ExperimentRow) -> None:
    _expect(f"experiment {stored.name!r}", stored.version, row.version)
    if row.name != stored.name:
        raise StoreConflict(f"experiment {stored.name!r} cannot become {row.name!r}; add a new one")
    if row.state != stored.state and not may_move(stored.state, row.state):
        raise StoreConflict(f"experiment {row.name!r} is {stored.state} and cannot become {row.state}")
    frozen = stored.state is not ExperimentState.DRAFT
    if frozen and (row.definition, row.salt) != (stored.definition, stored.salt):
        raise StoreConflict(
            f"experiment {row.name!r} is {stored.state}, its definition is frozen; stop it or name it anew"
        )


def _open_epoch(desk: Desk, epoch: Epoch) -> None:
    newest = desk.newest_epoch(epoch.experiment_id)
    if epoch.number == 0:
        if desk.has_epoch(epoch.experiment_id, 0):
            raise StoreConflict(f"epoch 0 of experiment {epoch.experiment_id} exists; it is written once")
        desk.put_epoch(replace(epoch, closed_at_ms=epoch.opened_at_ms))
        return
    last = newest.number if newest else 0
    if epoch.number != last + 1:
        raise StoreConflict(
            f"epoch {epoch.number} of experiment {epoch.experiment_id} cannot follow epoch {last}; read the state again"
        )
    if newest is not None and newest.number and newest.closed_at_ms is None:
        desk.put_epoch(replace(newest, closed_at_ms=epoch.opened_at_ms))
    desk.put_epoch(replace(epoch, closed_at_ms=None))


def _close_epoch(desk: Desk, change: CloseEpoch) -> None:
    newest = desk.newest_epoch(change.experiment_id)
    if newest is not None and newest.number and newest.closed_at_ms is None:
        desk.put_epoch(replace(newest, closed_at_ms=change.at_ms))


def _expect_running(desk: Desk, epoch: Epoch) -> None:
    row = desk.experiment(epoch.experiment_id)
    if row is None or row.state is not ExperimentState.RUNNING:
        state = row.state if row else "not there"
        raise StoreConflict(
            f"experiment {epoch.experiment_id} is {state}; only a running one opens epoch {epoch.number}"
        )


def _freeze_report(desk: Desk, change: FreezeReport, now_ms: int) -> None:
    stored = desk.report(change.experiment_id)
    if desk.experiment(change.experiment_id) is None:
        raise StoreConflict(f"experiment {change.experiment_id} is not there; no report of it can be kept")
    if stored is not None and stored.frozen:
        raise StoreConflict(
            f"experiment {change.experiment_id} ended with a report already; it stays as it is"
        )
    desk.put_report(change.experiment_id, StoredReport(change.body, now_ms, frozen=True))


def _expect(what: str, stored: int, expected: int) -> None:
    if stored != expected:
        raise StoreConflict(
            f"{what} has version {stored}, expected {expected}; read it again and decide anew"
        )
