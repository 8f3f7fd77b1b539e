"""Laws of splits: shares sum to one, floors and caps hold, dropped arms get nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.shares import capped, checked, thompson, top_two, with_floor, without

SPLITS = st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda raw: sum(raw) > 1e-3)


def split(raw: list[float]) -> np.ndarray:
    """A split proportional to arbitrary non-negative numbers."""
    return np.array(raw) / sum(raw)


def test_top_two_of_the_known_vector_is_reproduced():
    """Own computation by Russo (arXiv 1602.08448, section 3.4): a slip in the runner-up term would move every share."""
    best = np.array([0.24404762, 0.73214286, 0.02380952])
    expected = [0.45853175, 0.49318054, 0.04828771]
    np.testing.assert_allclose(top_two(best), expected, atol=1e-6)


def test_top_two_gives_all_traffic_to_a_certain_winner():
    """With P = 1 the runner-up term is 0/0; the division must not reach the shares as NaN."""
    np.testing.assert_array_equal(top_two(np.array([0.0, 1.0, 0.0])), [0, 1, 0])


def test_top_two_of_a_nearly_certain_winner_halves_its_traffic():
    """Just below certainty the others share 1 - beta: that is what lets top-two decide quickly."""
    tiny = 1e-9
    result = top_two(np.array([1 - 2 * tiny, tiny, tiny]))
    np.testing.assert_allclose(result, [0.5, 0.25, 0.25], atol=1e-6)


@settings(derandomize=True, max_examples=60)
@given(SPLITS, st.floats(0, 1), st.data())
def test_a_floored_split_sums_to_one_and_respects_every_floor(raw, total, data):
    """Propensities are recorded from this vector; a floor broken by rescaling would starve an arm."""
    weights = data.draw(st.lists(st.floats(0, 1), min_size=len(raw), max_size=len(raw)))
    floors = total * np.array(weights) / max(sum(weights), 1.0)
    result = with_floor(split(raw), floors)
    assert abs(result.sum() - 1) < 1e-12
    assert (result >= floors - 1e-12).all()


def test_clamping_and_rescaling_would_break_the_floor_that_mixing_keeps():
    """The classical trap, shown beside the right answer so that a rewrite into it fails here."""
    shares, floors = np.array([0.97, 0.02, 0.01]), np.full(3, 0.05)
    clamped = np.maximum(shares, floors)
    assert (clamped / clamped.sum()).min() < 0.05
    assert with_floor(shares, floors).min() >= 0.05


@settings(derandomize=True, max_examples=60)
@given(SPLITS, st.data())
def test_a_capped_split_sums_to_one_and_respects_every_cap(raw, data):
    """Traffic freed by one cap must not push another arm over its own."""
    some = data.draw(st.lists(st.floats(0, 1), min_size=len(raw), max_size=len(raw)))
    caps = np.array(some)
    caps[data.draw(st.integers(0, len(raw) - 1))] = 1.0
    result = capped(split(raw), caps)
    assert abs(result.sum() - 1) < 1e-12
    assert (result <= caps + 1e-9).all()


def test_caps_that_bind_nobody_change_nothing():
    """A ramp that is over must leave the bandit's split alone."""
    shares = np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(capped(shares, np.ones(3)), shares, atol=1e-15)


def test_traffic_freed_by_a_cap_reaches_arms_that_had_none():
    """Caps must hold even when every arm with traffic is capped."""
    np.testing.assert_allclose(capped(np.array([1.0, 0.0, 0.0]), np.array([0.2, 1.0, 1.0])), [0.2, 0.4, 0.4])


@settings(derandomize=True, max_examples=60)
@given(SPLITS.filter(lambda raw: len(raw) > 1), st.data())
def test_dropped_arms_get_nothing_and_the_rest_keeps_its_proportions(raw, data):
    """Elimination must not favour one of the survivors."""
    shares = split(raw)
    dropped = data.draw(st.sets(st.integers(0, len(raw) - 1), max_size=len(raw) - 1))
    result = without(shares, sorted(dropped))
    live = [arm for arm in range(len(raw)) if arm not in dropped]
    assert abs(result.sum() - 1) < 1e-12
    assert result[sorted(dropped)].sum() == 0
    if shares[live].sum() > 0:
        np.testing.assert_allclose(result[live], shares[live] / shares[live].sum(), atol=1e-9)


def test_survivors_without_any_share_split_evenly():
    """The dropped arm may have had all the traffic; 0/0 must not follow."""
    np.testing.assert_allclose(without(np.array([1.0, 0.0, 0.0]), [0]), [0, 0.5, 0.5])


@settings(derandomize=True, max_examples=60)
@given(SPLITS, st.randoms(use_true_random=False))
def test_reordering_arms_reorders_every_step(raw, random):
    """Arms have no rank by position: a bug in one index would show here."""
    shares = split(raw)
    order = list(range(len(raw)))
    random.shuffle(order)
    floors = np.linspace(0, 0.5, len(raw)) / len(raw)
    caps = np.linspace(0.3, 1.0, len(raw))
    if caps.sum() >= 1:
        np.testing.assert_allclose(capped(shares[order], caps[order]), capped(shares, caps)[order], atol=1e-9)
    np.testing.assert_allclose(top_two(shares[order]), top_two(shares)[order], atol=1e-9)
    np.testing.assert_allclose(
        with_floor(shares[order], floors[order]), with_floor(shares, floors)[order], atol=1e-12
    )


def test_rounding_errors_are_removed():
    """Stored propensities must sum to one to the last digits, and never be -0.0000001."""
    result = checked(np.array([0.5 + 1e-10, 0.5, -1e-12]))
    assert result.min() == 0
    assert abs(result.sum() - 1) < 1e-12


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([], "at least one arm"),
        ([0.5, float("nan")], "finite"),
        ([0.5, float("inf")], "finite"),
        ([float("inf"), float("-inf")], "finite"),
        ([0.5, 0.4], "sum to 1, not 0.9"),
        ([1.1, -0.1], "non-negative"),
    ],
)
def test_what_is_no_split_is_refused_with_value_and_bound(shares, words):
    """A wrong vector must stop the tick, not be published."""
    with pytest.raises(ValueError, match=words):
        thompson(np.array(shares))


def test_impossible_floors_caps_and_drops_are_refused():
    """Each message names the bound that was broken."""
    half = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="sum <= 1"):
        with_floor(half, np.array([0.6, 0.6]))
    with pytest.raises(ValueError, match="sum >= 1"):
        capped(half, np.array([0.4, 0.4]))
    with pytest.raises(ValueError, match="must leave one"):
        without(half, [0, 1])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        top_two(half, beta=1.5)
