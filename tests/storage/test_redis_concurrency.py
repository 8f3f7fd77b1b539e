"""Recorders, committers and planners of several processes on one Redis store: nothing lost, nothing twice."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from experiments.evidence.epochs import Epoch
from experiments.evidence.pairs import pair_unit
from storage import join
from storage.errors import StoreConflict
from storage.records import AuditEntry, Batch, FreezeReport, OpenEpoch, PutConfig
from storage.redis.desk import Cell, Raced, persistently, swap
from storage.redis.reads import read_ahead
from storage.redis.store import RedisStore
from storage.redis.writes import write
from storage.staging import Staging
from tests.storage.redis_server import shared_server
from tests.storage.scenes import Row, Scene


@pytest.fixture
def url() -> str:
    """An empty store's URL, as several processes would be given it."""
    store = shared_server().new_store()
    prefix = store._server.keys.state("meta").partition(":")[0]
    store.close()
    return f"{shared_server().url}?prefix={prefix}"


@pytest.fixture
def scene(url: str) -> Scene:
    """A running experiment on that store."""
    scene = Scene(RedisStore(url))
    scene.start()
    return scene


def batch_of(*rows: Row) -> Batch:
    """The rows as one batch."""
    caught: list[Batch] = []

    class Catcher:
        def record(self, batch: Batch, now_ms: int) -> list[object]:
            caught.append(batch)
            return []

    Scene(Catcher()).record(*rows)  # type: ignore[arg-type]  # it catches batches and is no whole store
    return caught[0]


def interrupted(scene: Scene, rows: list[Row], meanwhile: list[Row]) -> bool:
    """Whether a batch is written although `meanwhile` was recorded after the batch was read."""
    store, batch = scene.store, batch_of(*rows)
    seen = read_ahead(store._server, {1: batch}, {}, scene.now)[1]
    staging = Staging(seen, scene.now)
    join.apply(staging, batch)
    Scene(store, now=scene.now).record(*meanwhile)
    return write(store._server, seen, staging)


def test_a_batch_is_refused_if_anything_it_looked_at_has_changed(scene: Scene) -> None:
    """Each of these would count twice, or not at all, if the second writer did not look again."""
    ann, bob, cid, dan = (scene.decision(name) for name in ("ann", "bob", "cid", "dan"))
    outside = scene.decision("eve", epoch=0, degraded=True)
    scene.record(ann, bob, scene.feedback(bob))
    keyed = scene.feedback(dan, idempotency_key="k")
    tokens = [
        scene.feedback(bob, values=(("input_tokens", count),), occurred_at_ms=scene.now + count)
        for count in (5, 6)
    ]
    older = scene.feedback(bob, 0.0, idempotency_key="k", occurred_at_ms=scene.now - 9)
    cases: dict[str, tuple[list[Row], list[Row]]] = {
        "the unit's row": ([scene.decision("ann")], [scene.call(ann)]),
        "the decision": ([outside], [outside]),
        "the call": ([scene.call(outside)], [scene.call(outside)]),
        "the effect": (tokens[:1], tokens[1:]),
        "the try": ([older], [older]),
        "a new unit": ([dan], [keyed]),
        "the same decision": ([cid], [cid]),
    }
    for what, (rows, meanwhile) in cases.items():
        assert not interrupted(scene, rows, meanwhile), what
        scene.check()


def test_one_side_of_a_pair_is_refused_if_the_other_has_come_meanwhile(url: str) -> None:
    """Two nodes that take the two sides at once would each find the other's missing, and the pair would never be."""
    scene = Scene(RedisStore(url))
    scene.start(mode="shadow", shadow_usd_per_day=5.0)
    for first in (0, 1):
        decided = [scene.decision(arm=arm) for arm in (0, 1)]
        numbers = [row.number for row in decided]
        sides = [replace(row, unit=pair_unit(row.number, sum(numbers) - row.number)) for row in decided]
        told = [scene.feedback(side, values=(("cost_usd", 0.5), ("latency_ms", 9.0))) for side in sides]
        scene.record(*sides)
        assert not interrupted(scene, told[first : first + 1], told[1 - first : 2 - first])
        scene.record(told[first])
    assert scene.cell(arm=1).moments["pair_cost_usd"][0] == 2


def test_batches_that_share_nothing_do_not_disturb_each_other(scene: Scene) -> None:
    """Workers write other units nearly always; a look at the experiment as a whole would make them queue."""
    scene.record(scene.decision("first"))
    first, second = scene.outcomes(20), scene.outcomes(20, first=20)
    assert interrupted(scene, first, second)
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 41
    scene.check()


def test_a_refused_batch_is_joined_anew_until_it_fits(scene: Scene) -> None:
    """Eight threads on the same three units: every difference arrives, none twice."""
    decisions = [scene.decision(number % 3, arm=number % 3 % 2) for number in range(240)]
    rows = [[decision, scene.call(decision, 0.5)] for decision in decisions]
    scene.record(*[row for pair in rows[:3] for row in pair])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: scene.record(*pair), rows[3:]))
        list(pool.map(lambda decision: scene.record(scene.feedback(decision)), decisions))
    exported = list(scene.store.export("units"))
    assert [row["requests"] for row in exported] == [80] * 3
    assert [(row["calls"], row["feedback"], row["cost_usd"]) for row in exported] == [(80, 80, 40.0)] * 3
    assert scene.store.traffic()[0].decisions == 240
    scene.check()


def test_the_same_feedback_on_two_workers_at_once_counts_once(scene: Scene) -> None:
    """A client that retries over a load balancer reaches another worker within the same millisecond."""
    decisions = [scene.decision(number) for number in range(60)]
    scene.record(*decisions, *map(scene.call, decisions))
    tries = [scene.feedback(decision, idempotency_key="try") for decision in decisions]
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(scene.state_of, [row for row in tries for _ in range(3)]))
    assert sorted(replies) == ["applied"] * 60 + ["duplicate"] * 120
    assert len(list(scene.store.export("feedback"))) == 60
    assert scene.cell().moments["reward"][:3] == (60, 60, 60)


def record_in_child(url: str, worker: int, batches: int) -> None:
    """One worker process: batches of outcomes, each with one more request of a unit that all workers share."""
    scene = Scene(RedisStore(url), sequence=(1 + worker) << 16)
    for batch in range(batches):
        shared = scene.decision("shared", arm=0)
        scene.record(
            *scene.outcomes(4, 1_000 * worker + 4 * batch),
            shared,
            scene.call(shared, 0.5),
            scene.feedback(shared),
        )
    scene.store.close()


def test_processes_that_write_at_once_lose_nothing(url: str, scene: Scene) -> None:
    """Several nodes share the store: sums are changed by addition and rows by compare-and-set."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=record_in_child, args=(url, worker, 40)) for worker in (1, 2)]
    for worker in workers:
        worker.start()
    record_in_child(url, 3, 40)
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    cells = scene.store.cells(1)
    assert sum(cell.counts[0] for cell in cells) == 3 * 40 * 4 + 1
    assert sum(cell.moments["reward"][1] for cell in cells) == 3 * 40 * 5
    assert len(list(scene.store.export("decisions"))) == 3 * 40 * 5
    scene.check()


def test_readers_beside_writers_see_whole_epochs(scene: Scene) -> None:
    """Counts and moments of a cell are of one instant; a report may not divide one by another instant's other."""
    batches = [scene.outcomes(5, first) for first in range(0, 300, 5)]
    with ThreadPoolExecutor(3) as pool:
        written = [pool.submit(scene.record, *rows) for rows in batches]
        while not all(batch.done() for batch in written):
            for cell in scene.store.cells(1):
                assert cell.moments["reward"][0] == cell.counts[0]
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 300


def test_a_store_opened_before_a_fork_serves_both_processes(scene: Scene) -> None:
    """Servers open the store, then fork workers; two processes on one connection would read each other's replies."""
    scene.record(*scene.outcomes(4))
    child = os.fork()
    if not child:
        status = 1
        try:
            scene.sequence = 1 << 16
            for first in range(100, 180, 4):
                scene.record(*scene.outcomes(4, first))
            status = 0
        finally:
            os._exit(status)
    for first in range(200, 280, 4):
        scene.record(*scene.outcomes(4, first))
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 164
    scene.check()


def test_commits_at_once_are_made_one_after_the_other(url: str) -> None:
    """Commits that expect nothing of each other all succeed; of those that expect the same, one does."""
    stores = [RedisStore(url) for _ in range(4)]
    entry = AuditEntry(1, "ann", "note", "x")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda store: [store.commit([], entry) for _ in range(15)], stores))
        assert sorted(version for versions in made for version in versions) == list(range(1, 61))

        def put(store: RedisStore) -> bool:
            try:
                store.commit([PutConfig("{}", 0)])
            except StoreConflict:
                return False
            return True

        assert sorted(pool.map(put, stores)) == [False, False, False, True]
    assert len(stores[0].audit()) == 60
    for store in stores:
        store.close()


def test_leases_and_numbers_go_to_one_of_those_that_ask_at_once(url: str) -> None:
    """Two planners, or two workers of one number, are what these are there to prevent."""
    stores = [RedisStore(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(store.acquire_lease, "planner", f"p{n}", 1, 500) for n, store in enumerate(stores)
        ]
        leases = [future.result() for future in asked]
        claims = [pool.submit(store.claim_worker, f"w{n}", 1, 500) for n, store in enumerate(stores)]
        numbers = [future.result() for future in claims]
    assert len([lease for lease in leases if lease]) == 1
    assert sorted(numbers) == list(range(8))
    for store in stores:
        store.close()


def test_a_report_frozen_between_reading_and_writing_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner that renders a report and the commit that ends the experiment may cross."""
    store = scene.store
    lease = store.acquire_lease("planner", "a", 1_000, 500)
    read = store._value

    def read_then_freeze(name: str, field: str) -> bytes | None:
        found: bytes | None = read(name, field)
        if name == "reports" and found is None:
            RedisStore.commit(store, [FreezeReport(1, "evidence")], now_ms=1_002)
        return found

    monkeypatch.setattr(store, "_value", read_then_freeze)
    store.put_report(1, "later", lease, 1_001)
    assert store.report(1).body == "evidence"


def test_a_lease_lost_between_look_and_write_fences_the_write(scene: Scene) -> None:
    """Fencing holds at the instant of the write, not at the look before it."""
    store = scene.store
    lease = store.acquire_lease("planner", "a", 1_000, 500)
    held = store._held(lease, 1_001)
    store.acquire_lease("planner", "b", 1_500, 500)
    with pytest.raises(Raced):
        swap(store._server, [held], [Cell(store._key("progress"), "1", "{}")])
    assert store.progress(1) == ""


def test_whoever_loses_every_race_hears_of_it(scene: Scene) -> None:
    """Trying for ever would hang a writer thread."""

    def lose() -> None:
        raise Raced

    with pytest.raises(Exception, match="50 other writes came in between"):
        persistently(scene.store._server, lose)


def test_an_epoch_closed_by_another_process_is_seen(url: str, scene: Scene) -> None:
    """Closed epochs are remembered, open ones are not: the other planner's tick counts from the next batch on."""
    planner: Callable[..., int] = RedisStore(url).commit
    decision = scene.decision("ann")
    scene.record(decision)
    planner([OpenEpoch(Epoch(1, 2, scene.now + 1, (0.25, 0.75)))], now_ms=scene.now + 1)
    scene.now += 86_400_000 + 2_001
    assert scene.state_of(scene.feedback(decision)) == "late"
