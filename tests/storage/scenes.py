"""A scene to play requests on a store, and the kinds of store under contract."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any  # a row's fields, given by name

from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from experiments.evidence.epochs import Epoch
from experiments.evidence.units import CellRow
from storage.memory.store import MemoryStore
from storage.records import (
    Batch,
    CallRow,
    CloseEpoch,
    DecisionRow,
    ExperimentRow,
    FeedbackReply,
    FeedbackRow,
    OpenEpoch,
    PutExperiment,
)
from storage.sqlite.store import SqliteStore
from storage.store import Store
from tests.storage.redis_server import shared_server

Row = DecisionRow | CallRow | FeedbackRow
NOW = 1_800_000_000_000
KINDS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(),
    "redis": lambda folder: shared_server().new_store(),
    "sqlite": lambda folder: SqliteStore(folder / "ledger.db"),
}


def unit_digest(name: object) -> bytes:
    """What the router stores of a unit's name."""
    return blake2b(str(name).encode(), digest_size=16).digest()


@dataclass
class Scene:
    """A store with experiments running on it, and short ways to make their rows."""

    store: Store
    now: int = NOW
    sequence: int = 0
    experiments: set[int] = field(default_factory=set)

    def start(
        self, experiment_id: int = 1, name: str = "first", task: str = "support", **fields: Any
    ) -> ExperimentRow:
        """A running experiment with its epochs 0 and 1 opened now."""
        fields.setdefault("candidates", ("dear", "cheap"))
        definition = Experiment(name=name, task=task, **fields)
        row = ExperimentRow(experiment_id, name, definition, ExperimentState.RUNNING, 0, "salt", self.now)
        shares = definition.starting_shares
        epochs = [Epoch(experiment_id, number, self.now, shares) for number in (0, 1)]
        self.store.commit([PutExperiment(row), *map(OpenEpoch, epochs)], now_ms=self.now)
        self.experiments.add(experiment_id)
        return replace(row, version=1)

    def next_epoch(
        self, number: int, shares: tuple[float, ...] = (0.25, 0.75), experiment_id: int = 1
    ) -> None:
        """Close the open epoch now and open another."""
        self.store.commit([OpenEpoch(Epoch(experiment_id, number, self.now, shares))], now_ms=self.now)

    def close_epoch(self, experiment_id: int = 1) -> None:
        """Close the open epoch now."""
        self.store.commit([CloseEpoch(experiment_id, self.now)], now_ms=self.now)

    def decision(self, unit: object = 0, arm: int = 0, epoch: int = 1, **fields: Any) -> DecisionRow:
        """A decision taken now, numbered after the one before."""
        self.sequence += 1
        at_ms = fields.pop("at_ms", self.now)
        row = DecisionRow(
            number=(at_ms << 22) | self.sequence,
            experiment_id=1,
            epoch=epoch,
            arm=arm,
            unit=unit_digest(unit),
            task="support",
            model=("dear", "cheap")[arm],
            reason="experiment",
            propensity=0.5,
        )
        return replace(row, **fields)

    def call(self, decision: DecisionRow, cost_usd: float | None = 0.25, **fields: Any) -> CallRow:
        """What came back for a decision, now."""
        row = CallRow(
            number=decision.number,
            experiment_id=decision.experiment_id,
            epoch=decision.epoch,
            arm=decision.arm,
            unit=decision.unit,
            served_model=decision.model,
            diverted=False,
            error=None,
            cost_usd=cost_usd,
            cost_estimated=False,
            price_version="list-1",
            input_tokens=100,
            output_tokens=20,
            latency_ms=800.0,
            first_token_ms=None,
            attempts=1,
            finished_at_ms=self.now,
        )
        return replace(row, **fields)

    def feedback(self, decision: DecisionRow, value: float | None = 1.0, **fields: Any) -> FeedbackRow:
        """Feedback received now: a reward, or the given `values`."""
        values = fields.pop("values", (("reward", value),))
        row = FeedbackRow(
            number=decision.number,
            experiment_id=decision.experiment_id,
            epoch=decision.epoch,
            arm=decision.arm,
            unit=decision.unit,
            values=values,
            received_at_ms=self.now,
        )
        return replace(row, **fields)

    def record(self, *rows: Row) -> list[FeedbackReply]:
        """One batch of these rows at this moment."""
        batch = Batch(
            decisions=tuple(row for row in rows if isinstance(row, DecisionRow)),
            calls=tuple(row for row in rows if isinstance(row, CallRow)),
            feedback=tuple(row for row in rows if isinstance(row, FeedbackRow)),
        )
        return self.store.record(batch, self.now)

    def state_of(self, *rows: Row) -> str:
        """State of the only feedback item of a batch."""
        (reply,) = self.record(*rows)
        return str(reply.state)

    def outcomes(self, count: int, first: int = 0) -> list[Row]:
        """Decisions with a call and a reward each, of units numbered from `first`."""
        rows: list[Row] = []
        for unit in range(first, first + count):
            decision = self.decision(unit, arm=unit % 2)
            rows += [decision, self.call(decision, 0.5), self.feedback(decision, float(unit % 3 == 0))]
        return rows

    def cell(self, epoch: int = 1, arm: int = 0) -> CellRow:
        """One cell, empty if the store has none; every look also checks the recount."""
        self.check()
        cells = {(cell.epoch, cell.arm): cell for cell in self.store.cells(1)}
        return cells.get((epoch, arm), CellRow(epoch, arm, (0,) * 7, {}))

    def check(self) -> None:
        """Cells equal their recomputation from the unit rows, exactly: amounts here are sums of powers of two."""
        for experiment_id in self.experiments:
            counted = [without_extras(cell) for cell in self.store.cells(experiment_id) if cell.epoch]
            assert [cell for cell in counted if any(cell.counts)] == self.store.recount(experiment_id)


def without_extras(cell: CellRow) -> CellRow:
    """A cell without what unit rows do not know: latency, and decisions taken while degraded."""
    return replace(cell, counts=(*cell.counts[:6], 0), latency={})
