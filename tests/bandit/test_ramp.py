"""A new arm rises in steps that matured units pay for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.ramp import ramp_caps


@pytest.mark.parametrize(
    ("units", "cap"), [(0, 0.01), (49, 0.01), (50, 0.05), (99.5, 0.05), (100, 1), (1e9, 1)]
)
def test_each_step_takes_fifty_matured_units(units, cap):
    """1% until 50, 5% until another 50, then free."""
    assert ramp_caps([500, units], newcomers=[1]) == (1.0, cap)


def test_the_steps_are_those_that_were_declared():
    """Each takes another fifty matured units."""
    caps = [ramp_caps([900, units], [1], steps=(0.02, 0.1, 0.3))[1] for units in (0, 50, 100, 150)]
    assert caps == [0.02, 0.1, 0.3, 1.0]
    assert ramp_caps([900, 0], [1], steps=()) == (1.0, 1.0)


def test_arms_that_are_not_new_are_never_held_back():
    """All candidates of an experiment start together; only one that joins later is a newcomer."""
    assert ramp_caps([0, 0, 0], newcomers=[]) == (1.0, 1.0, 1.0)


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=6), st.floats(0, 1000))
def test_more_matured_units_never_lower_a_cap(units, more):
    """A ramp goes up; the rest can always take what a cap frees."""
    new = range(1, len(units))
    before, after = ramp_caps(units, new), ramp_caps([one + more for one in units], new)
    assert all(later >= earlier for earlier, later in zip(before, after, strict=True))
    assert sum(before) >= 1


@pytest.mark.parametrize(
    ("units", "newcomers", "words"),
    [([1, 2], [0, 1], "every arm"), ([1, 2], [2], "must be arms"), ([1, -2], [1], "units >= 0")],
)
def test_a_ramp_without_a_free_arm_or_with_impossible_units_is_refused(units, newcomers, words):
    """Shares must sum to one, so somebody has to take the rest."""
    with pytest.raises(ValueError, match=words):
        ramp_caps(units, newcomers)
