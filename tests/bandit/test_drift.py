"""Drift of one arm against the others: found where planted, silent under whatever moves all arms alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.cells import Cells, Z
from bandit.drift import drifts

EPOCHS = 120


def cells_of(n: np.ndarray, successes: np.ndarray) -> Cells:
    """Single-request units with binary rewards."""
    cells = Cells.empty(*n.shape)
    for i, j, value in (
        (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n),
        (Z.UNIT, Z.TOTAL, successes), (Z.REQUESTS, Z.TOTAL, successes), (Z.TOTAL, Z.TOTAL, successes),
    ):  # fmt: skip
        cells.sums[..., i, j] = cells.sums[..., j, i] = value
    return cells


def shifting(seed: int, arms: int = 3, epochs: int = EPOCHS) -> np.ndarray:
    """Requests whose shares move from the first arm to the last one, with noise."""
    generator = np.random.default_rng(seed)
    part = np.linspace(0, 1, epochs)[:, None]
    towards = (1 - part) * np.linspace(4, 1, arms) + part * np.linspace(1, 4, arms)
    shares = np.array([generator.dirichlet(10 * each) for each in towards])
    return generator.multinomial(100, 0.7 * shares + 0.3 / arms)


def drawn(rates: np.ndarray, seed: int) -> Cells:
    """Successes at rates of shape (epochs, arms), under moving shares."""
    n = shifting(seed, rates.shape[1], rates.shape[0])
    return cells_of(n.astype(float), np.random.default_rng(seed + 1).binomial(n, rates).astype(float))


def steady(*rates: float, epochs: int = EPOCHS) -> np.ndarray:
    """The same rates in every epoch."""
    return np.tile(rates, (epochs, 1))


def test_an_arm_that_dropped_is_named_with_the_size_of_its_change():
    """A provider swaps the model behind a name; its older evidence must not be believed."""
    rates = steady(0.7, 0.6, 0.55, epochs=300)
    rates[150:, 1] -= 0.2
    found = drifts(drawn(rates, 1))
    clearest = min(found, key=lambda each: each.p_value)
    assert clearest.arm == 1
    assert clearest.alarm
    assert clearest.change == pytest.approx(-0.2, abs=4 * clearest.error)
    assert 0.4 * 300 < clearest.recent_epochs < 0.6 * 300


@pytest.mark.statistical
def test_planted_drift_is_found_in_most_runs_and_blamed_on_the_right_arm():
    """A drop of .15 at half time, thirty runs."""
    rates = steady(0.7, 0.6, 0.55, epochs=300)
    rates[150:, 0] -= 0.15
    found = [min(drifts(drawn(rates, seed)), key=lambda each: each.p_value) for seed in range(30)]
    assert sum(each.alarm for each in found) >= 24
    assert sum(each.arm == 0 for each in found) >= 27


@pytest.mark.statistical
@pytest.mark.parametrize("rates", [(0.5, 0.55, 0.6), (0.02, 0.02, 0.02), (0.05, 0.5, 0.9)])
def test_arms_that_stay_raise_no_alarm_however_the_shares_move(rates):
    """A look every five epochs over moving shares: at most two of a hundred runs."""
    alarms = 0
    for seed in range(100):
        cells = drawn(steady(*rates), seed)
        alarms += any(each.alarm for e in range(20, EPOCHS + 1, 5) for each in drifts(cells[slice(0, e)]))
    assert alarms <= 2


@pytest.mark.statistical
def test_common_drift_raises_no_alarm():
    """A ramp, a sine and a step common to all arms, while the shares move from worst to best."""
    part = np.linspace(0, 1, EPOCHS)[:, None]
    for common in (0.3 * part, 0.2 * np.sin(12 * part), 0.3 * (part > 0.6)):
        alarms = [any(each.alarm for each in drifts(drawn(np.array([0.3, 0.4, 0.45]) + common, seed)))
                  for seed in range(40)]  # fmt: skip
        assert sum(alarms) == 0


def test_comparing_with_whatever_the_others_served_would_cry_drift():
    """The mistake avoided: without any drift the pooled mean of the others follows the shares."""
    cells = drawn(steady(0.5, 0.1, 0.9, epochs=300), 3)
    n, successes = cells.n, cells.total(Z.TOTAL)
    rest = successes[:, 1:].sum(axis=1) / n[:, 1:].sum(axis=1)
    assert rest[200:].mean() - rest[:100].mean() > 0.1
    assert not any(each.alarm for each in drifts(cells))


@settings(derandomize=True, max_examples=25)
@given(st.integers(0, 1000), st.floats(-3, 3))
def test_a_shock_common_to_an_epoch_changes_nothing(seed, size):
    """The law behind the two tests above, exactly; only the spread of single rewards stays as it was."""
    n = shifting(seed, 3, 40).astype(float)
    plain = cells_of(n, n * 0.5)
    shocked = Cells(plain.sums.copy())
    shock = size * np.random.default_rng(seed).standard_normal((40, 1))
    total = n * (0.5 + shock)
    for i, j, value in ((Z.UNIT, Z.TOTAL, total), (Z.REQUESTS, Z.TOTAL, total),
                        (Z.TOTAL, Z.TOTAL, total**2 / np.maximum(n, 1) + n * 0.25)):  # fmt: skip
        shocked.sums[..., i, j] = shocked.sums[..., j, i] = value
    for one in drifts(shocked):
        assert one.change == pytest.approx(0, abs=1e-8)


def test_the_change_is_the_difference_of_two_regressions_with_a_base_per_epoch():
    """Known answer: least squares on epoch and arm dummies in each half, compared by common weights."""
    rates = steady(0.5, 0.6, 0.4, epochs=60)
    rates[30:, 2] += 0.2
    cells = drawn(rates, 8)
    squares = cells.product(Z.TOTAL, Z.TOTAL) - cells.total(Z.TOTAL) ** 2 / cells.n
    variances = (squares.sum(axis=0) + 0.25) / ((cells.n - 1).sum(axis=0) + 1)

    def effects(span: slice) -> np.ndarray:
        n, mean = cells.n[span], cells.total(Z.TOTAL)[span] / cells.n[span]
        epochs, arms = n.shape
        design = np.hstack([np.repeat(np.eye(epochs), arms, axis=0), np.tile(np.eye(arms), (epochs, 1))])
        root = np.sqrt(n / variances).ravel()
        return np.linalg.lstsq(design * root[:, None], mean.ravel() * root, rcond=None)[0][epochs:]

    moved = effects(slice(30, None)) - effects(slice(30))
    fewest = np.minimum(cells.n[:30].sum(axis=0), cells.n[30:].sum(axis=0))
    found = drifts(cells)[2]
    assert found.recent_epochs == 30
    assert found.change == pytest.approx(moved[2] - moved[:2] @ fewest[:2] / fewest[:2].sum(), abs=1e-9)


def test_reordering_the_arms_reorders_the_answers():
    """Nobody is a control here."""
    cells, order = drawn(steady(0.5, 0.6, 0.4, 0.3), 5), [2, 0, 3, 1]
    plain, moved = drifts(cells), drifts(cells.arms(*order))
    assert [each.change for each in moved] == pytest.approx([plain[arm].change for arm in order])


def test_two_arms_are_named_together():
    """A difference has two ends; nothing says which one moved."""
    rates = steady(0.6, 0.6, epochs=300)
    rates[150:, 0] -= 0.25
    one, other = drifts(drawn(rates, 6))
    assert one.change == pytest.approx(-other.change)
    assert one.alarm
    assert other.alarm


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_too_little_data_says_so(epochs):
    """No answer is no alarm, and no NaN."""
    n = np.full((epochs, 3), 30.0)
    for each in drifts(cells_of(n, n * 0.5)):
        assert each.p_value == 1.0
        assert each.change == 0.0
        assert not each.alarm


def test_an_arm_that_was_dropped_or_joined_late_does_not_disturb_the_others():
    """It is missing from one span, so nothing can be said of it; the others are compared without it."""
    n = np.full((60, 4), 40.0)
    n[20:, 2], n[:55, 3] = 0.0, 0.0
    found = drifts(cells_of(n, n * [0.5, 0.6, 0.4, 0.7]))
    assert found[3].error == np.inf
    assert all(np.isfinite(found[arm].error) and not found[arm].alarm for arm in (0, 1))


def test_arms_that_never_met_in_a_span_are_not_compared_there():
    """Two pairs of arms took turns after half time: what one pair's level is beside the other's nobody knows."""
    n = np.full((40, 4), 300.0)
    n[20::2, :2], n[21::2, 2:] = 0.0, 0.0
    rates = np.tile([0.5, 0.6, 0.3, 0.4], (40, 1))
    rates[20::2] += 0.2
    found = drifts(cells_of(n, n * rates))
    assert not any(each.alarm for each in found)
    met = np.full((40, 4), 300.0)
    rates[20:, :2] += 0.2
    assert any(each.alarm for each in drifts(cells_of(met, met * rates))), "had they met, it would be a drift"


def test_identical_outcomes_are_not_certain():
    """A judge that says .5 fifty times and then .501 has a variance of zero, but has not drifted."""
    n = np.full((20, 2), 25.0)
    scores = np.full((20, 2), 0.5)
    scores[15:, 0] = 0.501
    cells = cells_of(n, n * scores)
    cells.sums[..., Z.TOTAL, Z.TOTAL] = n * scores**2
    assert not any(each.alarm for each in drifts(cells))


def test_an_impossible_range_is_refused():
    """The spread of rewards is measured against it."""
    with pytest.raises(ValueError, match="width"):
        drifts(cells_of(np.ones((2, 2)), np.ones((2, 2))), 0.0)
