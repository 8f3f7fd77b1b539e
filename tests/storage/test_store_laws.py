"""Laws of every store: the order of arrival changes nothing, and cells equal their recomputation."""

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evidence.units import CellRow
from storage.exported import Fields
from storage.memory.store import MemoryStore
from storage.records import CallRow, DecisionRow, FeedbackRow
from tests.storage.scenes import Row, Scene

COSTS = st.sampled_from([None, 0.25, 0.5, 1.75])
REWARDS = st.sampled_from([0.0, 1.0])
LAWS = settings(max_examples=20, derandomize=True)


def played(
    new_scene: Callable[[], Scene], rows: list[Row], batch_sizes: list[int] | None = None
) -> tuple[list[CellRow], list[Fields]]:
    """The scene after these rows, in batches of the given sizes (one row each by default)."""
    scene = new_scene()
    with closing(scene.store):
        scene.start(reward={"on_error": 0.0})
        sizes = list(batch_sizes or [])
        while rows:
            size = sizes.pop() if sizes else 1
            scene.record(*rows[:size])
            rows = rows[size:]
        scene.check()
        return scene.store.cells(1), sorted(scene.store.export("units"), key=lambda row: row["unit"])


def story(
    scene: Scene, costs: list[float | None], rewards: list[list[tuple[float, str]]], errors: list[bool]
) -> list[Row]:
    """Rows of two sticky units: decisions, calls, and feedback that repeats and changes."""
    rows = []
    for index, cost in enumerate(costs):
        decision = scene.decision(index % 2, arm=index % 2, covariate=(None, 2.0, -0.5, None)[index])
        decision = replace(decision, number=(scene.now << 22) | index)
        rows += [decision, scene.call(decision, cost, error="timeout" if errors[index] else None)]
        for order, (value, metric) in enumerate(rewards[index]):
            occurred = scene.now + order // 2
            rows.append(scene.feedback(decision, values=((metric, value),), occurred_at_ms=occurred))
    return rows


METRICS = st.sampled_from(["reward", "cost_usd", "latency_ms", "error", "stars"])
REPORTS = st.lists(st.tuples(REWARDS, METRICS), max_size=4)


@given(data=st.data())
@LAWS
def test_any_order_of_arrival_gives_the_same_cells(
    new_scene: Callable[[], Scene], data: st.DataObject
) -> None:
    """Networks, retries and several workers reorder everything; evidence may not depend on it."""
    count = data.draw(st.integers(1, 4))
    costs = data.draw(st.lists(COSTS, min_size=count, max_size=count))
    reports = data.draw(st.lists(REPORTS, min_size=count, max_size=count))
    errors = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    rows = story(Scene(MemoryStore()), costs, reports, errors)
    shuffled = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=5))))
    sizes = data.draw(st.lists(st.integers(1, 6), max_size=6))
    assert played(new_scene, shuffled, sizes) == played(new_scene, rows)


KNOWN = st.sampled_from([None, 0.0, 2.0, -0.5, 1024.0])


@given(data=st.data())
@LAWS
def test_a_units_first_decision_brings_its_covariate_in_any_order(
    new_scene: Callable[[], Scene], data: st.DataObject
) -> None:
    """What is said with a later decision may be a consequence of the first; which row is written first is chance."""
    known = data.draw(st.lists(KNOWN, min_size=1, max_size=4))
    scene = new_scene()
    with closing(scene.store):
        scene.start(reward={"on_error": 0.0})
        decisions = [scene.decision("ann", covariate=covariate) for covariate in known]
        rows: list[Row] = [row for one in decisions for row in (one, scene.call(one), scene.feedback(one))]
        for row in data.draw(st.permutations(rows)):
            scene.record(row)
        (unit,) = scene.store.export("units")
        first = known[0] or 0.0
        assert (unit["covariate"], unit["first_number"]) == (first, decisions[0].number)
        moments = scene.cell().moments["reward"]
        assert (moments[4], moments[14]) == (first, first**2)
        assert [row["covariate"] for row in scene.store.export("decisions")] == known


CLIPPED = {
    "reward": {"kind": "score", "range": (0.0, 1.0), "outside": "clip", "missing": 0.25},
    "objective": {"cost_cap_usd": 0.5},
}


@given(data=st.data())
@LAWS
def test_clipped_and_raw_sums_are_the_same_in_any_order(
    new_scene: Callable[[], Scene], data: st.DataObject
) -> None:
    """Values outside the range come, change and repeat; both sums must follow, whoever is late."""
    count = data.draw(st.integers(1, 4))
    values = data.draw(st.lists(st.sampled_from([-4.0, 0.5, 1.0, 8.0]), min_size=count, max_size=count))
    costs = data.draw(st.lists(COSTS, min_size=count, max_size=count))
    plan = Scene(MemoryStore())
    rows: list[Row] = []
    for index, (value, cost) in enumerate(zip(values, costs, strict=True)):
        decision = plan.decision(index % 2)
        rows += [decision, plan.call(decision, cost), plan.feedback(decision, value)]
        rows.append(
            plan.feedback(decision, value / 2, occurred_at_ms=plan.now + data.draw(st.sampled_from([-1, 1])))
        )
    cells = []
    for order in (rows, data.draw(st.permutations(rows))):
        scene = new_scene()
        with closing(scene.store):
            scene.start(**CLIPPED)
            for row in order:
                scene.record(row)
            scene.check()
            cells.append(scene.store.cells(1))
    assert cells[0] == cells[1]


def feedback_row(metric: str, value: float, state: str, **fields: Any) -> FeedbackRow:
    """The item of one logged value."""
    return FeedbackRow(values=((metric, value),), **fields)


def rebuilt(scene: Scene) -> list[Row]:
    """Rows as the ledger exports them: decisions, calls, and one feedback row per logged value."""
    rows = []
    for kind, make in (("feedback", feedback_row), ("calls", CallRow), ("decisions", DecisionRow)):
        for row in scene.store.export(kind):
            row.pop("counted", None)
            rows.append(make(**{**row, "unit": bytes.fromhex(row["unit"])}))
    return rows


@given(data=st.data())
@LAWS
def test_the_log_alone_rebuilds_the_cells(new_scene: Callable[[], Scene], data: st.DataObject) -> None:
    """Everything that counts is in the append-only rows; cells and unit rows are only their sum."""
    count = data.draw(st.integers(1, 4))
    costs = data.draw(st.lists(COSTS, min_size=count, max_size=count))
    reports = data.draw(st.lists(REPORTS, min_size=count, max_size=count))
    errors = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    scene = new_scene()
    with closing(scene.store):
        scene.start(reward={"on_error": 0.0})
        for row in data.draw(st.permutations(story(scene, costs, reports, errors))):
            scene.record(row)
        units = sorted(scene.store.export("units"), key=lambda row: row["unit"])
        assert played(new_scene, rebuilt(scene)) == (scene.store.cells(1), units)


@given(
    values=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=6)
)
@LAWS
def test_the_greatest_time_wins_whatever_arrives_when(
    new_scene: Callable[[], Scene], values: list[tuple[int, float]]
) -> None:
    """One total order of (time, value) decides, so every node agrees which value counts."""
    scene = new_scene()
    with closing(scene.store):
        scene.start(reward={"kind": "score", "range": (0.0, 1.0)}, objective={"kind": "reward"})
        decision = scene.decision()
        scene.record(decision)
        replies = []
        for order, value in values:
            replies += scene.record(scene.feedback(decision, value, occurred_at_ms=scene.now + order))
        newest = max(order for order, _ in values)
        effective = replies[-1].effective
        assert effective in {value for order, value in values if order == newest}
        assert scene.cell().moments["reward"][:3] == (1, 1, effective)
        assert [reply.state for reply in replies].count("applied") == 1


@given(
    amounts=st.lists(
        st.tuples(st.floats(0, 100), st.floats(-5, 5), st.integers(0, 2)), min_size=1, max_size=12
    )
)
@LAWS
def test_sums_of_any_amounts_equal_their_recomputation_to_round_off(
    new_scene: Callable[[], Scene], amounts: list[tuple[float, float, int]]
) -> None:
    """Values enter, leave and enter again by differences; the error may not grow beyond round-off."""
    scene = new_scene()
    with closing(scene.store):
        scene.start(
            reward={"kind": "score", "range": (-5.0, 5.0)}, objective={"kind": "cheapest_non_inferior"}
        )
        for cost, value, unit in amounts:
            decision = scene.decision(unit)
            scene.record(decision, scene.call(decision, cost), scene.feedback(decision, value / 3))
            scene.now += 1
            scene.record(scene.feedback(decision, value))
        (kept,), (anew,) = scene.store.cells(1), scene.store.recount(1)
        assert (kept.counts, kept.moments.keys()) == (anew.counts, anew.moments.keys())
        for metric, sums in anew.moments.items():
            scale = max(map(abs, sums))
            assert all(
                math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12 * scale)
                for a, b in zip(kept.moments[metric], sums, strict=True)
            )


@pytest.mark.parametrize("values", [(1.0, 0.0, 1.0, 1.0, 0.0)])
def test_binary_rewards_leave_exact_integer_sums(scene: Scene, values: tuple[float, ...]) -> None:
    """A million changed votes later the count of successes is still a whole number."""
    decisions = [scene.decision(unit) for unit in range(7)]
    scene.record(*decisions, *[scene.call(decision, cost_usd=0.1) for decision in decisions])
    for value in values:
        scene.now += 1
        scene.record(*[scene.feedback(decision, value) for decision in decisions])
    n, _, total, _, _, nn, nr, *_ = scene.store.cells(1)[0].moments["reward"]
    assert (n, total, nn, nr) == (7, 0, 7, 0)
