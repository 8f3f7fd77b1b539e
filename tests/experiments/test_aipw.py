"""AIPW: the same as unit by unit, unbiased under a bandit's shares, and wrong where it is known to be wrong."""

import numpy as np
import pytest
from scipy.special import ndtr

from bandit.cells import Cells
from experiments.inference.aipw import CrossCheck, aipw_difference
from experiments.inference.effects import mean_differences
from experiments.inference.not_enough import NotEnoughData


def history(seed, epochs=12, size=100, arms=3, effect=0.1, trend=0.4, feedback=None):
    """(epoch, arm, reward) of each rated unit, with shares that follow the arms' means, and those shares."""
    random = np.random.default_rng(seed)
    share, rows, shares = np.full(arms, 1 / arms), [], []
    hits, seen = np.ones(arms), np.full(arms, 2.0)
    for epoch in range(epochs):
        shares.append(share)
        arm = random.choice(arms, size, p=share)
        rate = 0.3 + trend * epoch / epochs + effect * (arm == 1)
        y = (random.random(size) < rate).astype(float)
        rated = np.ones(size, bool) if feedback is None else random.random(size) < np.array(feedback)[arm]
        rows.append(np.column_stack([np.full(size, epoch), arm, y])[rated])
        hits += np.bincount(arm[rated], y[rated], arms)
        seen += np.bincount(arm[rated], minlength=arms)
        mean = hits / seen
        chance = ndtr((mean - mean.mean()) / np.sqrt(mean * (1 - mean) / seen))
        share = 0.1 + (1 - 0.1 * arms) * chance / chance.sum()
    return np.concatenate(rows), np.array(shares)


def cells_of(rows, epochs, arms):
    sums = np.zeros((epochs, arms, 5, 5))
    for epoch, arm, y in rows:
        z = np.array([1.0, 1.0, y, 0.0, 0.0])
        sums[int(epoch), int(arm)] += np.outer(z, z)
    return Cells(sums)


def unit_by_unit(rows, shares, a, b, middle=0.5):
    """The paper's formulas on single units, in the order of the epochs."""
    score, weight = [], []
    for epoch, arm, y in rows:
        past = rows[rows[:, 0] < epoch]

        def mean(k, past=past):
            own = past[past[:, 1] == k]
            return own[:, 2].mean() if len(own) else past[:, 2].mean() if len(past) else middle

        p = shares[int(epoch)]
        d = mean(b) - mean(a)
        d += (arm == b) * (y - mean(b)) / p[b] - (arm == a) * (y - mean(a)) / p[a]
        score.append(d)
        weight.append(1 / np.sqrt(1 / p[a] + 1 / p[b]))
    score, weight = np.array(score), np.array(weight)
    value = (weight * score).sum() / weight.sum()
    return value, np.sqrt((weight**2 * (score - value) ** 2).sum()) / weight.sum()


def test_the_sums_give_what_single_units_give():
    """Known answer: the definition, unit by unit."""
    rows, shares = history(1)
    value, error = unit_by_unit(rows, shares, 0, 2)
    found = aipw_difference(cells_of(rows, 12, 3), shares, 0, 2)
    assert isinstance(found, CrossCheck)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.high - found.value == pytest.approx(1.959963985 * error, rel=1e-8)
    assert found.units == len(rows)


def test_epochs_without_a_share_of_one_arm_are_left_out():
    """A dropped candidate has no propensity; its past stays."""
    rows, shares = history(2, arms=2)
    shares[8:] = [1.0, 0.0]
    kept = rows[(rows[:, 0] < 8) | (rows[:, 1] == 0)]
    found = aipw_difference(cells_of(kept, 12, 2), shares, 0, 1)
    before = aipw_difference(cells_of(kept[kept[:, 0] < 8], 8, 2), shares[:8], 0, 1)
    assert found == before


def alike(requests, reward):
    """Three epochs of 60 units in both arms that are all the same."""
    z = np.array([1.0, requests, reward, 0.0, 0.0])
    return Cells(np.tile(60 * np.outer(z, z), (3, 2, 1, 1)))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (Cells.empty(3, 2), "too few units"),
        (alike(1.0, 0.5), "no variation"),
        (alike(2.0, 0.5), "several requests"),
    ],
)
def test_what_cannot_be_estimated_is_said_in_words(cells, words):
    """No data, outcomes that are all the same, units of several requests: never a number."""
    found = aipw_difference(cells, np.full((3, 2), 0.5), 0, 1)
    assert isinstance(found, NotEnoughData)
    assert words in found.reason


@pytest.mark.statistical
def test_it_is_unbiased_and_covers_under_thompson_shares_with_a_common_trend():
    """200 experiments whose shares follow the data while all rates rise by .4; pooled means go wrong here."""
    errors, covered, pooled = [], 0, []
    for seed in range(200):
        rows, shares = history(seed, arms=2, effect=0.05)
        found = aipw_difference(cells_of(rows, 12, 2), shares, 0, 1)
        assert isinstance(found, CrossCheck)
        errors.append(found.value - 0.05)
        covered += found.low <= 0.05 <= found.high
        pooled.append(rows[rows[:, 1] == 1, 2].mean() - rows[rows[:, 1] == 0, 2].mean() - 0.05)
    error = np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 3.5 * error
    assert covered >= 180
    assert abs(np.mean(pooled)) > 4 * np.std(pooled) / np.sqrt(len(pooled)), "the comparison that is not made"


@pytest.mark.statistical
def test_feedback_at_different_rates_by_arm_breaks_it_and_not_the_deciding_estimate():
    """The reason why it never decides: with .9 and .3 of the feedback its difference is wrong by far."""
    wrong, right = [], []
    for seed in range(150):
        rows, shares = history(seed, arms=2, effect=0.0, feedback=(0.9, 0.3))
        cells = cells_of(rows, 12, 2)
        found = aipw_difference(cells, shares, 0, 1)
        assert isinstance(found, CrossCheck)
        wrong.append(found.value)
        right.append(mean_differences(cells, 0, [1])[0].value)
    assert abs(np.mean(wrong)) > 5 * np.std(wrong) / np.sqrt(len(wrong))
    assert abs(np.mean(right)) < 3.5 * np.std(right) / np.sqrt(len(right))
