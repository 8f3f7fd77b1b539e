"""Epochs: when they close, when they are mature, and how their number stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evidence.epochs import GRACE_MS, LONGEST_MS, Epoch, may_close, smallest_size

OPEN = Epoch(1, 3, 1_000, (0.5, 0.5))
CLOSED = Epoch(1, 3, 1_000, (0.5, 0.5), closed_at_ms=5_000)


@pytest.mark.parametrize(("arms", "size"), [(2, 100), (5, 100), (6, 120), (20, 400)])
def test_an_epoch_needs_a_hundred_units_or_twenty_an_arm(arms, size):
    """Epochs of one unit would keep no information."""
    assert smallest_size(arms, 1) == size


@pytest.mark.parametrize(
    ("number", "size"), [(1, 100), (1_999, 100), (2_000, 200), (4_000, 400), (6_000, 800)]
)
def test_epochs_double_with_every_two_thousand(number, size):
    """The history stays a few thousand rows however long an experiment runs."""
    assert smallest_size(2, number) == size


def test_new_shares_close_an_epoch_that_is_large_enough():
    """One unit short it stays open."""
    assert not may_close(OPEN, 2, 99, 0, shares_changed=True, now_ms=2_000)
    assert may_close(OPEN, 2, 100, 0, shares_changed=True, now_ms=2_000)


def test_unchanged_shares_close_an_epoch_once_the_evidence_grew_by_a_tenth():
    """Looks go on in mode ab, without an epoch for every hundred units."""
    assert may_close(OPEN, 2, 100, 1_000, shares_changed=False, now_ms=2_000)
    assert not may_close(OPEN, 2, 100, 1_001, shares_changed=False, now_ms=2_000)
    assert not may_close(OPEN, 2, 99, 0, shares_changed=False, now_ms=2_000)


def test_a_day_closes_any_epoch():
    """Quiet tasks have looks too."""
    assert not may_close(OPEN, 2, 0, 0, shares_changed=False, now_ms=1_000 + LONGEST_MS - 1)
    assert may_close(OPEN, 2, 0, 0, shares_changed=False, now_ms=1_000 + LONGEST_MS)


def test_an_epoch_matures_when_the_window_after_its_end_is_over():
    """The last unit is assigned up to two seconds after closing and has its whole window."""
    assert not CLOSED.mature(600, 5_000 + 600 + GRACE_MS - 1)
    assert CLOSED.mature(600, 5_000 + 600 + GRACE_MS)


@given(st.integers(0, 2**50))
def test_an_open_epoch_is_never_mature(now_ms):
    """Whatever the time, units may still enter it."""
    assert not OPEN.mature(0, now_ms)


@given(st.integers(0, 2**50))
def test_the_epoch_of_degraded_decisions_is_never_mature(now_ms):
    """Epoch 0 is read by no test."""
    assert not Epoch(1, 0, 0, (0.5, 0.5), closed_at_ms=0).mature(0, now_ms)
