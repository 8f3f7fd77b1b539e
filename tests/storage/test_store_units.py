"""Decisions and calls in every store: sticky units, lost races, costs, latency, traffic."""

import pytest

from experiments.evidence.latency import bucket
from storage.records import Assignment, TrafficCount
from storage.store import Store
from tests.storage.scenes import Scene

DAY_MS = 86_400_000


def test_the_first_row_of_a_unit_is_its_assignment(scene: Scene) -> None:
    """A sticky unit keeps its candidate; the propensity is the share of the epoch that assigned it."""
    scene.now += 10
    scene.next_epoch(2, (0.125, 0.875))
    first = scene.decision("ann", arm=1, epoch=2)
    assert scene.store.assignment(1, first.unit) is None
    scene.record(first)
    scene.now += 10
    scene.next_epoch(3, (0.5, 0.5))
    scene.record(scene.decision("ann", arm=1, epoch=3))
    assert scene.store.assignment(1, first.unit) == Assignment(epoch=2, arm=1, propensity=0.875)
    assert scene.store.assignment(2, first.unit) is None


def test_a_lost_race_is_recorded_as_degraded_and_counts_nowhere(scene: Scene) -> None:
    """Two workers may assign a new unit at once: the first row wins, the other may not bias the cells."""
    first, second = scene.decision("ann", arm=0), scene.decision("ann", arm=1)
    scene.record(first)
    scene.record(second, scene.call(second))
    assert scene.state_of(scene.feedback(second)) == "accepted"
    assert scene.cell(arm=0).counts == (1, 0, 0, 0, 0, 0, 0)
    assert scene.cell(arm=1).counts == (0,) * 7
    assert scene.cell(epoch=0, arm=1).counts[6] == 1
    assert [row["degraded"] for row in scene.store.export("decisions")] == [False, True]
    assert scene.store.assignment(1, first.unit).arm == 0


def test_a_race_within_one_batch_has_one_winner(scene: Scene) -> None:
    """The first row of the batch is visible to the second."""
    scene.record(scene.decision("ann", arm=1), scene.decision("ann", arm=0))
    assert scene.cell(arm=1).counts[0] == 1
    assert scene.cell(arm=0).counts[0] == 0


def test_requests_of_a_sticky_unit_add_up_in_one_unit(scene: Scene) -> None:
    """Requests of one conversation are not independent; the unit is what the statistics count."""
    decisions = [scene.decision("ann") for _ in range(3)]
    for decision, cost in zip(decisions, (0.5, 0.25, 1.0), strict=True):
        scene.record(decision, scene.call(decision, cost_usd=cost), scene.feedback(decision))
    cell = scene.cell()
    assert cell.counts == (1, 1, 1, 0, 1, 0, 0)
    assert cell.moments["reward"] == (1, 3, 3, 1.75, 0, 9, 9, 5.25, 0, 9, 5.25, 0, 3.0625, 0, 0)
    (unit,) = scene.store.export("units")
    assert (unit["requests"], unit["calls"], unit["costed"], unit["feedback"]) == (3, 3, 3, 3)


def test_a_units_later_epochs_do_not_move_it(scene: Scene) -> None:
    """All of a unit's outcomes belong to the epoch whose shares assigned it."""
    scene.record(scene.decision("ann"))
    scene.now += 10
    scene.next_epoch(2)
    again = scene.decision("ann", epoch=2)
    scene.record(again, scene.call(again))
    assert scene.cell(epoch=1).counts[:2] == (1, 1)
    assert scene.cell(epoch=2).counts == (0,) * 7


def test_requests_after_the_units_window_count_no_more(scene: Scene) -> None:
    """Otherwise a unit that talks for a month would keep its epoch open for a month."""
    scene.record(scene.decision("ann"))
    before = scene.cell()
    scene.now += DAY_MS + 2_001
    again = scene.decision("ann")
    scene.record(again, scene.call(again))
    assert scene.state_of(scene.feedback(again)) == "late"
    assert scene.cell() == before


def test_a_decision_or_call_recorded_twice_counts_once(scene: Scene) -> None:
    """A writer that did not hear of its commit writes the batch again."""
    decision = scene.decision()
    scene.record(decision, decision, scene.call(decision), scene.call(decision))
    before = scene.cell()
    assert before.counts[:3] == (1, 1, 1)
    scene.record(decision, scene.call(decision, cost_usd=9.0))
    assert scene.cell() == before
    assert scene.store.traffic() == [TrafficCount("support", 1, "experiment", 1)]
    assert [row["cost_usd"] for row in scene.store.export("calls")] == [0.25]


def test_an_older_decision_than_the_newest_is_still_told_apart(scene: Scene) -> None:
    """Several workers write numbers that interleave; only equal numbers are the same decision."""
    older, newer = scene.decision(1), scene.decision(2)
    scene.record(newer, scene.call(newer))
    scene.record(older, scene.call(older))
    scene.record(older, scene.call(older))
    assert scene.cell().counts[:2] == (2, 2)


def test_calls_before_their_decision_row_count(scene: Scene) -> None:
    """Decisions and calls are queued apart; a crash may lose the one and keep the other."""
    decision = scene.decision()
    scene.record(scene.call(decision))
    assert scene.cell().counts == (0, 1, 1, 0, 0, 1, 0)
    scene.record(decision)
    assert scene.cell().counts == (1, 1, 1, 0, 0, 0, 0)


def test_a_call_without_price_leaves_the_unit_without_cost(scene: Scene) -> None:
    """Half a cost would make the candidate look cheap."""
    one, two = scene.decision("ann"), scene.decision("ann")
    scene.record(one, two, scene.call(one, cost_usd=0.5), scene.call(two, cost_usd=None))
    scene.record(scene.feedback(one), scene.feedback(two))
    assert set(scene.cell().moments) == {"error", "reward_uncosted"}
    assert scene.cell().moments["reward_uncosted"][:4] == (1, 2, 2, 0)
    scene.record(scene.feedback(two, values=(("cost_usd", 0.25),)))
    assert scene.cell().moments["cost_usd"][:3] == (1, 2, 0.75)
    assert scene.cell().moments["reward"][:4] == (1, 2, 2, 0.75)
    assert "reward_uncosted" not in scene.cell().moments


def test_the_first_decision_of_a_unit_fixes_its_covariate(scene: Scene) -> None:
    """Whichever row is written first, and none is known before its decision is there."""
    first, second = scene.decision("ann", covariate=2.0), scene.decision("ann", covariate=8.0)
    scene.record(scene.call(first), scene.feedback(first))
    assert scene.cell().moments["reward"][4] == 0
    scene.record(second)
    assert scene.cell().moments["reward"][4] == 8
    scene.record(first)
    assert scene.cell().moments["reward"][4] == 2
    assert scene.cell().moments["error"][14] == 4
    silent = scene.decision("bob", arm=1)
    scene.record(silent, scene.decision("bob", arm=1, covariate=3.0), scene.call(silent))
    assert scene.cell(arm=1).moments["error"][4] == 0
    assert [row["covariate"] for row in scene.store.export("decisions")] == [2.0, 8.0, None, 3.0]


def test_a_diverted_call_is_charged_but_not_served(scene: Scene) -> None:
    """The assigned candidate answers for what its fallback did, and the report shows how often."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision, diverted=True, served_model="cheap"))
    assert scene.cell().counts[:3] == (1, 1, 0)
    assert scene.cell().moments["cost_usd"][2] == 0.25


def test_the_cost_cap_winsorises_a_unit(idle: Scene) -> None:
    """One runaway conversation may not decide an experiment."""
    idle.start(objective={"cost_cap_usd": 1.0})
    decisions = [idle.decision("ann") for _ in range(3)]
    for decision in decisions:
        idle.record(decision, idle.call(decision, cost_usd=0.75), idle.feedback(decision))
    assert idle.cell().moments["cost_usd"][2] == 1.0
    assert idle.cell().moments["reward"][3] == 1.0
    assert idle.cell().moments["cost_usd_uncapped"][:4] == (1, 3, 2.25, 2.25)


def test_silence_counts_the_declared_value_once_a_unit_has_a_reward(idle: Scene) -> None:
    """`missing: 0` says that an unrated request of a rated conversation was worth nothing."""
    idle.start(reward={"missing": 0.0})
    decisions = [idle.decision("ann") for _ in range(4)]
    for decision in decisions:
        idle.record(decision, idle.call(decision))
    idle.record(idle.feedback(decisions[0]))
    assert idle.cell().moments["reward"][:3] == (1, 4, 1)


def test_latency_is_counted_once_and_moves_with_reports(scene: Scene) -> None:
    """A client's own measurement replaces the gateway's, in either order."""
    metered, reported = bucket(800.0), bucket(90.0)
    one, two = scene.decision(1), scene.decision(2)
    scene.record(one, scene.call(one))
    assert scene.cell().latency == {metered: 1}
    scene.record(scene.feedback(one, values=(("latency_ms", 90.0),)))
    assert scene.cell().latency == {reported: 1}
    scene.record(two, scene.feedback(two, values=(("latency_ms", 90.0),)))
    scene.record(scene.call(two))
    assert scene.cell().latency == {reported: 2}
    scene.now += 1
    scene.record(scene.feedback(two, values=(("latency_ms", 800.0),)))
    assert scene.cell().latency == {reported: 1, metered: 1}


def test_traffic_counts_decisions_inside_and_outside_experiments(scene: Scene) -> None:
    """The share of `no_unit`, `ineligible` or `unrouted` traffic is read here."""
    outside = [
        scene.decision(unit, experiment_id=0, epoch=0, task="", reason="unrouted") for unit in range(3)
    ]
    scene.record(*outside, scene.decision("ann"))
    scene.record(scene.decision("bob"), scene.decision("cid", experiment_id=0, epoch=0, reason="champion"))
    assert scene.store.traffic() == [
        TrafficCount("", 0, "unrouted", 3),
        TrafficCount("support", 0, "champion", 1),
        TrafficCount("support", 1, "experiment", 2),
    ]


def test_cells_are_read_from_an_epoch_on(scene: Scene) -> None:
    """The planner keeps what is final and reads only what may have changed."""
    scene.record(scene.decision(1), scene.decision(2, arm=1), scene.decision(3, epoch=0, degraded=True))
    scene.now += 1
    scene.next_epoch(2)
    scene.record(scene.decision(4, arm=1, epoch=2))
    assert [(cell.epoch, cell.arm) for cell in scene.store.cells(1)] == [(0, 0), (1, 0), (1, 1), (2, 1)]
    assert [(cell.epoch, cell.arm) for cell in scene.store.cells(1, since_epoch=2)] == [(0, 0), (2, 1)]
    assert scene.store.cells(2) == []
    assert scene.store.recount(2) == []


def test_experiments_do_not_share_units(scene: Scene) -> None:
    """The same person in two experiments is two units."""
    scene.start(2, "second", "sales")
    here = scene.decision("ann", arm=0)
    there = scene.decision("ann", arm=1, experiment_id=2, task="sales")
    scene.record(here, there, scene.call(here, 0.5), scene.call(there, 0.25))
    assert scene.store.cells(1)[0].moments["cost_usd"][2] == 0.5
    assert scene.store.cells(2)[0].moments["cost_usd"][2] == 0.25
    assert [row["experiment_id"] for row in scene.store.export("units")] == [1, 2]
    scene.check()


@pytest.mark.parametrize("kind", ["decisions", "calls", "feedback", "units"])
def test_an_export_is_one_experiments_rows_in_order(scene: Scene, kind: str) -> None:
    """Exports feed other tools: plain fields, digests in hexadecimal, by rising number."""
    scene.start(2, "second", "sales")
    rows = [scene.decision(unit, arm=unit % 2, experiment_id=1 + unit % 2) for unit in range(8)]
    for decision in reversed(rows):
        scene.record(
            decision, scene.call(decision), scene.feedback(decision, values=(("reward", 1.0), ("n", 2.0)))
        )
    exported = list(scene.store.export(kind))
    assert len(exported) == {"feedback": 16}.get(kind, 8)
    assert {row["unit"] for row in exported} == {row.unit.hex() for row in rows}
    order = "unit" if kind == "units" else "number"
    for experiment_id in (1, 2):
        part = [row for row in exported if row["experiment_id"] == experiment_id]
        assert list(scene.store.export(kind, experiment_id)) == part
        assert [row[order] for row in part] == sorted(row[order] for row in part)
    assert list(scene.store.export(kind, 3)) == []


def test_exported_fields_are_those_that_were_recorded(scene: Scene) -> None:
    """What a user downloads is what the ledger holds, with truth values as truth values."""
    decision = scene.decision("ann", arm=1)
    call = scene.call(decision, diverted=True, error="timeout", cost_estimated=True, first_token_ms=12.5)
    feedback = scene.feedback(
        decision, 0.0, idempotency_key="k", comment="slow", occurred_at_ms=scene.now - 5
    )
    scene.record(decision, call, feedback)
    (exported,) = scene.store.export("calls")
    assert exported["counted"] is True
    for name in ("diverted", "error", "cost_estimated", "first_token_ms", "price_version", "attempts"):
        assert exported[name] == getattr(call, name)
    (exported,) = scene.store.export("feedback")
    assert (exported["metric"], exported["value"], exported["state"]) == ("reward", 0.0, "applied")
    assert (exported["idempotency_key"], exported["comment"]) == ("k", "slow")
    assert exported["received_at_ms"] - exported["occurred_at_ms"] == 5
    (exported,) = scene.store.export("decisions")
    assert exported["degraded"] is False
    assert (exported["task"], exported["model"], exported["propensity"]) == ("support", "cheap", 0.5)


def test_an_unknown_export_is_refused_by_name(store: Store) -> None:
    """A mistyped kind must not look like an empty ledger."""
    with pytest.raises(ValueError, match=r"'clicks' is not exported; use one of decisions"):
        store.export("clicks")
