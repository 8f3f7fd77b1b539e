"""Plan and apply: the file proposes, the store owns champions and started experiments."""

from dataclasses import replace

import pytest

from experiments.definition.lifecycle import ExperimentState
from router.applying.file import parse_document
from router.applying.plan import apply, plan_changes, seed
from router.config.document import Document
from router.deciding.snapshot import build_snapshot
from router.errors import Conflict
from router.steering.control import Control
from storage.errors import StoreConflict
from storage.memory.store import MemoryStore
from storage.records import PutConfig, RouteRow, State

DAY_MS = 86_400_000
NOW_MS = 1_795_132_800_000
"""2026-11-20 in UTC."""


class Time:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


FILE = """\
models:
  big: {base_url: "http://x/v1", price: {input: 3, output: 15}}
  mid: {base_url: "http://x/v1", price: {input: 2, output: 4}}
  small: {base_url: "http://x/v1", price: {input: 1, output: 2}}
  spare: {base_url: "http://x/v1", price: {input: 2, output: 2}}
default: big
tasks:
  support: {default: big, fallbacks: [spare], timeout_s: 20}
  support/billing: {}
experiments:
  cheaper: {task: support, candidates: [big, small]}
"""


def document(*edits: tuple[str, str]) -> Document:
    """The file above with some edits, each of which must apply."""
    text = FILE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return parse_document(text)


@pytest.fixture
def clock() -> Time:
    """The time of the tests."""
    return Time()


@pytest.fixture
def store(clock: Time) -> MemoryStore:
    """A store that holds the file."""
    empty = MemoryStore()
    seed(empty, document(), clock, "ann")
    return empty


def lines(store: MemoryStore, clock: Time, *edits: tuple[str, str], reset: bool = False) -> list[str]:
    """What a plan of the edited file says."""
    return plan_changes(document(*edits), store.state(), clock(), "bob", reset).text.split("\n")


def route(store: MemoryStore, task: str) -> RouteRow:
    """A task's own row."""
    return next(row for row in store.state().routes if row.task == task)


def champion(store: MemoryStore, task: str) -> str:
    """Who serves a task."""
    return build_snapshot(store.state()).tasks[task].champion


def test_an_empty_store_takes_everything_from_the_file(clock: Time) -> None:
    """The first start needs no second command: models, champions and drafts come in one transaction."""
    store = MemoryStore()
    plan = seed(store, document(), clock, "ann")
    assert plan.text.split("\n") == [
        "+ model big: base_url http://x/v1, price $3 in, $15 out per million tokens",
        "+ model mid: base_url http://x/v1, price $2 in, $4 out per million tokens",
        "+ model small: base_url http://x/v1, price $1 in, $2 out per million tokens",
        "+ model spare: base_url http://x/v1, price $2 in, $2 out per million tokens",
        "+ task support: default big, fallbacks [spare], timeout_s 20",
        "+ task support/billing",
        "+ champion of default: big",
        "+ champion of support: big",
        "+ experiment cheaper: a draft on support, small against big; start it with: pointsman start cheaper",
    ]
    state = store.state()
    assert state.version == 1
    assert [row.state for row in state.experiments] == [ExperimentState.DRAFT]
    assert {row.task: row.model for row in state.routes} == {"default": "big", "support": "big"}
    entry = store.audit()[0]
    assert (entry.actor, entry.action, entry.digest) == ("ann", "apply", plan.digest)


def test_seeding_leaves_a_configured_store_alone(store: MemoryStore, clock: Time) -> None:
    """A restart with an edited file must not change traffic: that takes `apply`."""
    before = store.state()
    plan = seed(store, document(("default: big\ntasks", "default: mid\ntasks")), clock, "ann")
    assert plan.changes == ()
    assert store.state() == before


def test_applying_the_same_file_again_changes_nothing(store: MemoryStore, clock: Time) -> None:
    """Deployments apply on each run; an unchanged file must leave no trace."""
    before = store.state()
    plan = apply(store, document(), clock, "bob")
    assert plan.text == "nothing changes"
    assert store.state() == before
    assert len(store.audit()) == 1


def test_a_plan_names_what_changes_in_models_and_tasks(store: MemoryStore, clock: Time) -> None:
    """A reviewer sees old and new of each field; prices read as prices."""
    found = lines(
        store,
        clock,
        ("price: {input: 1, output: 2}", "tier: 1, price: {input: 1, output: 3}"),
        ("fallbacks: [spare]", "fallbacks: [spare, small]"),
        ("  support/billing: {}\n", "  sales: {timeout_s: 5}\n"),
        ("default: big\ntasks", "default: big\ntimeout_s: 60\ntasks"),
    )
    assert found == [
        "~ model small: tier: none -> 1; "
        "price: $1 in, $2 out per million tokens -> $1 in, $3 out per million tokens",
        "~ settings of all tasks: timeout_s: 120 -> 60",
        "+ task sales: timeout_s 5",
        "~ task support: fallbacks: [spare] -> [spare, small]",
        "- task support/billing",
    ]


def test_a_new_order_alone_is_a_change_too(store: MemoryStore, clock: Time) -> None:
    """The order decides between equal rules; it must reach the servers although no entry differs."""
    text = FILE.replace("  support/billing: {}\n", "").replace("tasks:\n", "tasks:\n  support/billing: {}\n")
    plan = plan_changes(parse_document(text), store.state(), clock(), "bob")
    assert plan.text == "~ configuration: the same entries in another order"
    assert [type(change) for change in plan.changes] == [PutConfig]


def test_the_file_moves_a_champion_that_came_from_the_file(store: MemoryStore, clock: Time) -> None:
    """As long as nobody promoted anything, the file is the truth."""
    edit = ("support: {default: big", "support: {default: small")
    assert lines(store, clock, edit) == ["~ champion of support: big -> small"]
    clock.now_ms += DAY_MS
    apply(store, document(edit), clock, "bob")
    row = route(store, "support")
    assert (row.model, row.previous, row.source, row.changed_by) == ("small", "big", "file", "bob")
    assert row.changed_at_ms == NOW_MS + DAY_MS
    assert champion(store, "support/billing") == "small"


def test_a_champion_set_by_hand_is_kept_and_shown(store: MemoryStore, clock: Time) -> None:
    """An old line in a file must not undo what somebody decided on evidence."""
    Control(store, clock).set_route("support", "small", "eve", "cheaper")
    assert lines(store, clock) == [
        "= champion of support: small, kept: set by hand on 2026-11-20 by eve (file says big)",
        "nothing changes",
    ]
    apply(store, document(("support: {default: big", "support: {default: mid")), clock, "bob")
    row = route(store, "support")
    assert (row.model, row.source, row.file_model) == ("small", "hand", "mid")


def test_a_promoted_champion_is_kept_and_shown(store: MemoryStore, clock: Time) -> None:
    """The same after a promotion, which the plan names as such."""
    control = Control(store, clock)
    control.start("cheaper", "ann")
    control.promote("cheaper", "ann", "it won", "small", force=True)
    clock.now_ms += 3 * DAY_MS
    assert lines(store, clock)[0] == (
        "= champion of support: small, kept: promoted on 2026-11-20 by ann (file says big)"
    )
    apply(store, document(), clock, "bob")
    assert champion(store, "support") == "small"


def test_reset_champions_gives_the_file_its_way(store: MemoryStore, clock: Time) -> None:
    """The one explicit way to overrule the store."""
    Control(store, clock).set_route("support", "small", "eve")
    assert lines(store, clock, reset=True) == ["~ champion of support: small -> big"]
    apply(store, document(), clock, "bob", reset_champions=True)
    row = route(store, "support")
    assert (row.model, row.source, row.previous) == ("big", "file", "small")


def test_once_the_file_agrees_it_owns_the_champion_again(store: MemoryStore, clock: Time) -> None:
    """`promote` prints the line to edit; with that done, later edits of the file count again."""
    Control(store, clock).set_route("support", "small", "eve")
    agreed = ("support: {default: big", "support: {default: small")
    assert lines(store, clock, agreed) == [
        "= champion of support: small, set by hand on 2026-11-20 by eve; the file agrees now and owns it again"
    ]
    apply(store, document(agreed), clock, "bob")
    apply(store, document(("support: {default: big", "support: {default: mid")), clock, "bob")
    assert champion(store, "support") == "mid"


def test_a_default_that_leaves_the_file_gives_way_to_the_parents(store: MemoryStore, clock: Time) -> None:
    """Removing the line must do what the file then says: inherit."""
    own = document(("support/billing: {}", "support/billing: {default: mid}"))
    apply(store, own, clock, "bob")
    assert champion(store, "support/billing") == "mid"
    assert lines(store, clock) == ["- champion of support/billing: mid; its parent's champion serves"]
    apply(store, document(), clock, "bob")
    assert champion(store, "support/billing") == "big"
    Control(store, clock).set_route("support", "small", "eve")
    assert champion(store, "support/billing") == "small"
    apply(store, own, clock, "bob")
    assert champion(store, "support/billing") == "mid"


def test_a_draft_follows_the_file(store: MemoryStore, clock: Time) -> None:
    """Nothing was measured yet, so everything may change; identity and salt stay."""
    before = store.state().experiments[0]
    edit = ("candidates: [big, small]", "candidates: [big, mid], traffic: 0.5")
    assert lines(store, clock, edit) == [
        "~ experiment cheaper: candidates: [big, small] -> [big, mid]; traffic: 1 -> 0.5"
    ]
    apply(store, document(edit), clock, "bob")
    after = store.state().experiments[0]
    assert after.definition.candidates == ("big", "mid")
    assert (after.id, after.salt, after.state) == (before.id, before.salt, ExperimentState.DRAFT)


@pytest.mark.parametrize(
    ("move", "remedy"),
    [
        ("start", "is running and frozen; stop it or name it anew"),
        ("pause", "is paused and frozen; stop it or name it anew"),
        ("stop", "is stopped and frozen; name it anew"),
    ],
)
def test_a_started_experiment_is_frozen(store: MemoryStore, clock: Time, move: str, remedy: str) -> None:
    """Evidence under one definition says nothing about another."""
    control = Control(store, clock)
    control.start("cheaper", "ann")
    if move != "start":
        {"pause": control.pause, "stop": control.stop}[move]("cheaper", "ann")
    assert lines(store, clock) == ["nothing changes"]
    edit = ("candidates: [big, small]", "candidates: [big, small], traffic: 0.5")
    assert lines(store, clock, edit) == [f"! experiment cheaper: {remedy} (traffic: 1 -> 0.5)"]


def test_a_refused_plan_changes_nothing_at_all(store: MemoryStore, clock: Time) -> None:
    """Half of a reviewed change is a change that nobody reviewed."""
    Control(store, clock).start("cheaper", "ann")
    before = store.state()
    edited = document(
        ("candidates: [big, small]", "candidates: [big, mid]"), ("timeout_s: 20", "timeout_s: 30")
    )
    with pytest.raises(
        Conflict, match=r"(?s)nothing was applied:.*! experiment cheaper: is running and frozen"
    ):
        apply(store, edited, clock, "bob")
    assert store.state() == before


def test_a_model_in_use_cannot_be_removed(store: MemoryStore, clock: Time) -> None:
    """Traffic that the store sends to a model must find it declared."""
    control = Control(store, clock)
    control.start("cheaper", "ann")
    control.set_route("support/billing", "mid", "eve")
    without_mid = FILE.replace('  mid: {base_url: "http://x/v1", price: {input: 2, output: 4}}\n', "")
    plan = plan_changes(parse_document(without_mid), store.state(), clock(), "bob")
    assert [str(item) for item in plan.refused] == [
        "! model mid: is removed and still the champion of support/billing; "
        "set another (pointsman set-route support/billing MODEL)"
    ]
    without_small = FILE[: FILE.index("experiments:")].replace(
        '  small: {base_url: "http://x/v1", price: {input: 1, output: 2}}\n', ""
    )
    plan = plan_changes(parse_document(without_small), store.state(), clock(), "bob")
    assert [str(item) for item in plan.refused] == [
        "! model small: is removed and still a candidate of cheaper; stop it first"
    ]


def test_a_task_under_experiment_cannot_be_removed(store: MemoryStore, clock: Time) -> None:
    """Its requests would fall to the parent and the experiment would starve unseen."""
    Control(store, clock).start("cheaper", "ann")
    text = FILE[: FILE.index("experiments:")].replace(
        "  support: {default: big, fallbacks: [spare], timeout_s: 20}\n", ""
    )
    plan = plan_changes(parse_document(text), store.state(), clock(), "bob")
    assert [str(item) for item in plan.refused] == [
        "! task support: is removed and still under experiment cheaper; stop it first"
    ]


def test_an_experiment_that_leaves_the_file_is_left_alone(store: MemoryStore, clock: Time) -> None:
    """Deleting a line must not end a measurement; `stop` does, with a reason."""
    Control(store, clock).start("cheaper", "ann")
    plan = apply(store, parse_document(FILE[: FILE.index("experiments:")]), clock, "bob")
    assert plan.text == "= experiment cheaper: no longer in the file; left as it is"
    assert store.state().experiments[0].state is ExperimentState.RUNNING


class RacingStore(MemoryStore):
    """A store in which somebody else is faster, a given number of times."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self.races = races

    def commit(self, changes, audit=None, lease=None, now_ms=0):  # type: ignore[no-untyped-def]  # as the base
        """Lose the race, or commit."""
        if self.races > 0:
            self.races -= 1
            raise StoreConflict("somebody was faster")
        return super().commit(changes, audit, lease, now_ms)


def test_apply_tries_once_more_when_the_state_changed_meanwhile(clock: Time) -> None:
    """A planner's tick between reading and writing is no reason to bother a person."""
    store = RacingStore(races=1)
    apply(store, document(), clock, "bob")
    assert store.state().config is not None


def test_apply_gives_up_with_nothing_changed(clock: Time) -> None:
    """It must not fight another writer for ever, nor say it had succeeded."""
    store = RacingStore(races=2)
    with pytest.raises(Conflict, match="the state changed meanwhile"):
        apply(store, document(), clock, "bob")
    assert store.state().config is None


def test_a_stored_configuration_that_cannot_be_read_is_mended_by_applying_a_file(clock: Time) -> None:
    """After a downgrade the store may hold fields from the future; a good file is the way out."""
    store = MemoryStore()
    store.commit([PutConfig('{"models": {}, "from_the_future": 1}', 0)])
    assert "+ model big" in apply(store, document(), clock, "bob").text
    assert build_snapshot(store.state()).default.champion == "big"


def test_a_stale_plan_cannot_be_committed(store: MemoryStore, clock: Time) -> None:
    """Each change of a plan expects the state that the plan was made from."""
    stale: State = store.state()
    plan = plan_changes(document(("support: {default: big", "support: {default: mid")), stale, clock(), "bob")
    Control(store, clock).set_route("support", "small", "eve")
    with pytest.raises(StoreConflict):
        store.commit(plan.changes)
    assert champion(store, "support") == "small"


def test_a_plan_of_the_store_itself_is_empty(store: MemoryStore, clock: Time) -> None:
    """What was applied reads back as the same document: stored and file form cannot drift apart."""
    state = store.state()
    assert state.config is not None
    stored = Document.model_validate_json(state.config.body)
    assert plan_changes(stored, replace(state, version=99), clock(), "bob").changes == ()
