"""docs/keyspace.md, the keys of the code and the keys on a server are the same; slots and rights are kept."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.evidence.epochs import Epoch
from storage.errors import StoreIncompatible, StoreUnavailable
from storage.records import AuditEntry, FreezeReport, KeyRow, OpenEpoch, PutConfig, PutKey, PutRoute, RouteRow
from storage.redis.address import parse_address
from storage.redis.client import SCRIPTS, source
from storage.redis.keys import VERSION, Keyspace, patterns
from storage.redis.store import RedisStore
from storage.store import Store
from tests.storage.redis_server import Server, free_port, shared_server
from tests.storage.scenes import Scene

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keyspace.md").read_text(encoding="utf-8")
LONGEST = 2**63 - 1


def use_everything(store: Store) -> Scene:
    """Touch every key that a store has."""
    scene = Scene(store)
    scene.start()
    scene.start(2, "second", "sales")
    rows = scene.outcomes(6)
    scene.record(*rows, scene.decision(experiment_id=0, epoch=0), scene.decision("x", epoch=0, degraded=True))
    scene.record(scene.feedback(scene.decision("ann"), idempotency_key="k"), scene.decision(experiment_id=2))
    lease = store.acquire_lease("planner", "a", 1, 500)
    assert lease is not None
    store.put_progress(1, "{}", lease, 2)
    store.put_report(2, "report", lease, 2)
    store.claim_worker("a", 1, 500)
    store.take_allowance("model:big:rpm", 1, 1.0, 10.0)
    route = RouteRow("support", "dear", 0, "hand", 1, "ann")
    key = PutKey(KeyRow("k", "h", ("admin",), 1))
    changes = [PutConfig("{}", 0), PutRoute(route), key, FreezeReport(1, "evidence")]
    store.commit(changes, AuditEntry(1, "ann", "apply", "file"), lease, 2)
    store.commit([OpenEpoch(Epoch(1, 2, scene.now, (0.5, 0.5)))])
    assert (store.state_version(), len(list(store.export("units")))) == (4, 8)
    scene.check()
    return scene


def documented() -> dict[str, str]:
    """Type by key as the page lists them, each with what it holds and how long it lives."""
    rows = re.findall(r"^\| `(pm:[^`]+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    assert all(holds.strip() and lives.strip() for _, _, holds, lives in rows)
    return {key: kind for key, kind, _, _ in rows}


def test_the_page_lists_every_key_with_its_type() -> None:
    """Operators look there before they touch anything."""
    assert documented() == patterns()
    assert f"Schema version: **{VERSION}**" in PAGE


def test_the_keys_on_a_server_are_those_of_the_page() -> None:
    """A key built elsewhere than in keys.py, or of another type than promised, would show here."""
    server = Server()
    try:
        use_everything(RedisStore(server.url))
        control = server.client()
        found = {}
        for key in control.scan_iter():
            pattern = re.sub(
                r"epochs:\d+",
                "epochs:<id>",
                re.sub(r"cells:\d+", "cells:<epoch>", re.sub(r"x:\d+", "x:<id>", key)),
            )
            found[pattern] = control.type(key)
            assert control.ttl(key) == -1
        assert found == patterns()
    finally:
        server.stop()


def test_every_script_works_within_one_slot_of_a_cluster() -> None:
    """A server in cluster mode refuses scripts and transactions whose keys hash apart; tags keep them together."""
    server = Server("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    try:
        server.client().cluster("ADDSLOTSRANGE", 0, 16_383)
        while server.client().cluster("INFO")["cluster_state"] != "ok":
            pass
        use_everything(RedisStore(server.url))
    finally:
        server.stop()


def test_the_rights_on_the_page_are_enough_and_reach_no_other_key() -> None:
    """A user that may do all is a user whose stolen password does all."""
    (rule,) = re.findall(r"^ACL SETUSER pointsman (.+)$", PAGE, flags=re.MULTILINE)
    server = Server()
    try:
        control = server.client()
        control.execute_command("ACL", "SETUSER", "pointsman", *rule.replace("PASSWORD", "hunter2").split())
        place = f"pointsman:hunter2@127.0.0.1:{server.port}/0"
        store = RedisStore(f"redis://{place}")
        use_everything(store)
        assert store.warnings()
        with pytest.raises(StoreUnavailable, match="lets this user not run"):
            RedisStore(f"redis://{place}?prefix=other")
        assert not any(
            "flush" in right or right in ("+keys", "+@all", "+@dangerous") for right in rule.split()
        )
    finally:
        server.stop()


def test_scripts_begin_with_their_keys_and_arguments() -> None:
    """A Lua file is read by whoever debugs at night."""
    for name in SCRIPTS:
        comments = []
        for line in source(name).splitlines():
            if not line.startswith("--"):
                break
            comments.append(line)
        header = "\n".join(comments)
        assert "KEYS[1]" in header
        assert "ARGV[1]" in header
        assert "Returns" in header


def test_no_code_names_all_keys_or_empties_a_server() -> None:
    """KEYS stops a server for seconds, FLUSHALL for good."""
    for path in (ROOT / "storage" / "redis").iterdir():
        if path.suffix in (".py", ".lua"):
            assert not re.search(r"""["'](KEYS|FLUSHALL|FLUSHDB)["']""", path.read_text(encoding="utf-8")), (
                path
            )


def test_numbers_beyond_two_to_the_53rd_stay_exact(new_redis_scene: Callable[[], Scene]) -> None:
    """Decision numbers reach 2^63; a script that took one for a number would round it to a neighbour."""
    scene = new_redis_scene()
    scene.now = LONGEST >> 22
    scene.start(LONGEST, "long", "long")
    decisions = [scene.decision(unit, experiment_id=LONGEST, number=LONGEST - unit) for unit in (2, 1, 0)]
    scene.record(*decisions, *map(scene.call, decisions), *map(scene.feedback, decisions))
    numbers = [LONGEST - 2, LONGEST - 1, LONGEST]
    for kind in ("decisions", "calls", "feedback"):
        assert [row["number"] for row in scene.store.export(kind)] == numbers
    assert scene.store.cells(LONGEST)[0].counts[0] == 3
    assert scene.store.traffic()[0].experiment_id == LONGEST
    row = scene.store.experiment("long")
    assert row is not None
    assert (row.id, row.created_at_ms) == (LONGEST, LONGEST >> 22)


def test_texts_come_back_as_they_went_in(new_redis_scene: Callable[[], Scene]) -> None:
    """Names and comments are users' words: quotes, braces, colons, lines and half a surrogate pair included."""
    words = "a:b\t\"{x:1}\" 'q' \n\u2028 \U0001f600 \ud800 \x00 %s"
    scene = new_redis_scene()
    decision = scene.decision("ann", task=words, reason=words, model=words)
    scene.record(
        decision,
        scene.call(decision, error=words, price_version=words, served_model=words),
        scene.feedback(decision, values=((words, 0.1),), comment=words, idempotency_key=words),
    )
    (exported,) = scene.store.export("decisions")
    assert (exported["task"], exported["reason"], exported["model"]) == (words,) * 3
    (exported,) = scene.store.export("feedback")
    assert (exported["metric"], exported["comment"], exported["idempotency_key"]) == (words,) * 3
    (count,) = scene.store.traffic()
    assert (count.task, count.reason) == (words, words)
    assert scene.cell().moments[words][2] == 0.1
    again = scene.feedback(decision, values=((words, 0.2),), idempotency_key=words)
    assert scene.state_of(again) == "duplicate"


def test_pages_of_rows_join_without_gap_or_repetition(
    new_redis_scene: Callable[[], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export reads page by page; a row on the edge must be there once."""
    monkeypatch.setattr("storage.redis.ledger.PAGE_ROWS", 7)
    for count in (6, 7, 8, 21):
        scene = new_redis_scene()
        scene.record(*scene.outcomes(count))
        for kind in ("decisions", "calls", "feedback", "units"):
            assert len({str(row) for row in scene.store.export(kind)}) == count
        scene.check()


def test_many_texts_in_one_batch_pass_the_limits_of_lua(new_redis_scene: Callable[[], Scene]) -> None:
    """The recorder gathers up to 2,000 rows of a kind; Lua hands over 8,000 values at most."""
    scene = new_redis_scene()
    rows = scene.outcomes(4_500)
    scene.record(*rows)
    scene.now += 1
    feedback = [row for row in rows if hasattr(row, "values")]
    scene.record(*[scene.feedback(row, 1.0, idempotency_key="k") for row in feedback])
    assert {str(reply.state) for reply in scene.record(*rows)} == {"superseded", "duplicate"}
    assert sum(cell.counts[0] for cell in scene.store.cells(1)) == 4_500
    assert sum(cell.moments["reward"][2] for cell in scene.store.cells(1)) == 4_500
    scene.check()


@pytest.fixture
def new_redis_scene() -> Iterator[Callable[[], Scene]]:
    """A maker of scenes with a running experiment, closed after the test."""
    stores = []

    def make() -> Scene:
        stores.append(shared_server().new_store())
        scene = Scene(stores[-1])
        scene.start(9, "other", "other")
        scene.experiments.clear()
        scene.start()
        return scene

    yield make
    for store in stores:
        store.close()


def test_a_url_is_shown_without_its_secrets() -> None:
    """What names the server in errors must not open it."""
    shown = {
        "redis://ann:hunter2@db:6380/3?prefix=p": ("redis://db:6380/3", "p:{state}:meta"),
        "rediss://:hunter2@db?ssl_ca_certs=/ca.pem": ("rediss://db:6379/0", "pm:{state}:meta"),
        "redis://[::1]:7000": ("redis://[::1]:7000/0", "pm:{state}:meta"),
        "unix://ann@/run/redis.sock?db=2&password=hunter2": ("unix:///run/redis.sock", "pm:{state}:meta"),
    }
    for url, (where, meta) in shown.items():
        address = parse_address(url)
        assert (address.where, address.keys.state("meta")) == (where, meta)
        assert "hunter2" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:port/0",
        "redis://h/0?db=x",
        "redis://h?socket_timeout=9&password=hunter2",
        "redis://h?ssl_ca_certs=x",
        "redis://h?prefix=a:b",
        "redis://h?prefix=hunter2{}",
        "redis://[h",
        "unix://",
    ],
)
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    """An option that is not known may be a misspelt password."""
    with pytest.raises(StoreIncompatible) as caught:
        RedisStore(url)
    assert "hunter2" not in str(caught.value)


def test_a_store_under_one_prefix_does_not_see_another() -> None:
    """Staging and production may share a server."""
    one, other = shared_server().new_store(), shared_server().new_store()
    one.commit([PutConfig("{}", 0)])
    assert (one.state_version(), other.state_version()) == (1, 0)
    one.close()
    other.close()


def test_the_socket_leads_to_the_same_store() -> None:
    """On one machine the socket is the shorter way."""
    server = shared_server()
    first = RedisStore(f"{server.url}?prefix=socket")
    first.commit([PutConfig("{}", 0)])
    second = RedisStore(f"{server.socket_url}?prefix=socket")
    assert second.state_version() == 1
    first.close()
    second.close()


def test_a_prefix_cannot_change_the_slots() -> None:
    """A brace in the prefix would be taken for the tag."""
    with pytest.raises(ValueError, match="letters, digits"):
        Keyspace("{a}")
