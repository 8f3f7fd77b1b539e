"""The sample-ratio sequence: known answers, one-way memory, and alarms under constant looking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, dirichlet_multinomial, multinomial

from experiments.inference.sample_ratio_sequence import sample_ratio_sequence

FEW = settings(derandomize=True, max_examples=60)


def counts(*rows: list[int]) -> np.ndarray:
    """Counts by epoch and arm."""
    return np.array(rows, dtype=np.int64)


def moving(epochs: int, seed: int) -> np.ndarray:
    """Shares of two arms as a bandit may move them, between .05 and .95."""
    steps = np.random.default_rng(seed).normal(0, 0.05, epochs)
    second = np.clip(0.5 + np.cumsum(steps), 0.05, 0.95)
    return np.stack([1 - second, second], axis=1)


def test_one_epoch_is_the_bayes_factor_of_scipy():
    """Known answer: Dirichlet-multinomial over multinomial probability, for each prior and their mean."""
    shares, seen = np.array([0.5, 0.3, 0.2]), [60, 20, 20]
    known = [
        dirichlet_multinomial.logpmf(seen, c * shares, 100) - multinomial.logpmf(seen, 100, shares)
        for c in (100.0, 10_000.0)
    ]
    for c, value in zip((100.0, 10_000.0), known, strict=True):
        assert sample_ratio_sequence(counts(seen), shares[None], (c,)).log_e[0] == pytest.approx(
            value, abs=1e-9
        )
    mean = np.log(np.mean(np.exp(known)))
    assert sample_ratio_sequence(counts(seen), shares[None]).log_e[0] == pytest.approx(mean, abs=1e-9)


def test_a_known_split_has_its_value_worked_by_hand():
    """Own computation: n units on the first of two equal arms, prior of 2 units (Beta(1, 1)): 2^n / (n + 1)."""
    for units, known in ((2, 4 / 3), (10, 1024 / 11)):
        got = sample_ratio_sequence(counts([units, 0]), np.array([[0.5, 0.5]]), (2.0,))
        assert np.exp(got.log_e[0]) == pytest.approx(known, rel=1e-9)


@FEW
@given(st.lists(st.tuples(*[st.integers(0, 300)] * 3), min_size=1, max_size=6))
def test_with_constant_shares_epochs_may_be_cut_anywhere(rows):
    """The paper's process runs unit by unit: cutting it into epochs must not change the evidence."""
    shares = np.array([0.6, 0.3, 0.1])
    cut = sample_ratio_sequence(np.array(rows), np.tile(shares, (len(rows), 1)))
    whole = sample_ratio_sequence(np.array(rows).sum(axis=0)[None], shares[None])
    assert cut.log_e[-1] == pytest.approx(whole.log_e[-1], abs=1e-6)


def test_later_epochs_do_not_change_what_earlier_ones_said():
    """A belief made from the epoch it bets on would win against every healthy split."""
    shares, generator = moving(30, 1), np.random.default_rng(1)
    seen = generator.multinomial(100, shares)
    whole = sample_ratio_sequence(seen, shares).log_e
    assert sample_ratio_sequence(seen[:20], shares[:20]).log_e == pytest.approx(whole[:20])


@pytest.mark.parametrize("cut", [0, 1, 17, 29, 30])
def test_an_answer_goes_on_to_the_last_bit_as_if_all_epochs_had_come_at_once(cut):
    """Two nodes, of which one was started anew, must read the same; here with a unit where none could go."""
    shares, generator = moving(30, 2), np.random.default_rng(2)
    shares[20] = (1.0, 0.0)
    seen = generator.multinomial(100, shares)
    seen[20, 1] = 1
    whole = sample_ratio_sequence(seen, shares)
    grown = sample_ratio_sequence(seen[:cut], shares[:cut]).followed_by(seen[cut:], shares[cut:])
    assert grown.log_e == whole.log_e
    assert grown.units == whole.units
    assert whole.log_e[20:] == (np.inf,) * 10
    assert np.isfinite(whole.log_e[:20]).all()
    later = whole.followed_by(seen[:1], shares[:1])
    assert later.log_e == (*whole.log_e, np.inf)
    with pytest.raises(ValueError, match="3 arms after 2"):
        whole.followed_by(counts([1, 1, 1]), np.full((1, 3), 1 / 3))


def test_each_epoch_has_mean_one_under_its_own_shares_whatever_came_before():
    """The martingale itself, summed over all outcomes of a third epoch of 12 units."""
    shares = np.array([[0.5, 0.5], [0.8, 0.2], [0.3, 0.7]])
    before = sample_ratio_sequence(counts([70, 30], [60, 40]), shares[:2]).log_e[-1]
    after = [
        sample_ratio_sequence(counts([70, 30], [60, 40], [k, 12 - k]), shares).log_e[-1] for k in range(13)
    ]
    mean = np.exp(np.array(after) - before) @ binom.pmf(np.arange(13), 12, 0.3)
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_a_unit_on_an_arm_without_share_alarms_from_then_on():
    """No chance can explain it; a dropped arm without units costs nothing."""
    shares = np.array([[0.5, 0.5, 0.0]] * 3)
    got = sample_ratio_sequence(counts([50, 50, 0], [50, 50, 1], [50, 50, 0]), shares)
    assert got.log_e[0] < 1
    assert got.log_e[1:] == (np.inf, np.inf)
    assert got.alarm
    dropped = sample_ratio_sequence(counts([50, 50, 0]), shares[:1])
    assert dropped.log_e == pytest.approx(sample_ratio_sequence(counts([50, 50]), shares[:1, :2]).log_e)


def test_an_alarm_that_was_raised_stays_raised():
    """The e-value may fall again; p is one over its largest."""
    shares = np.full((2, 2), 0.5)
    got = sample_ratio_sequence(counts([700, 300], [4_650, 5_350]), shares)
    assert got.log_e[1] < np.log(1000) < got.log_e[0]
    assert got.alarm
    assert got.p_value == pytest.approx(np.exp(-got.log_e[0]))


@pytest.mark.parametrize("size", [0, 1, 10**9])
def test_extreme_counts_are_finite(size):
    """No unit, one unit, a billion units as decided."""
    got = sample_ratio_sequence(counts([size, size]), np.array([[0.5, 0.5]]))
    assert np.isfinite(got.log_e).all()
    assert not got.alarm
    assert sample_ratio_sequence(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2))).p_value == 1.0


@pytest.mark.parametrize(
    ("seen", "shares", "words"),
    [
        (counts([1, 2, 3]), np.array([[0.5, 0.5]]), "epochs by arms"),
        (counts([1, -2]), np.array([[0.5, 0.5]]), ">= 0"),
        (counts([1, 2]), np.array([[0.5, 0.4]]), "sum to 1"),
    ],
)
def test_impossible_inputs_are_refused(seen, shares, words):
    """A split that is none has no ratio."""
    with pytest.raises(ValueError, match=words):
        sample_ratio_sequence(seen, shares)


@pytest.mark.statistical
def test_healthy_splits_alarm_in_at_most_one_percent_with_a_look_at_every_epoch():
    """10,000 units in epochs of 100 whose shares move; the promise is one in a thousand."""
    alarms = 0
    for seed in range(600):
        shares = moving(100, seed)
        alarms += sample_ratio_sequence(np.random.default_rng(seed).multinomial(100, shares), shares).alarm
    assert alarms <= 3


@pytest.mark.statistical
def test_a_loss_of_two_percent_of_one_arm_is_found():
    """Half a million units; shares that wander to .05 and .95 tell less. A great loss shows in 3,600 units."""
    for steady, least in ((True, 36), (False, 24)):
        found = 0
        for seed in range(40):
            shares = np.full((500, 2), 0.5) if steady else moving(500, seed)
            generator = np.random.default_rng(seed)
            seen = generator.multinomial(1000, shares)
            seen[:, 1] = generator.binomial(seen[:, 1], 0.98)
            found += sample_ratio_sequence(seen, shares).alarm
        assert found >= least, steady
    lost = np.random.default_rng(5).binomial([500, 500], [1.0, 0.8])[None].repeat(4, axis=0)
    assert sample_ratio_sequence(lost, np.full((4, 2), 0.5)).alarm
