"""Evidence: arrays from stored rows, mature epochs only, and what silence counts for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.cells import Z
from experiments.evidence.epochs import GRACE_MS, Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import (
    COST,
    ERROR,
    PRIMARY,
    UNCLIPPED,
    CellRow,
    Outcome,
    UnitRow,
    contribution,
    moved,
)
from experiments.inference.effects import differences
from tests.experiments.looks import HOUR_MS, WINDOW_MS, Arm, experiment, row

DEFINITION = experiment()
EPOCHS = (
    Epoch(1, 0, 0, (0.5, 0.5), closed_at_ms=0),
    Epoch(1, 1, 0, (0.5, 0.5), closed_at_ms=HOUR_MS),
    Epoch(1, 2, HOUR_MS, (0.4, 0.6), cost_series=1, closed_at_ms=2 * HOUR_MS),
    Epoch(1, 3, 2 * HOUR_MS, (0.3, 0.7), cost_series=1),
)
ROWS = [row(number, arm, Arm(10 * number + arm, number)) for number in (1, 2, 3) for arm in (0, 1)]
EVIDENCE = gather(EPOCHS, ROWS, 2)


def cells_of_units(definition, outcomes):
    """Rows of epoch 1, arm 0 from single units' outcomes, summed the long way."""
    counts, moments = np.zeros(7, dtype=int), {}
    for index, of_unit in enumerate(outcomes):
        unit = UnitRow(1, bytes([index]) * 16, 1, 0, 0, requests=len(of_unit))
        for outcome in of_unit:
            unit = moved(unit, Outcome(), outcome)
        found = contribution(unit, definition)
        counts += np.array(found.counts)
        for metric, sums in found.moments.items():
            moments[metric] = moments.get(metric, 0) + np.array(sums)
    return [CellRow(1, 0, tuple(counts.tolist()), {name: tuple(sums) for name, sums in moments.items()})]


@given(
    spans=st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), min_size=1, max_size=8),
    last_open=st.booleans(),
    rest=st.integers(0, 500),
)
def test_pauses_between_epochs_are_no_running_time(spans, last_open, rest):
    """An epoch ends with a pause and the next begins with the resumption; epoch 0 is no span at all."""
    epochs, now_ms = [Epoch(1, 0, 0, (1.0,), closed_at_ms=0)], 1_000
    for number, (pause, running) in enumerate(spans, start=1):
        opened = now_ms + pause
        now_ms = opened + running
        epochs.append(Epoch(1, number, opened, (1.0,), closed_at_ms=now_ms))
    if last_open:
        epochs[-1] = replace(epochs[-1], closed_at_ms=None)
    running = sum(running for _, running in spans)
    assert gather(epochs, [], 1).running_ms(now_ms + rest) == running + (rest if last_open else 0)


def test_a_clock_that_steps_back_takes_no_time_away():
    """A planner's clock may be behind the one that opened the epoch."""
    closed, later = Epoch(1, 1, 1_000, (1.0,), closed_at_ms=5_000), Epoch(1, 2, 6_000, (1.0,))
    assert gather([closed, later], [], 1).running_ms(5_500) == 4_000
    assert gather([], [], 1).running_ms(5_000) == 0


@given(
    closings=st.lists(st.one_of(st.none(), st.integers(0, 3_000)), max_size=6),
    later_ms=st.integers(0, 3_000),
)
def test_an_epoch_is_final_where_it_is_mature(closings, later_ms):
    """The planner reads rows of immature epochs again and keeps the others: both must mean the same."""
    epochs = [Epoch(1, place + 1, 0, (1.0,), closed_at_ms=end) for place, end in enumerate(closings)]
    now_ms = DEFINITION.reward.window_ms + GRACE_MS + later_ms
    final = gather(epochs, [], 1).final(DEFINITION, now_ms)
    assert final.tolist() == [epoch.mature(DEFINITION.reward.window_ms, now_ms) for epoch in epochs]


def test_rows_become_arrays_by_epoch_and_arm():
    """Epoch 0 is no row of any array."""
    assert [epoch.number for epoch in EVIDENCE.epochs] == [1, 2, 3]
    assert EVIDENCE.counts["assigned"].tolist() == [[10, 11], [20, 21], [30, 31]]
    assert EVIDENCE.metric(PRIMARY).total(Z.TOTAL).tolist() == [[1, 1], [2, 2], [3, 3]]
    assert EVIDENCE.shares.tolist() == [[0.5, 0.5], [0.4, 0.6], [0.3, 0.7]]


@given(st.permutations(ROWS))
def test_the_order_of_rows_does_not_matter(rows):
    """Stores return them as they like."""
    other = gather(EPOCHS, rows, 2)
    assert all(
        (other.metric(name).sums == EVIDENCE.metric(name).sums).all() for name in (PRIMARY, COST, ERROR)
    )
    assert (other.counts["called"] == EVIDENCE.counts["called"]).all()


def test_degraded_decisions_are_only_counted():
    """They sit in epoch 0 and reach no test."""
    degraded = CellRow(0, 1, (0, 0, 0, 0, 0, 0, 9), {})
    found = gather(EPOCHS, [*ROWS, degraded], 2)
    assert found.degraded == (0, 9)
    assert (found.counts["assigned"] == EVIDENCE.counts["assigned"]).all()


def test_nothing_at_all_is_evidence_too():
    """A draft has no epochs."""
    nothing = gather((), (), 3)
    assert nothing.shares.shape == (0, 3)
    assert nothing.metric(PRIMARY).sums.shape == (0, 3, 5, 5)
    assert nothing.mature(DEFINITION, 10**13).epochs == ()


@given(st.integers(0, 4 * HOUR_MS))
def test_only_epochs_whose_window_is_over_are_mature(now_ms):
    """Cells of younger epochs still change, and change by outcome: successes may be slower than failures."""
    found = [epoch.number for epoch in EVIDENCE.mature(DEFINITION, now_ms).epochs]
    ready = [number for number in (1, 2) if now_ms >= number * HOUR_MS + WINDOW_MS + GRACE_MS]
    assert found == ready


@given(st.lists(st.booleans(), min_size=3, max_size=3))
def test_picking_epochs_picks_every_array_alike(keep):
    """Whether they stand together or apart."""
    found = EVIDENCE.where(np.array(keep))
    wanted = [index for index in range(3) if keep[index]]
    assert found.epochs == tuple(EVIDENCE.epochs[index] for index in wanted)
    assert (found.counts["assigned"] == EVIDENCE.counts["assigned"][wanted]).all()
    assert (found.metric(COST).sums == EVIDENCE.metric(COST).sums[wanted]).all()
    assert (found.shares == EVIDENCE.shares[wanted]).all()
    assert len(found.latency) == len(wanted)


def test_a_cost_series_holds_the_epochs_of_one_price_version():
    """Costs before and after a new price are not compared."""
    assert [epoch.number for epoch in EVIDENCE.in_series(1).epochs] == [2, 3]
    assert EVIDENCE.in_series(2).epochs == ()


OUTCOMES = st.builds(
    Outcome,
    called=st.just(True),
    error=st.just(False),
    cost_usd=st.sampled_from([None, 0.25, 0.5]),
    reward=st.sampled_from([None, 0.0, 1.0]),
    metrics=st.just(()),
)
EPOCH = (Epoch(1, 1, 0, (0.5, 0.5), closed_at_ms=HOUR_MS),)
UNITS = st.lists(st.lists(OUTCOMES, min_size=1, max_size=3), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", ["reward", "reward_per_cost"])
@given(units=UNITS, value=st.sampled_from([0.0, 0.25, 1.0]))
def test_silence_at_a_value_equals_feedback_of_that_value(kind, units, value):
    """Counting silent units from sums gives the cells that explicit feedback would have given."""
    silent = experiment(objective={"kind": kind}, reward={"missing": value})
    spoken = [
        [one if one.reward is not None else one._replace(reward=value) for one in of_unit]
        for of_unit in units
    ]
    now_ms = HOUR_MS + WINDOW_MS + GRACE_MS
    found = gather(EPOCH, cells_of_units(silent, units), 2).mature(silent, now_ms)
    known = gather(EPOCH, cells_of_units(silent, spoken), 2)
    for there, here in ((found.metric(PRIMARY), known.metric(PRIMARY)), (found.joint, known.joint)):
        if kind == "reward":  # costs of silent units are of no use here and not joined
            there.sums[..., Z.COST, :] = there.sums[..., :, Z.COST] = 0
            here.sums[..., Z.COST, :] = here.sums[..., :, Z.COST] = 0
        assert there.sums == pytest.approx(here.sums, abs=1e-9)


@given(of_epochs=st.lists(UNITS, min_size=1, max_size=5), split=st.integers(0, 5), degraded=st.integers(0, 3))
def test_evidence_of_older_and_younger_epochs_is_that_of_all(of_epochs, split, degraded):
    """What is final is kept as arrays: joined with young epochs they are what all rows give, metric by metric."""
    epochs = [Epoch(1, number, number, (0.5, 0.5)) for number in range(1, len(of_epochs) + 1)]
    rows = [
        replace(
            cells_of_units(DEFINITION, units)[0], epoch=epoch.number, arm=epoch.number % 2, latency={7: 2}
        )
        for epoch, units in zip(epochs, of_epochs, strict=True)
    ]
    rows.append(CellRow(0, 1, (0, 0, 0, 0, 0, 0, degraded), {}))
    whole = gather(epochs, rows, 2)
    older = gather(epochs[:split], [one for one in rows if one.epoch <= split], 2).first(len(epochs[:split]))
    joined = older.followed_by(
        gather(epochs[split:], [one for one in rows if one.epoch > split or one.epoch == 0], 2)
    )
    assert joined.epochs == whole.epochs
    assert joined.degraded == whole.degraded == (0, degraded)
    assert joined.latency == whole.latency
    assert joined.cells.keys() == whole.cells.keys()
    for name, cells in whole.cells.items():
        np.testing.assert_array_equal(joined.cells[name].sums, cells.sums)
    for name, counts in whole.counts.items():
        np.testing.assert_array_equal(joined.counts[name], counts)
    np.testing.assert_array_equal(joined.shares, whole.shares)


@given(units=UNITS)
def test_every_rated_unit_is_in_the_rewards_and_those_with_a_cost_beside_it(units):
    """Rewards of units without a cost are stored apart and read together; ratios read the others alone."""
    evidence = gather(EPOCH, cells_of_units(DEFINITION, units), 2)
    plain = experiment(objective={"kind": "reward"})
    everyone = gather(EPOCH, cells_of_units(plain, units), 2).metric(PRIMARY)
    costed = [of_unit for of_unit in units if all(one.cost_usd is not None for one in of_unit)]
    joint = gather(EPOCH, cells_of_units(DEFINITION, costed), 2).metric(PRIMARY)
    assert (evidence.metric(PRIMARY).sums == everyone.sums).all()
    assert (evidence.joint.sums == joint.sums).all()
    kept = evidence.where(np.array([True]))
    assert (kept.joint.sums == joint.sums).all()


def test_a_cost_that_is_unknown_because_of_the_outcome_does_not_bend_the_rewards():
    """Failures without usage, on one arm: among units with a cost that arm never looks worse than it is."""
    good = Outcome(True, cost_usd=0.25, reward=1.0)
    bad, unmetered = Outcome(True, cost_usd=0.25, reward=0.0), Outcome(True, reward=0.0)
    control, candidate = [[good]] * 80 + [[bad]] * 20, [[good]] * 80 + [[unmetered]] * 20
    rows = [
        replace(cells_of_units(DEFINITION, units)[0], arm=arm)
        for arm, units in enumerate((control, candidate))
    ]
    evidence = gather(EPOCH, rows, 2)
    (everyone,) = differences(evidence.metric(PRIMARY), 0, [1])
    (costed,) = differences(evidence.joint, 0, [1])
    assert everyone.value == 0
    assert costed.value == pytest.approx(0.2)


@given(
    values=st.lists(st.sampled_from([None, -4.0, 0.5, 8.0]), min_size=1, max_size=8),
    value=st.sampled_from(["drop", 0.25]),
)
def test_raw_rewards_are_of_the_same_units_as_the_clipped_ones(values, value):
    """Means beside each other must answer for the same units, silent ones too."""
    clip = experiment(reward={"kind": "score", "outside": "clip", "missing": value})
    units = [[_valued(one, clip.reward)] for one in values]
    now_ms = HOUR_MS + WINDOW_MS + GRACE_MS
    found = gather(EPOCH, cells_of_units(clip, units), 2).mature(clip, now_ms)
    silence = None if value == "drop" else value
    counted = [silence if one is None else one for one in values if (one, silence) != (None, None)]
    clipped, raw = found.metric(PRIMARY), found.metric(UNCLIPPED)
    assert clipped.n[0, 0] == raw.n[0, 0] == len(counted)
    assert raw.total(Z.TOTAL)[0, 0] == pytest.approx(sum(counted))
    assert clipped.total(Z.TOTAL)[0, 0] == pytest.approx(sum(min(max(one, 0), 1) for one in counted))


def _valued(value, rule):
    """One rated request, as the join tells it."""
    if value is None:
        return Outcome(True, cost_usd=0.25)
    return Outcome(True, cost_usd=0.25, reward=rule.counted(value), metrics=((UNCLIPPED, value),))


def test_silence_is_dropped_unless_declared():
    """By default a unit without feedback is left out, and its share is shown."""
    rows = [row(1, 0, Arm(100, 40, rated=60))]
    now_ms = HOUR_MS + WINDOW_MS + GRACE_MS
    assert gather(EPOCHS[:2], rows, 2).mature(DEFINITION, now_ms).metric(PRIMARY).n[0, 0] == 60
    zero = experiment(reward={"missing": 0})
    counted = gather(EPOCHS[:2], rows, 2).mature(zero, now_ms).metric(PRIMARY)
    assert (counted.n[0, 0], counted.total(Z.TOTAL)[0, 0]) == (100, 40)


def test_silence_in_an_open_window_is_pending():
    """Feedback may still come, so an allocation must not read silence as failure."""
    zero = experiment(reward={"missing": 0})
    rows = [row(number, 0, Arm(100, 40, rated=60)) for number in (1, 2)]
    between = HOUR_MS + WINDOW_MS + GRACE_MS
    assert gather(EPOCHS, rows, 2).arrived(zero, between).metric(PRIMARY).n[:, 0].tolist() == [100, 60, 0]
