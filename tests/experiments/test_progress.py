"""Progress: what is remembered between looks, and what new prices make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.verdict.progress import Declared, Progress

DECLARED = Declared(candidate="cheap", epoch=4, at_ms=99, sentence="Promote cheap.")


def p_values(reward=1.0, cost=1.0):
    """p-values of one candidate."""
    return {"cheap": {"reward": reward, "cost": cost}}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_smallest_p_of_all_looks_is_kept(values):
    """The running minimum is valid because the sequence is valid at all looks together."""
    progress = Progress()
    for epoch, p in enumerate(values, start=1):
        progress = progress.seen(p_values(reward=p), epoch, 0)
    assert progress.smallest_p["cheap"]["reward"] == min(values)
    assert progress.looks == progress.last_epoch == len(values)


def test_without_a_new_epoch_there_is_no_new_look():
    """Ticks every second on the same evidence count once."""
    once = Progress().seen(p_values(0.2), 3, 0)
    assert once.seen(p_values(0.1), 3, 0) == once


def test_new_prices_forget_what_was_known_of_costs():
    """A p-value of the old prices beside an estimate of the new ones would be a lie."""
    before = Progress().seen(p_values(reward=0.01, cost=0.001), 3, 0)
    after = before.seen(p_values(reward=0.5, cost=0.7), 4, 1)
    assert after.smallest_p["cheap"] == {"reward": 0.01, "cost": 0.7}


def test_new_prices_withdraw_a_declared_promotion_at_once():
    """It promised a saving at prices that nobody is charged any more; no new epoch is needed for that."""
    before = Progress(last_epoch=4, declared=DECLARED)
    assert before.seen({}, 4, 0).declared == DECLARED
    assert before.seen({}, 4, 1).declared is None


@pytest.mark.parametrize(
    "progress",
    [
        Progress(),
        Progress(looks=3, last_epoch=7, declared=DECLARED, dropped={"tiny": "worse"}),
        Progress(smallest_p={"cheap": {"reward": 5e-324, "cost": 1.0}}, cost_series=2),
    ],
)
def test_progress_survives_its_store(progress):
    """It is kept as JSON between ticks."""
    assert Progress.loads(progress.dumps()) == progress


def test_nothing_stored_is_the_beginning():
    """A new experiment has no progress yet."""
    assert Progress.loads("") == Progress()


def test_progress_of_an_earlier_release_is_read():
    """Fields that were added since have defaults."""
    old = '{"looks": 2, "last_epoch": 2, "smallest_p": {}, "declared": null, "dropped": {}}'
    assert Progress.loads(old).looks == 2
