"""All kinds of store, driven through the same random history, stay equal to each other and to a recount."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from storage.records import DecisionRow
from tests.storage.scenes import Scene

UNITS = st.integers(0, 5)
AMOUNTS = st.sampled_from([None, 0.0, 0.1, 0.3, 1.25])
VALUES = st.tuples(
    st.sampled_from(["reward", "reward", "cost_usd", "latency_ms", "error", "stars"]),
    st.sampled_from([0.0, 0.1, 0.7, 1.0]),
)


class Histories(RuleBasedStateMachine):
    """Requests, calls, feedback, replays, passing time and new epochs in any order."""

    decisions = Bundle("decisions")
    open_scenes = None  # set by the test: one empty scene per kind of store, in a folder

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.scenes = self.open_scenes(Path(self.folder.name))
        self.epoch = 1
        for scene in self.scenes:
            scene.start(
                reward={
                    "kind": "score",
                    "window": "10s",
                    "missing": 0.0,
                    "range": (0.0, 0.5),
                    "outside": "clip",
                },
                objective={"cost_cap_usd": 1.0},
            )

    def everywhere(self, act: Callable[[Scene], object]) -> object:
        """Do the same on every store and insist on the same answer."""
        first, *others = [act(scene) for scene in self.scenes]
        for other in others:
            assert other == first
        return first

    @rule(
        target=decisions,
        unit=UNITS,
        arm=st.integers(0, 1),
        degraded=st.booleans(),
        covariate=st.sampled_from([None, 0.5, -2.0]),
    )
    def decide(self, unit: int, arm: int, degraded: bool, covariate: float | None) -> DecisionRow:
        epoch = 0 if degraded else self.epoch
        made = [
            scene.decision(unit, arm, epoch, degraded=degraded, covariate=covariate) for scene in self.scenes
        ]
        return made[0]

    @rule(row=decisions)
    def write_decision(self, row: DecisionRow) -> None:
        self.everywhere(lambda scene: scene.record(row))

    @rule(row=decisions, cost=AMOUNTS, failed=st.booleans(), diverted=st.booleans())
    def finish(self, row: DecisionRow, cost: float | None, failed: bool, diverted: bool) -> None:
        error = "timeout" if failed else None
        self.everywhere(lambda scene: scene.record(scene.call(row, cost, error=error, diverted=diverted)))

    @rule(
        rows=st.lists(st.tuples(decisions, st.lists(VALUES, min_size=1, max_size=3)), min_size=1, max_size=4),
        key=st.sampled_from([None, None, "a", "b"]),
        lag=st.integers(-2, 2),
    )
    def report(
        self, rows: list[tuple[DecisionRow, list[tuple[str, float]]]], key: str | None, lag: int
    ) -> None:
        def act(scene: Scene) -> object:
            occurred = scene.now + lag
            return scene.record(
                *[
                    scene.feedback(row, values=tuple(values), idempotency_key=key, occurred_at_ms=occurred)
                    for row, values in rows
                ]
            )

        self.everywhere(act)

    @rule(step=st.sampled_from([1, 700, 2_500, 9_000]))
    def wait(self, step: int) -> None:
        for scene in self.scenes:
            scene.now += step

    @rule()
    def open_epoch(self) -> None:
        self.epoch += 1
        for scene in self.scenes:
            scene.next_epoch(self.epoch, (0.25, 0.75))

    @rule(target=decisions)
    def decide_outside(self) -> DecisionRow:
        made = [scene.decision(experiment_id=0, epoch=0) for scene in self.scenes]
        return made[0]

    @invariant()
    def cells_agree(self) -> None:
        self.everywhere(lambda scene: scene.store.cells(1))

    def teardown(self) -> None:
        for kind in ("decisions", "calls", "feedback", "units"):
            self.everywhere(lambda scene, kind=kind: list(scene.store.export(kind)))
        self.everywhere(lambda scene: scene.store.traffic())
        self.everywhere(lambda scene: scene.store.state())
        for scene in self.scenes:
            assert_recounted(scene)
            scene.store.close()
        self.folder.cleanup()


def assert_recounted(scene: Scene) -> None:
    """Kept cells equal their recomputation: counts exactly, sums to round-off."""
    kept = {(cell.epoch, cell.arm): cell for cell in scene.store.cells(1) if cell.epoch}
    for anew in scene.store.recount(1):
        cell = kept[anew.epoch, anew.arm]
        assert cell.counts == anew.counts
        assert cell.moments.keys() == anew.moments.keys()
        for metric, sums in anew.moments.items():
            assert cell.moments[metric] == pytest.approx(sums, rel=1e-9, abs=1e-12)


def test_every_store_keeps_the_same_books(scenes_of_every_kind: Callable[[Path], list[Scene]]) -> None:
    """Memory drives simulations and SQLite drives production: a difference would make one of them lie."""
    Histories.open_scenes = staticmethod(scenes_of_every_kind)
    few = settings(max_examples=50, stateful_step_count=40, derandomize=True)
    run_state_machine_as_test(Histories, settings=few)
