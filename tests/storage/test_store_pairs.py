"""Copies of requests (mode shadow) in every store: pairs are feedback, counted once in any order of arrival."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import pytest

from experiments.evidence.units import MOMENTS
from router.recording.pairs import DAY_MS, pair_row, spent_today_usd
from storage.records import Batch, CallRow, DecisionRow, FeedbackRow
from tests.storage.scenes import Scene

SERVED_USD, COPIED_USD = 0.01, 0.004


def rows(scene: Scene) -> tuple[DecisionRow, CallRow, DecisionRow, CallRow, FeedbackRow]:
    """A served request and its copy: both decisions, both calls, and what the pair says."""
    scene.start(mode="shadow", shadow_usd_per_day=5.0)
    decision = scene.decision("one", arm=0)
    copy = scene.decision("two", arm=1, reason="shadow", propensity=0.0)
    served = replace(scene.call(decision), cost_usd=SERVED_USD, latency_ms=100.0)
    copied = replace(scene.call(copy), cost_usd=COPIED_USD, latency_ms=50.0)
    return decision, served, copy, copied, pair_row(served, copied, scene.now)


def test_a_pair_is_counted_beside_the_copys_own_cost(idle: Scene) -> None:
    """The comparison of costs needs both of a pair in one row of sums; the control's cell knows nothing of it."""
    decision, served, copy, copied, pair = rows(idle)
    idle.store.record(Batch((decision, copy), (served, copied), (pair,)), idle.now)
    control, candidate = idle.store.cells(1)
    assert "pair_cost_usd" not in control.moments
    moments = dict(zip(MOMENTS, candidate.moments["pair_cost_usd"], strict=True))
    assert moments["RC"] == pytest.approx(SERVED_USD * COPIED_USD)
    assert (moments["11"], moments["1R"], moments["1C"]) == (1, SERVED_USD, COPIED_USD)
    assert dict(zip(MOMENTS, candidate.moments["pair_error"], strict=True))["1R"] == 0
    assert idle.store.recount(1)[1].moments == candidate.moments


def test_any_order_of_arrival_gives_the_same_sums(new_scene: Callable[[], Scene]) -> None:
    """The pair's word may come before the copy's decision and call are written."""
    found = []
    for order in permutations(range(3)):
        scene = new_scene()
        decision, served, copy, copied, pair = rows(scene)
        scene.store.record(Batch((decision,), (served,)), scene.now)
        parts = (Batch((copy,)), Batch((), (copied,)), Batch((), (), (pair,)))
        for place in (*order, *order):
            scene.store.record(parts[place], scene.now)
        found.append(scene.store.cells(1)[1].moments)
        scene.store.close()
    for moments in found[1:]:
        assert moments.keys() == found[0].keys()
        for metric, sums in moments.items():
            assert sums == pytest.approx(found[0][metric])


def test_what_copies_cost_today_is_read_from_the_cells(idle: Scene) -> None:
    """The cap of a day holds for all workers of a store, whichever it is; the control's cost is no part of it."""
    decision, served, copy, copied, pair = rows(idle)
    assert spent_today_usd(idle.store, 1, idle.now) == 0
    idle.store.record(Batch((decision, copy), (served, copied), (pair,)), idle.now)
    assert spent_today_usd(idle.store, 1, idle.now) == pytest.approx(COPIED_USD)
    idle.now += DAY_MS - idle.now % DAY_MS
    idle.next_epoch(2, (1.0, 0.0))
    assert spent_today_usd(idle.store, 1, idle.now + 1) == 0
