"""What becomes of feedback, in every store: each named state, and that each value counts once."""

from dataclasses import replace

import pytest

from experiments.evidence.units import CellRow
from tests.storage.scenes import Scene

DAY_MS = 86_400_000


def reward(cell: CellRow) -> tuple[float, ...]:
    """Units with reward, requests and reward total of a cell."""
    return cell.moments.get("reward", (0.0,) * 15)[:3]


def test_feedback_counts_once_it_is_joined_with_its_cost(scene: Scene) -> None:
    """Reward per cost needs both; until the cost is known the reward is kept apart, for comparisons of rewards."""
    decision = scene.decision()
    assert scene.state_of(decision, scene.feedback(decision)) == "applied"
    assert reward(scene.cell()) == (0, 0, 0)
    assert scene.cell().moments["reward_uncosted"][:4] == (1, 1, 1, 0)
    scene.record(scene.call(decision, cost_usd=0.5))
    assert reward(scene.cell()) == (1, 1, 1)
    assert "reward_uncosted" not in scene.cell().moments
    assert scene.cell().moments["reward"][3] == 0.5


def test_a_reward_objective_does_not_wait_for_costs(idle: Scene) -> None:
    """Where cost plays no part, unknown prices must not hide rewards."""
    idle.start(objective={"kind": "reward"})
    decision = idle.decision()
    idle.record(decision, idle.feedback(decision))
    assert reward(idle.cell()) == (1, 1, 1)


def test_the_same_value_again_is_a_duplicate_and_counts_once(scene: Scene) -> None:
    """Clients retry; a retry may not shift the statistics."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision), scene.feedback(decision))
    before = scene.cell()
    for _ in range(3):
        scene.now += 1000
        (reply,) = scene.record(scene.feedback(decision))
        assert (reply.state, reply.effective) == ("duplicate", 1.0)
    assert scene.cell() == before


def test_duplicates_within_one_batch_count_once(scene: Scene) -> None:
    """Group commit puts a client's retry into the same transaction as the first try."""
    decision = scene.decision()
    replies = scene.record(decision, scene.call(decision), *[scene.feedback(decision)] * 3)
    assert [reply.state for reply in replies] == ["applied", "duplicate", "duplicate"]
    assert reward(scene.cell()) == (1, 1, 1)


def test_a_known_idempotency_key_is_a_duplicate_whatever_its_value(scene: Scene) -> None:
    """The key names the try: a changed body under the same key is still the same try."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision), scene.feedback(decision, 1.0, idempotency_key="k1"))
    scene.now += 1
    (reply,) = scene.record(scene.feedback(decision, 0.0, idempotency_key="k1"))
    assert (reply.state, reply.effective) == ("duplicate", 1.0)
    assert reward(scene.cell()) == (1, 1, 1)


def test_an_idempotency_key_holds_for_one_decision_and_metric(scene: Scene) -> None:
    """Clients number their tries per decision; the same key elsewhere is another fact."""
    one, other = scene.decision(1), scene.decision(2)
    scene.record(one, other, scene.feedback(one, idempotency_key="k"))
    assert scene.state_of(scene.feedback(other, idempotency_key="k")) == "applied"
    stars = scene.feedback(one, values=(("stars", 4.0),), idempotency_key="k")
    assert scene.state_of(stars) == "applied"


def test_a_repeated_key_in_one_batch_is_recognised(scene: Scene) -> None:
    """The key of an uncommitted row counts as received too."""
    decision = scene.decision()
    first = scene.feedback(decision, 1.0, idempotency_key="k")
    replies = scene.record(decision, first, replace(first, values=(("reward", 0.0),)))
    assert [reply.state for reply in replies] == ["applied", "duplicate"]


def test_a_later_value_supersedes_and_leaves_exact_sums(scene: Scene) -> None:
    """The last word counts; the earlier value leaves the sums without a trace."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision), scene.feedback(decision, 0.0))
    without = scene.cell()
    scene.now += 5000
    (reply,) = scene.record(scene.feedback(decision, 1.0))
    assert (reply.state, reply.effective) == ("superseded", 1.0)
    assert reward(scene.cell()) == (1, 1, 1)
    scene.now += 5000
    scene.record(scene.feedback(decision, 0.0))
    assert scene.cell() == without


def test_an_earlier_value_that_arrives_later_does_not_win(scene: Scene) -> None:
    """Values are ordered by when they happened, not by when the network delivered them."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision))
    scene.record(scene.feedback(decision, 1.0, occurred_at_ms=scene.now + 900))
    (reply,) = scene.record(scene.feedback(decision, 0.0, occurred_at_ms=scene.now + 100))
    assert (reply.state, reply.effective) == ("superseded", 1.0)
    assert reward(scene.cell()) == (1, 1, 1)


def test_the_time_of_a_repeated_value_counts_for_the_order(scene: Scene) -> None:
    """A value confirmed later beats another value in between, in whatever order the three arrive."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision), scene.feedback(decision, 1.0, occurred_at_ms=scene.now + 1))
    assert scene.state_of(scene.feedback(decision, 1.0, occurred_at_ms=scene.now + 9)) == "duplicate"
    (reply,) = scene.record(scene.feedback(decision, 0.0, occurred_at_ms=scene.now + 5))
    assert (reply.state, reply.effective) == ("superseded", 1.0)
    logged = [row["occurred_at_ms"] - scene.now for row in scene.store.export("feedback")]
    assert logged == [1, 9, 5]


def test_a_plain_repetition_leaves_no_row(scene: Scene) -> None:
    """A client that sends the same body a thousand times may not fill the disk with it."""
    decision = scene.decision()
    same = scene.feedback(decision, 1.0, occurred_at_ms=scene.now)
    scene.record(decision, same)
    assert [scene.state_of(same) for _ in range(3)] == ["duplicate"] * 3
    assert len(list(scene.store.export("feedback"))) == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_call_that_came_too_late_stays_out_when_feedback_follows(scene: Scene, together: bool) -> None:
    """Feedback received in time may be written after a call that ended too late; only the feedback counts."""
    decision = scene.decision()
    scene.record(decision)
    report = scene.feedback(decision)
    scene.now += DAY_MS + 60_000
    call = scene.call(decision, error="timeout")
    if together:
        scene.record(call, report)
    else:
        scene.record(call)
        scene.record(report)
    assert scene.cell().counts == (1, 1, 1, 0, 1, 0, 0)
    assert set(scene.cell().moments) == {"error", "reward_uncosted"}
    assert scene.cell().moments["error"][2] == 0


def test_a_reward_outside_the_range_is_kept_as_sent_and_counted_clipped(idle: Scene) -> None:
    """Declared winsorising: the sums that decide are bounded, the record and a second sum are not."""
    idle.start(reward={"kind": "score", "range": (0.0, 4.0), "outside": "clip"})
    decision = idle.decision()
    (reply,) = idle.record(decision, idle.call(decision, 0.5), idle.feedback(decision, 64.0))
    assert (reply.state, reply.effective) == ("applied", 4.0)
    assert reply.detail == "64 is outside [0, 4]: kept as it was sent, counted as 4"
    assert reward(idle.cell()) == (1, 1, 4)
    assert idle.cell().moments["reward_unclipped"][:4] == (1, 1, 64, 0.5)
    assert [row["value"] for row in idle.store.export("feedback")] == [64.0]
    idle.now += 1
    (again,) = idle.record(idle.feedback(decision, 64.0))
    assert (again.state, again.effective) == ("duplicate", 4.0)
    idle.now += 1
    (other,) = idle.record(idle.feedback(decision, 32.0))
    assert (other.state, other.effective) == ("superseded", 4.0)
    assert idle.cell().moments["reward_unclipped"][2] == 32
    (inside,) = idle.record(idle.feedback(decision, 2.0, occurred_at_ms=idle.now + 1))
    assert (inside.state, inside.effective, inside.detail) == ("superseded", 2.0, "")
    assert (reward(idle.cell())[2], idle.cell().moments["reward_unclipped"][2]) == (2, 2)


def test_an_implied_reward_has_an_unclipped_twin(idle: Scene) -> None:
    """Both sums are over the same units, or their means could not stand beside each other."""
    idle.start(reward={"kind": "score", "range": (0.0, 4.0), "outside": "clip", "missing": 1.0})
    failed, rated = idle.decision("ann"), idle.decision("bob")
    silent = idle.decision("bob")
    idle.record(failed, idle.call(failed, error="timeout"))
    idle.record(rated, silent, idle.call(rated), idle.call(silent), idle.feedback(rated, 16.0))
    assert reward(idle.cell()) == (2, 3, 5)
    assert idle.cell().moments["reward_unclipped"][:3] == (2, 3, 17)


def test_feedback_within_the_window_and_its_grace_counts(scene: Scene) -> None:
    """The last millisecond belongs to the window."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision))
    scene.now += DAY_MS + 2_000
    assert scene.state_of(scene.feedback(decision)) == "applied"


def test_a_mature_epoch_is_final(scene: Scene) -> None:
    """Tests read mature cells once; a unit assigned in the grace after closing may not change them later."""
    scene.now += 1000
    scene.close_epoch()
    scene.now += 1500
    straggler = scene.decision()
    scene.record(straggler, scene.call(straggler))
    scene.now += DAY_MS + 501
    before = scene.cell()
    assert scene.state_of(scene.feedback(straggler)) == "late"
    assert scene.cell() == before


def test_rows_of_a_mature_epoch_are_kept_but_count_no_more(scene: Scene) -> None:
    """A queue written a day too late is history, not evidence."""
    late = scene.decision()
    scene.close_epoch()
    scene.now += DAY_MS + 2_000
    scene.record(late, scene.call(late))
    assert not any(scene.cell().counts)
    assert [row["counted"] for row in scene.store.export("calls")] == [False]
    assert len(list(scene.store.export("decisions"))) == 1


def test_early_feedback_counts_and_the_decision_row_completes_it(scene: Scene) -> None:
    """Decision rows are written behind, so feedback may overtake its decision: `recovered` until then."""
    decision = scene.decision()
    assert scene.state_of(scene.feedback(decision), scene.call(decision)) == "applied"
    assert scene.cell().counts == (0, 1, 1, 0, 0, 1, 0)
    assert reward(scene.cell()) == (1, 1, 1)
    scene.record(decision)
    assert scene.cell().counts == (1, 1, 1, 0, 1, 0, 0)
    assert reward(scene.cell()) == (1, 1, 1)


def test_feedback_outside_experiments_is_unknown_and_kept(scene: Scene) -> None:
    """A champion's decision has an id too; what users say of it is not lost."""
    champion = scene.decision(experiment_id=0, epoch=0)
    assert scene.state_of(champion, scene.feedback(champion)) == "unknown"
    gone = scene.decision(experiment_id=77)
    assert scene.state_of(gone, scene.feedback(gone)) == "unknown"
    assert [row["state"] for row in scene.store.export("feedback")] == ["unknown", "unknown"]
    assert scene.store.cells(1) == []


def test_feedback_of_a_degraded_decision_is_accepted_without_effect(scene: Scene) -> None:
    """Decisions taken without a snapshot have another propensity; they stay out of the cells."""
    decision = scene.decision(epoch=0, degraded=True)
    assert scene.state_of(decision, scene.call(decision), scene.feedback(decision)) == "accepted"
    assert scene.cell(epoch=0).counts == (0, 0, 0, 0, 0, 0, 1)
    assert scene.cell(epoch=0).moments == {}
    assert [row["degraded"] for row in scene.store.export("decisions")] == [True]


def test_a_decision_under_the_configured_shares_is_degraded_even_unmarked(scene: Scene) -> None:
    """Epoch 0 belongs to no test, whatever its writer says."""
    scene.record(scene.decision(epoch=0, degraded=False))
    assert [row["degraded"] for row in scene.store.export("decisions")] == [True]
    assert scene.cell(epoch=0).counts == (0, 0, 0, 0, 0, 0, 1)
    assert list(scene.store.export("units")) == []


def test_a_reward_implied_by_an_error_gives_way_to_feedback(idle: Scene) -> None:
    """A failed call counts `on_error` until somebody reports what it was worth."""
    idle.start(reward={"on_error": 0.0})
    decision = idle.decision()
    idle.record(decision, idle.call(decision, error="timeout"))
    assert reward(idle.cell()) == (1, 1, 0)
    assert idle.cell().counts[3] == 1
    assert idle.state_of(idle.feedback(decision, 1.0)) == "applied"
    assert reward(idle.cell()) == (1, 1, 1)
    (unit,) = idle.store.export("units")
    assert (unit["feedback"], unit["rated"], unit["errors"]) == (1, 1, 1)


def test_a_reported_error_implies_the_reward_of_an_error(idle: Scene) -> None:
    """Callers of the decision API say that their call failed; silence after that is not missing data."""
    idle.start(objective={"kind": "reward"}, reward={"kind": "score", "range": (-1.0, 3.0)})
    decision = idle.decision()
    idle.record(decision, idle.feedback(decision, values=(("error", 1.0),)))
    assert reward(idle.cell()) == (1, 1, -1)
    idle.now += 1
    idle.record(idle.feedback(decision, values=(("error", 0.0),)))
    assert reward(idle.cell()) == (0, 0, 0)
    assert idle.cell().moments["error"][:3] == (1, 1, 0)


@pytest.mark.parametrize("reported_first", [True, False])
def test_a_reported_cost_goes_before_the_metered_one(scene: Scene, reported_first: bool) -> None:
    """An invoice beats an estimate, whichever arrives first."""
    decision = scene.decision()
    report = scene.feedback(decision, values=(("cost_usd", 2.0),))
    first, second = (report, scene.call(decision, cost_usd=0.5))[:: 1 if reported_first else -1]
    scene.record(decision)
    scene.record(first)
    scene.record(second)
    assert scene.cell().moments["cost_usd"][:3] == (1, 1, 2)


def test_one_item_may_report_several_metrics(scene: Scene) -> None:
    """Reward, cost and latency of one decision arrive together; the first names the state."""
    decision = scene.decision()
    values = (("reward", 1.0), ("cost_usd", 0.5), ("latency_ms", 90.0), ("stars", 4.0))
    assert scene.state_of(decision, scene.feedback(decision, values=values)) == "applied"
    cell = scene.cell()
    assert reward(cell) == (1, 1, 1)
    assert cell.moments["cost_usd"][2] == 0.5
    assert cell.moments["stars"][:4] == (1, 1, 4, 0.5)
    assert sum(cell.latency.values()) == 1
    assert len(list(scene.store.export("feedback"))) == 4


def test_a_further_metric_cannot_pass_for_the_reward(idle: Scene) -> None:
    """The reward's moments are kept under one fixed name, which another metric may bear by chance."""
    idle.start(reward={"metric": "resolved"})
    decision = idle.decision()
    values = (("resolved", 1.0), ("reward", 5.0))
    idle.record(decision, idle.call(decision), idle.feedback(decision, values=values))
    assert reward(idle.cell()) == (1, 1, 1)


def test_a_metric_without_units_leaves_the_cell(idle: Scene) -> None:
    """Sums over no unit are round-off; a reader must not meet them as numbers."""
    idle.start(objective={"kind": "reward"}, reward={"kind": "score", "range": (0.0, 1.0)})
    decision = idle.decision()
    idle.record(decision, idle.feedback(decision, values=(("error", 1.0),)))
    idle.now += 1
    idle.record(idle.feedback(decision, values=(("error", 0.0),)))
    assert "reward" not in idle.cell().moments


def test_negative_zero_is_zero(scene: Scene) -> None:
    """Two spellings of one value are one value, or the order of values would depend on the spelling."""
    decision = scene.decision()
    scene.record(decision, scene.feedback(decision, -0.0))
    scene.now += 1
    (reply,) = scene.record(scene.feedback(decision, 0.0))
    assert reply.state == "duplicate"


def test_replies_come_in_the_order_of_the_feedback(scene: Scene) -> None:
    """The recorder hands replies back by position."""
    decisions = [scene.decision(unit) for unit in range(5)]
    rows = [scene.feedback(decision, float(index % 2)) for index, decision in enumerate(decisions)]
    replies = scene.record(*decisions, *rows)
    assert [reply.effective for reply in replies] == [0.0, 1.0, 0.0, 1.0, 0.0]


def test_a_batch_that_fails_half_way_leaves_nothing(scene: Scene) -> None:
    """One bad row may not leave the others half applied; they were not acknowledged."""
    decision = scene.decision()
    broken = scene.feedback(decision, values=())
    with pytest.raises(IndexError):
        scene.record(decision, scene.call(decision), scene.feedback(decision), broken)
    assert scene.store.cells(1) == []
    assert scene.store.traffic() == []
    assert not any(list(scene.store.export(kind)) for kind in ("decisions", "calls", "feedback", "units"))
    assert scene.state_of(decision, scene.call(decision), scene.feedback(decision)) == "applied"
    assert reward(scene.cell()) == (1, 1, 1)
