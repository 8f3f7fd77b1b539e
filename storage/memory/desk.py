"""State in memory: champions, experiments, epochs and keys, changed by whole commits."""

from dataclasses import dataclass, field

from experiments.definition.lifecycle import LIVE
from experiments.evidence.epochs import Epoch
from storage.records import AuditEntry, ConfigRow, ExperimentRow, KeyRow, RouteRow, State, StoredReport


@dataclass(slots=True)
class StateTables:
    """What commits change."""

    version: int = 0
    config: ConfigRow | None = None
    routes: dict[str, RouteRow] = field(default_factory=dict)
    experiments: dict[int, ExperimentRow] = field(default_factory=dict)
    epochs: dict[int, dict[int, Epoch]] = field(default_factory=dict)
    keys: dict[str, KeyRow] = field(default_factory=dict)
    reports: dict[int, StoredReport] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)

    def state(self) -> State:
        """Everything a snapshot is built from."""
        experiments = sorted(self.experiments.values(), key=lambda row: (row.created_at_ms, row.id))
        return State(
            version=self.version,
            config=self.config,
            routes=tuple(row for _, row in sorted(self.routes.items())),
            experiments=tuple(experiments),
            epochs=tuple(epochs[max(epochs)] for _, epochs in sorted(self.epochs.items())),
            keys=tuple(row for _, row in sorted(self.keys.items())),
        )

    def named(self, name: str) -> ExperimentRow | None:
        """One experiment by name."""
        return next((row for row in self.experiments.values() if row.name == name), None)


class MemoryDesk:
    """One commit: fresh rows hide the stored ones until `take_in` writes them."""

    def __init__(self, tables: StateTables) -> None:
        self._tables = tables
        self._config = tables.config
        self._routes: dict[str, RouteRow] = {}
        self._experiments: dict[int, ExperimentRow] = {}
        self._epochs: dict[tuple[int, int], Epoch] = {}
        self._keys: dict[str, KeyRow] = {}
        self._reports: dict[int, StoredReport] = {}

    def config(self) -> ConfigRow | None:
        """The configuration in force."""
        return self._config

    def put_config(self, row: ConfigRow) -> None:
        """Replace the configuration."""
        self._config = row

    def route(self, task: str) -> RouteRow | None:
        """The champion of one task."""
        return self._routes.get(task) or self._tables.routes.get(task)

    def put_route(self, row: RouteRow) -> None:
        """Write a champion."""
        self._routes[row.task] = row

    def experiment(self, experiment_id: int) -> ExperimentRow | None:
        """One experiment by number."""
        return self._experiments.get(experiment_id) or self._tables.experiments.get(experiment_id)

    def named(self, name: str) -> ExperimentRow | None:
        """One experiment by name; no commit changes a name."""
        fresh = (row for row in self._experiments.values() if row.name == name)
        return next(fresh, None) or self._tables.named(name)

    def live(self, task: str) -> ExperimentRow | None:
        """The task's running or paused experiment."""
        rows = {**self._tables.experiments, **self._experiments}
        return next((row for row in rows.values() if row.state in LIVE and row.definition.task == task), None)

    def put_experiment(self, row: ExperimentRow) -> None:
        """Write an experiment, new or replaced."""
        self._experiments[row.id] = row

    def has_epoch(self, experiment_id: int, number: int) -> bool:
        """Whether this epoch is recorded."""
        return (experiment_id, number) in self._epochs or number in self._tables.epochs.get(experiment_id, {})

    def newest_epoch(self, experiment_id: int) -> Epoch | None:
        """The epoch with the greatest number."""
        stored = self._tables.epochs.get(experiment_id, {})
        numbers = [*stored, *(number for owner, number in self._epochs if owner == experiment_id)]
        if not numbers:
            return None
        newest = max(numbers)
        return self._epochs.get((experiment_id, newest)) or stored[newest]

    def put_epoch(self, epoch: Epoch) -> None:
        """Write an epoch, new or now closed."""
        self._epochs[epoch.experiment_id, epoch.number] = epoch

    def report(self, experiment_id: int) -> StoredReport | None:
        """The newest report."""
        return self._reports.get(experiment_id) or self._tables.reports.get(experiment_id)

    def put_report(self, experiment_id: int, report: StoredReport) -> None:
        """Replace the newest report."""
        self._reports[experiment_id] = report

    def put_key(self, row: KeyRow) -> None:
        """Write a key by id."""
        self._keys[row.id] = row

    def take_in(self, audit: AuditEntry | None) -> int:
        """Write everything at once; nothing here can fail half-way. Returns the new state version."""
        tables = self._tables
        tables.config = self._config
        tables.routes.update(self._routes)
        tables.experiments.update(self._experiments)
        for (experiment_id, number), epoch in self._epochs.items():
            tables.epochs.setdefault(experiment_id, {})[number] = epoch
        tables.keys.update(self._keys)
        tables.reports.update(self._reports)
        if audit is not None:
            tables.audit.append(audit)
        tables.version += 1
        return tables.version
