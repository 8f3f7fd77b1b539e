"""Pairs that a caller reports (mode shadow) in every store: joined once, whichever side and value comes last."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from math import log
from random import Random

import pytest

from experiments.evidence.pairs import pair_unit
from experiments.evidence.units import MOMENTS
from storage.records import DecisionRow, FeedbackRow, FeedbackState
from tests.storage.scenes import Scene

WINDOW_MS = 3_600_000


def two(scene: Scene, started: bool = False, **more: object) -> tuple[DecisionRow, DecisionRow]:
    """A served request and the copy that its caller may make, each naming the other."""
    if not started:
        reward = {"window": "1h"}
        scene.start(mode="shadow", shadow_usd_per_day=5.0, reward=reward, **more)
    served, copy = scene.decision(arm=0), scene.decision(arm=1, reason="shadow", propensity=0.0)
    return (
        replace(served, unit=pair_unit(served.number, copy.number)),
        replace(copy, unit=pair_unit(copy.number, served.number)),
    )


def told(
    scene: Scene, of: DecisionRow, cost: float, latency: float, error: bool = False, **more: object
) -> FeedbackRow:
    """What a caller reports of one call."""
    values = (("cost_usd", cost), ("latency_ms", latency), ("error", float(error)))
    return scene.feedback(of, values=values, **more)


def pairs(scene: Scene) -> dict[str, dict[str, float]]:
    """What the candidate's cell holds of pairs, by metric and moment; cells equal their recount throughout."""
    moments = scene.cell(arm=1).moments
    return {
        metric: dict(zip(MOMENTS, sums, strict=True))
        for metric, sums in moments.items()
        if metric.startswith(("pair_", "pair:"))
    }


def test_a_pair_is_made_when_both_sides_have_reported(idle: Scene) -> None:
    """One side alone says nothing of the other; what both cost and took lies in one row of sums."""
    served, copy = two(idle)
    idle.record(served, copy, told(idle, served, 0.5, 100.0))
    assert pairs(idle) == {}
    idle.record(told(idle, copy, 0.25, 50.0))
    found = pairs(idle)
    assert found.keys() == {"pair_error", "pair_latency_ln", "pair_cost_usd"}
    assert (found["pair_error"]["11"], found["pair_error"]["1R"]) == (1, 0)
    assert found["pair_latency_ln"]["1R"] == pytest.approx(log(0.5))
    cost = found["pair_cost_usd"]
    assert (cost["1R"], cost["1C"], cost["RC"]) == (0.5, 0.25, 0.125)
    assert "pair_error" not in idle.cell(arm=0).moments


def test_any_order_of_arrival_gives_the_same_cells(new_scene: Callable[[], Scene]) -> None:
    """Feedback may come before the decisions are written, twice, and a value of either side may be mended."""
    found = []
    for order in Random(6).sample(list(permutations(range(6))), 40):
        scene = new_scene()
        served, copy = two(scene)
        parts = (
            served,
            copy,
            told(scene, served, 0.5, 100.0),
            told(scene, copy, 0.25, 50.0),
            told(scene, served, 1.0, 200.0, occurred_at_ms=scene.now + 1),
            told(scene, copy, 0.125, 25.0, occurred_at_ms=scene.now + 1),
        )
        for place in (*order, *order):
            scene.record(parts[place])
        scene.check()
        found.append([(cell.arm, cell.counts, cell.moments) for cell in scene.store.cells(1)])
        scene.store.close()
    assert all(cells == found[0] for cells in found)
    (moments,) = [cell[2] for cell in found[0] if cell[0] == 1]
    assert dict(zip(MOMENTS, moments["pair_cost_usd"], strict=True))["RC"] == 0.125


def test_both_sides_in_one_batch_make_one_pair(idle: Scene) -> None:
    """A caller may report them together, and may send the whole list again."""
    served, copy = two(idle)
    rows = (served, copy, told(idle, copy, 0.25, 50.0), told(idle, served, 0.5, 100.0))
    for _ in range(3):
        replies = idle.record(*rows)
    assert {reply.state for reply in replies} == {FeedbackState.DUPLICATE}
    assert pairs(idle)["pair_error"]["11"] == 1


def test_a_failure_that_is_reported_later_takes_back_what_only_answers_have(idle: Scene) -> None:
    """Cost and latency are compared between answers; the error is what the pair says instead."""
    served, copy = two(idle)
    idle.record(served, copy, told(idle, served, 0.5, 100.0), told(idle, copy, 0.25, 50.0))
    idle.record(idle.feedback(copy, values=(("error", 1.0),), occurred_at_ms=idle.now + 1))
    found = pairs(idle)
    assert found.keys() == {"pair_error"}
    assert found["pair_error"]["1R"] == 1
    idle.record(idle.feedback(served, values=(("error", 1.0),), occurred_at_ms=idle.now + 1))
    assert pairs(idle)["pair_error"]["1R"] == 0


def test_a_reward_is_no_report_of_a_call(idle: Scene) -> None:
    """A judgement says nothing of errors, cost or time: a pair waits for both calls."""
    served, copy = two(idle)
    idle.record(served, copy, idle.feedback(served, 1.0), told(idle, copy, 0.25, 50.0))
    assert pairs(idle) == {}
    idle.record(idle.feedback(served, values=(("latency_ms", 100.0),)))
    assert pairs(idle).keys() == {"pair_error", "pair_latency_ln"}


def test_a_side_that_comes_after_the_window_makes_no_pair(idle: Scene) -> None:
    """Late is late: cells that have been read do not change."""
    served, copy = two(idle)
    idle.record(served, copy, told(idle, served, 0.5, 100.0))
    idle.now += WINDOW_MS + 10_000
    assert idle.state_of(told(idle, copy, 0.25, 50.0)) == "late"
    assert pairs(idle) == {}


def test_pairs_do_not_find_strangers(idle: Scene) -> None:
    """Two served requests whose copies are swapped would be two wrong pairs; each copy knows its own."""
    served, copy = two(idle)
    other, others_copy = two(idle, started=True)
    idle.record(served, copy, other, others_copy)
    idle.record(told(idle, served, 0.5, 100.0), told(idle, others_copy, 0.25, 50.0))
    assert pairs(idle) == {}
    idle.record(told(idle, copy, 0.125, 100.0))
    assert (pairs(idle)["pair_cost_usd"]["11"], pairs(idle)["pair_cost_usd"]["RC"]) == (1, 0.0625)


def test_a_judges_metric_is_compared_within_the_pair(idle: Scene) -> None:
    """Where a guardrail declares it, and within its range; what only one side reports says nothing."""
    rules = [{"metric": "quality", "max_decrease": 0.5, "range": [1, 5]}]
    served, copy = two(idle, guardrails=rules)
    idle.record(served, copy, idle.feedback(served, values=(("quality", 4.0), ("taste", 1.0))))
    assert pairs(idle) == {}
    idle.record(idle.feedback(copy, values=(("quality", 9.0), ("taste", 0.0))))
    found = pairs(idle)
    assert found.keys() == {"pair:quality"}, "no call is reported yet, and `taste` is bounded by nothing"
    assert (found["pair:quality"]["11"], found["pair:quality"]["1R"]) == (1, 1.0)
    idle.record(idle.feedback(served, values=(("quality", 2.0),), occurred_at_ms=idle.now + 1))
    assert pairs(idle)["pair:quality"]["1R"] == 3.0
