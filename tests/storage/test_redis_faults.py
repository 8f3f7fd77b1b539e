"""Dead, frozen, full and forgetful Redis servers: the store refuses in clear words, and goes on when it can."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from storage.errors import StoreError, StoreIncompatible, StoreUnavailable
from storage.records import Batch, PutConfig
from storage.redis.keys import VERSION, Keyspace
from storage.redis.store import RedisStore
from tests.storage.redis_server import Server, shared_server
from tests.storage.scenes import Scene, unit_digest

ANN = unit_digest("ann")
USES: dict[str, Callable[[RedisStore], object]] = {
    "state_version": lambda store: store.state_version(),
    "state": lambda store: store.state(),
    "experiment": lambda store: store.experiment("first"),
    "commit": lambda store: store.commit([PutConfig("{}", 0)]),
    "audit": lambda store: store.audit(),
    "record": lambda store: store.record(Batch(), 1),
    "assignment": lambda store: store.assignment(1, ANN),
    "epochs": lambda store: store.epochs(1),
    "cells": lambda store: store.cells(1),
    "recount": lambda store: store.recount(1),
    "traffic": lambda store: store.traffic(),
    "export": lambda store: list(store.export("units")),
    "lease": lambda store: store.acquire_lease("planner", "a", 1, 500),
    "progress": lambda store: store.progress(1),
    "report": lambda store: store.report(1),
    "worker": lambda store: store.claim_worker("a", 1, 500),
    "warnings": lambda store: store.warnings(),
}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, with the options of its parameter."""
    started = Server(*getattr(request, "param", ()))
    yield started
    with suppress(ProcessLookupError):
        started.thaw()
    started.stop()


@pytest.fixture
def scene(server: Server) -> Iterator[Scene]:
    """A scene with a running experiment and ten outcomes on that server."""
    scene = Scene(server.new_store())
    scene.start()
    scene.record(*scene.outcomes(10))
    yield scene
    scene.store.close()


def books(store: RedisStore) -> tuple[object, ...]:
    """Everything a batch may change."""
    exports = [list(store.export(kind)) for kind in ("decisions", "calls", "feedback", "units")]
    return store.cells(1), store.traffic(), exports


def test_a_dead_server_is_unavailable_at_once_and_at_every_call(server: Server, scene: Scene) -> None:
    """The client library would try for four seconds and raise errors of its own."""
    server.kill()
    began_s = time.monotonic()
    for use in USES.values():
        with pytest.raises(StoreUnavailable, match=r"redis://127\.0\.0\.1:\d+/0 cannot be reached"):
            use(scene.store)
    with pytest.raises(StoreUnavailable):
        RedisStore(server.url)
    assert time.monotonic() - began_s < 1


def test_a_server_that_lost_its_data_is_not_taken_for_the_store(server: Server, scene: Scene) -> None:
    """An empty answer would look like an empty table of routes, and traffic would follow it."""
    server.kill()
    server.start()
    assert scene.store.assignment(1, ANN) is None
    for name, use in USES.items():
        if name not in ("assignment", "warnings"):
            with pytest.raises(StoreIncompatible, match="was emptied or replaced"):
                use(scene.store)
    with pytest.raises(StoreIncompatible):
        scene.record(*scene.outcomes(1))
    assert server.client().dbsize() == 0
    anew = server.new_store()
    assert anew.state_version() == 0
    anew.close()


@pytest.mark.parametrize(
    "server", [("--appendonly", "yes", "--appendfsync", "always")], indirect=True, ids=["aof"]
)
def test_with_a_log_everything_is_there_after_a_crash_and_the_store_goes_on(
    server: Server, scene: Scene
) -> None:
    """Connections of before the crash heal by themselves, at a commit too, which is never sent twice."""
    before = books(scene.store)
    server.kill()
    server.start()
    version = scene.store.state_version()
    assert scene.store.commit([PutConfig("{}", 0)]) == version + 1
    assert books(scene.store) == before
    assert scene.store.warnings() == []
    scene.check()


def test_a_frozen_server_answers_no_request_late(server: Server, scene: Scene) -> None:
    """A request waits for the look-up; past 0.2 s it had better be served by its hash."""
    server.freeze()
    for look_up in (USES["assignment"], USES["state_version"]):
        spans_s = []
        for _ in range(3):
            began_s = time.monotonic()
            with pytest.raises(StoreUnavailable, match="does not answer in time"):
                look_up(scene.store)
            spans_s.append(time.monotonic() - began_s)
        assert min(spans_s) < 0.2
        assert max(spans_s) < 1
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer in time"):
        scene.record(*scene.outcomes(1))
    assert time.monotonic() - began_s < 4
    server.thaw()
    assert scene.store.state_version() == 1
    assert scene.store.assignment(1, ANN) is None
    scene.check()


def test_a_batch_whose_answer_was_lost_counts_once_when_it_is_sent_again(
    server: Server, scene: Scene
) -> None:
    """The frozen server carries out what it was sent once it thaws, though nobody waits for it any more."""
    rows = scene.outcomes(5, first=100)
    server.freeze()
    with pytest.raises(StoreUnavailable):
        scene.record(*rows)
    server.thaw()
    assert {str(reply.state) for reply in scene.record(*rows)} <= {"applied", "duplicate"}
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 15
    scene.check()


def test_forgotten_scripts_are_loaded_again(server: Server, scene: Scene) -> None:
    """SCRIPT FLUSH, a restart or a failover empties the server's cache of scripts."""
    server.client().script_flush()
    scene.record(*scene.outcomes(5, first=50))
    server.client().script_flush()
    scene.store.commit([PutConfig("{}", 0)])
    server.client().script_flush()
    RedisStore(server.url).close()
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 15


def test_a_full_server_refuses_whole_batches_and_recovers(server: Server, scene: Scene) -> None:
    """Out of memory must end in an honest refusal, with nothing of the batch written."""
    control = server.client()
    before = books(scene.store)
    control.config_set("maxmemory-policy", "noeviction")
    control.config_set("maxmemory", "1mb")
    for write in (
        lambda: scene.record(*scene.outcomes(200, first=1_000)),
        lambda: scene.store.commit([PutConfig("{}", 0)]),
        lambda: scene.store.acquire_lease("planner", "a", 1, 500),
        lambda: scene.store.claim_worker("a", 1, 500),
        lambda: server.new_store(),
    ):
        with pytest.raises(StoreUnavailable, match="is full"):
            write()
    assert books(scene.store) == before
    assert scene.store.state_version() == 1
    control.config_set("maxmemory", "0")
    scene.record(*scene.outcomes(200, first=5_000))
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 210
    scene.check()


def test_a_server_that_fills_up_on_the_way_never_keeps_half_a_batch(server: Server, scene: Scene) -> None:
    """The limit may be crossed in the midst of a script; from then on whole batches are refused."""
    control = server.client()
    limit = int(control.info("memory")["used_memory"]) + 600_000
    control.config_set("maxmemory", limit)
    accepted = refused = 0
    for first in range(1_000, 5_000, 100):
        try:
            scene.record(*scene.outcomes(100, first))
            accepted += 100
        except StoreUnavailable:
            refused += 100
        if refused > 300:
            break
    assert accepted
    assert refused
    control.config_set("maxmemory", "0")
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 10 + accepted
    assert sum(count.decisions for count in scene.store.traffic()) == 10 + accepted
    for kind in ("decisions", "calls", "feedback", "units"):
        assert len(list(scene.store.export(kind))) == 10 + accepted
    scene.check()


def test_a_replica_takes_no_writes_and_says_so(server: Server, scene: Scene) -> None:
    """After a failover the old primary's address leads to a replica."""
    before = books(scene.store)
    server.client().replicaof("127.0.0.1", "1")
    for write in (
        lambda: scene.record(*scene.outcomes(1)),
        lambda: scene.store.commit([PutConfig("{}", 0)]),
    ):
        with pytest.raises(StoreUnavailable, match="read-only replica"):
            write()
    assert any("is a replica" in warning for warning in scene.store.warnings())
    server.client().replicaof("NO", "ONE")
    assert books(scene.store) == before
    scene.record(*scene.outcomes(1))


@pytest.mark.parametrize(
    "place", ["decisions", "effects", "units", "feedback", "numbers", "traffic", "cells"]
)
def test_a_key_of_a_wrong_type_is_refused_before_anything_is_written(place: str) -> None:
    """Another program's key under our name must not leave half a batch behind."""
    store, control = shared_server().new_store(), shared_server().client()
    keys = store._server.keys
    scene = Scene(store)
    scene.start()
    foreign = keys.cells(1, 1) if place == "cells" else keys.ledger(1, place)  # type: ignore[arg-type]  # places are a literal type
    control.set(foreign, "foreign")
    decision = scene.decision()
    with pytest.raises(StoreIncompatible, match="another type"):
        scene.record(decision, scene.call(decision), scene.feedback(decision))
    assert control.get(foreign) == "foreign"
    control.delete(foreign)
    scene.cell()
    assert books(store) == ([], [], [[], [], [], []])
    assert scene.state_of(decision, scene.call(decision), scene.feedback(decision)) == "applied"
    store.close()


def test_a_commit_on_a_key_of_a_wrong_type_changes_nothing() -> None:
    """As above, for the state."""
    store, control = shared_server().new_store(), shared_server().client()
    control.set(store._server.keys.state("leases"), "foreign")
    with pytest.raises(StoreIncompatible, match="another type"):
        store.acquire_lease("planner", "a", 1, 500)
    control.set(store._server.keys.state("audit"), "foreign")
    assert store.state_version() == 0
    store.close()


def test_another_programs_keys_are_refused_and_left_alone() -> None:
    """A prefix that is in use must not be taken over."""
    server = shared_server()
    control = server.client()
    keys = Keyspace("foreign")
    control.hset(keys.state("routes"), "a", "b")
    with pytest.raises(StoreIncompatible, match="another program's keys; name another prefix"):
        RedisStore(f"{server.url}?prefix=foreign")
    control.delete(keys.state("routes"))
    control.hset(keys.state("meta"), "name", "theirs")
    with pytest.raises(StoreIncompatible, match="another program's keys"):
        RedisStore(f"{server.url}?prefix=foreign")
    assert control.hgetall(keys.state("meta")) == {"name": "theirs"}
    control.delete(keys.state("meta"))
    control.set(keys.state("meta"), "text")
    with pytest.raises(StoreIncompatible, match="another type"):
        RedisStore(f"{server.url}?prefix=foreign")
    control.delete(keys.state("meta"))


@pytest.mark.parametrize(
    ("schema", "words"), [(str(VERSION + 1), "use a newer release"), ("0", "use an older release")]
)
def test_another_schema_is_refused_with_clear_words(schema: str, words: str) -> None:
    """An old release must not write rows that a newer one reads otherwise."""
    store = shared_server().new_store()
    key = store._server.keys.state("meta")
    prefix = key.partition(":")[0]
    shared_server().client().hset(key, "schema", schema)
    with pytest.raises(
        StoreIncompatible, match=f"schema {schema}, this release reads schema {VERSION}; {words}"
    ):
        RedisStore(f"{shared_server().url}?prefix={prefix}")
    store.close()


@pytest.mark.parametrize("server", [("--requirepass", "hunter2")], indirect=True, ids=["password"])
def test_a_password_opens_the_store_and_is_in_no_message(server: Server) -> None:
    """Errors end up in logs, tickets and terminals."""
    place = f"127.0.0.1:{server.port}/0"
    RedisStore(f"redis://:hunter2@{place}").close()
    for url in (f"redis://{place}", f"redis://:swordfish@{place}", f"redis://ann:hunter2@{place}"):
        with pytest.raises(StoreUnavailable, match=r"password") as caught:
            RedisStore(url)
        shown = f"{caught.value!r} {caught.value.__cause__!r}"
        assert "hunter2" not in shown
        assert "swordfish" not in shown
    server.kill()
    with pytest.raises(StoreUnavailable) as caught:
        RedisStore(f"redis://ann:hunter2@{place}")
    assert "hunter2" not in repr(caught.value)


def test_the_warnings_name_what_endangers_acknowledged_outcomes(server: Server) -> None:
    """A stock server keeps a snapshot now and then, which is no ledger."""
    store = server.new_store()
    assert [warning.partition(":")[0] for warning in store.warnings()] == ["appendonly is off"]
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    assert any("maxmemory-policy is allkeys-lru" in warning for warning in store.warnings())
    store.close()


def test_only_store_errors_leave_the_store_while_its_server_comes_and_goes(server: Server) -> None:
    """The recorder's thread lives on errors that it knows, and only on those."""
    store = server.new_store()
    scene = Scene(store)
    scene.start()
    for interrupt in (server.kill, server.start, lambda: server.client().client_kill_filter(skipme=True)):
        interrupt()
        for use in USES.values():
            with suppress(StoreError):
                use(store)
        with suppress(StoreError):
            scene.record(*scene.outcomes(3))
    store.close()
