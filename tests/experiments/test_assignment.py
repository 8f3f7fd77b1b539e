"""Assignment: a pure function of salt, unit and frozen shares."""

from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from experiments.definition.assignment import arm_at, cumulative, position

LAST = 1 - 2**-53
"""The greatest position there is."""


def shares_of(weights):
    """Shares that sum to one within rounding."""
    return tuple(weight / sum(weights) for weight in weights)


SHARES = st.lists(st.integers(0, 1_000), min_size=2, max_size=20).filter(any).map(shares_of)
POSITIONS = st.floats(0, LAST)


def test_the_published_vector_holds():
    """'salt', 'unit' -> 6451a2cdfa979a09 (own computation: coreutils' sha256sum of both, 0x1f between): any other
    language must place the unit at the same point.
    """
    digest = sha256(b"salt\x1funit").digest()
    assert digest[:8].hex() == "6451a2cdfa979a09"
    assert position("salt", "unit") == (0x6451A2CDFA979A09 >> 11) / 2**53


@given(st.text(max_size=20), st.text(max_size=50))
def test_a_position_is_below_one_and_repeats(salt, unit):
    """A position of exactly one would fall off the last arm."""
    where = position(salt, unit)
    assert 0 <= where < 1
    assert position(salt, unit) == where


def test_lone_surrogates_have_a_position_too():
    """Broken text from a client must not stop its request."""
    assert 0 <= position("salt", "\ud800") < 1


def test_salt_and_unit_do_not_run_together():
    """Without a separator experiment 'a' and unit 'bc' would equal experiment 'ab' and unit 'c'."""
    assert position("a", "bc") != position("ab", "c")


@given(SHARES, POSITIONS)
def test_every_position_has_an_arm_with_a_share(shares, where):
    """A dropped candidate gets nobody, whatever the rounding of the sum."""
    assert shares[arm_at(cumulative(shares), where)] > 0


@given(SHARES)
def test_the_ends_of_the_unit_interval_belong_to_arms_with_a_share(shares):
    """The greatest position is the one that rounding can push past the last boundary."""
    boundaries = cumulative(shares)
    assert shares[arm_at(boundaries, 0.0)] > 0
    assert shares[arm_at(boundaries, LAST)] > 0


@given(SHARES)
def test_the_range_of_an_arm_is_as_wide_as_its_share(shares):
    """That is what makes the recorded share the propensity."""
    edges = np.array([0.0, *cumulative(shares), 1.0])
    assert np.allclose(np.diff(edges), shares, atol=1e-12)
    assert len(edges) == len(shares) + 1


def test_moving_a_share_moves_only_the_units_between_the_boundaries():
    """Everyone else keeps the candidate when shares change."""
    units = [position("salt", str(unit)) for unit in range(4_000)]
    before = [arm_at(cumulative((0.5, 0.5)), where) for where in units]
    after = [arm_at(cumulative((0.6, 0.4)), where) for where in units]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {(1, 0)}
    assert 320 < len(moved) < 480  # 400 expected, 4 standard deviations


def test_arms_get_their_shares_of_many_units():
    """Chi-square of 20,000 hashed units against the shares; fails by chance once in ten thousand."""
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    arms = [arm_at(cumulative(tuple(shares)), position("exp", f"user-{unit}")) for unit in range(20_000)]
    expected = shares * len(arms)
    statistic = float(((np.bincount(arms) - expected) ** 2 / expected).sum())
    assert chi2.sf(statistic, 3) > 1e-4


def test_two_experiments_split_the_same_users_independently():
    """Without the experiment's salt in the hash both would send the same users to the same side."""
    halves = cumulative((0.5, 0.5))
    table = np.zeros((2, 2))
    for unit in range(8_000):
        table[arm_at(halves, position("one", str(unit))), arm_at(halves, position("two", str(unit)))] += 1
    assert chi2_contingency(table).pvalue > 1e-4
