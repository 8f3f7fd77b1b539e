"""Leases, fencing and worker numbers in every store."""

from collections.abc import Callable

import pytest

from storage.errors import LeaseLost, StoreUnavailable
from storage.records import AuditEntry, FreezeReport, Lease, PutConfig, StoredReport
from storage.store import Store
from tests.storage.scenes import Scene


def test_one_holder_at_a_time(store: Store) -> None:
    """Two planners would open epochs against each other."""
    lease = store.acquire_lease("planner", "a", 1000, 500)
    assert (lease.holder, lease.token, lease.expires_at_ms) == ("a", 1, 1500)
    assert store.acquire_lease("planner", "b", 1499, 500) is None
    assert store.acquire_lease("other", "b", 1499, 500).token == 1


def test_a_holder_renews_with_the_same_token(store: Store) -> None:
    """Renewal is no change of power; work in flight stays valid."""
    store.acquire_lease("planner", "a", 1000, 500)
    renewed = store.acquire_lease("planner", "a", 1400, 500)
    assert (renewed.token, renewed.expires_at_ms) == (1, 1900)
    late = store.acquire_lease("planner", "a", 5000, 500)
    assert (late.token, late.expires_at_ms) == (1, 5500)


def test_a_new_holder_gets_a_greater_token(store: Store) -> None:
    """The token tells a late writer from the one in power."""
    store.acquire_lease("planner", "a", 1000, 500)
    taken = store.acquire_lease("planner", "b", 1500, 500)
    assert (taken.holder, taken.token) == ("b", 2)
    assert store.acquire_lease("planner", "a", 1600, 500) is None
    assert store.acquire_lease("planner", "a", 2000, 500).token == 3


def test_a_released_lease_is_free_at_once_and_its_token_is_spent(store: Store) -> None:
    """A planner that stops in order lets the next begin without waiting."""
    lease = store.acquire_lease("planner", "a", 1000, 500)
    store.release_lease(lease)
    taken = store.acquire_lease("planner", "b", 1001, 500)
    assert taken.token == 2
    store.release_lease(lease)
    assert store.acquire_lease("planner", "c", 1002, 500) is None
    with pytest.raises(LeaseLost):
        store.commit([PutConfig("{}", 0)], lease=lease, now_ms=1002)


def _attempts(scene: Scene, lease: Lease, now_ms: int) -> tuple[Callable[[], object], ...]:
    return (
        lambda: scene.store.commit([PutConfig("{}", 0)], AuditEntry(1, "p", "x", "y"), lease, now_ms),
        lambda: scene.store.put_progress(1, "{}", lease, now_ms),
        lambda: scene.store.put_report(1, "{}", lease, now_ms),
    )


def _assert_untouched(scene: Scene, version: int) -> None:
    assert scene.store.state_version() == version
    assert scene.store.state().config is None
    assert (scene.store.progress(1), scene.store.report(1), scene.store.audit()) == ("", None, [])


def test_a_superseded_holder_is_refused_and_changes_nothing(scene: Scene) -> None:
    """A planner that was stopped past its lease and goes on must not undo its successor's work."""
    version = scene.store.state_version()
    old = scene.store.acquire_lease("planner", "a", 1000, 500)
    scene.store.acquire_lease("planner", "b", 1500, 500)
    for attempt in _attempts(scene, old, 1501):
        with pytest.raises(LeaseLost, match="superseded"):
            attempt()
    _assert_untouched(scene, version)


def test_an_expired_holder_is_refused_even_without_a_rival(scene: Scene) -> None:
    """Whoever sleeps past its lease must look again before it acts."""
    version = scene.store.state_version()
    lease = scene.store.acquire_lease("planner", "a", 1000, 500)
    for attempt in _attempts(scene, lease, 1500):
        with pytest.raises(LeaseLost, match="ended 0 ms ago"):
            attempt()
    _assert_untouched(scene, version)
    for attempt in _attempts(scene, lease, 1499):
        attempt()
    assert scene.store.report(1) == StoredReport("{}", 1499)


def test_a_lease_nobody_gave_out_is_refused(scene: Scene) -> None:
    """Fencing fails closed."""
    lease = scene.store.acquire_lease("planner", "a", 1000, 500)
    scene.store.release_lease(lease)
    for attempt in _attempts(scene, lease, 1001):
        with pytest.raises(LeaseLost):
            attempt()


def test_progress_and_reports_are_replaced_per_experiment(scene: Scene) -> None:
    """The planner remembers one thing per experiment between ticks."""
    lease = scene.store.acquire_lease("planner", "a", 1000, 500)
    scene.store.put_progress(1, '{"n": 1}', lease, 1001)
    scene.store.put_progress(1, '{"n": 2}', lease, 1002)
    scene.store.put_progress(2, '{"n": 9}', lease, 1003)
    assert [scene.store.progress(number) for number in (1, 2, 3)] == ['{"n": 2}', '{"n": 9}', ""]
    scene.store.put_report(1, "first", lease, 1004)
    scene.store.put_report(1, "second", lease, 1005)
    assert scene.store.report(1) == StoredReport("second", 1005)


def test_a_frozen_report_stays(scene: Scene) -> None:
    """The evidence of a decision may not be rewritten by the tick that comes after it."""
    lease = scene.store.acquire_lease("planner", "a", 1000, 500)
    scene.store.put_report(1, "draft", lease, 1001)
    scene.store.commit([FreezeReport(1, "evidence")], now_ms=1002)
    scene.store.put_report(1, "later", lease, 1003)
    assert scene.store.report(1) == StoredReport("evidence", 1002, frozen=True)


def test_workers_get_the_lowest_free_number(store: Store) -> None:
    """The number is part of every decision number, so two workers may never share one."""
    assert [store.claim_worker(name, 1000, 500) for name in "abc"] == [0, 1, 2]
    assert store.claim_worker("b", 1400, 500) == 1
    assert store.claim_worker("d", 1500, 500) == 0
    assert store.claim_worker("a", 1501, 500) == 2
    assert store.claim_worker("e", 1600, 500) == 3


def test_a_worker_keeps_its_number_if_nobody_took_it(store: Store) -> None:
    """A paused machine goes on as before when it can."""
    assert store.claim_worker("a", 1000, 500) == 0
    assert store.claim_worker("a", 9000, 500) == 0


def test_the_sixty_fifth_worker_is_refused(store: Store) -> None:
    """Six bits hold the number; a sixty-fifth would share decision numbers with another."""
    assert [store.claim_worker(f"w{number}", 1000, 500) for number in range(64)] == list(range(64))
    with pytest.raises(StoreUnavailable, match="all 64 worker numbers are taken"):
        store.claim_worker("w64", 1001, 500)
    assert store.claim_worker("w64", 1500, 500) == 0
