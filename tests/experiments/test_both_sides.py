"""Intervals of both ends, and the variance that a boundary implies: known answers that one side alone would miss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.cells import Cells, Z
from experiments.evidence.epochs import CALL_WINDOW_MS
from experiments.inference.cuped import adjusted
from experiments.inference.effects import Boundary, mean_differences
from experiments.inference.exact import Blocks
from experiments.inference.exact_interval import exact_interval, lower_bound
from tests.experiments.looks import Arm, Trial, experiment
from tests.experiments.test_latency_ratio import ratio


def blocks(seed: int) -> Blocks:
    """Some epochs of unequal arms."""
    random = np.random.default_rng(seed)
    n = random.integers(40, 200, (12, 2)).astype(float)
    return Blocks(n, random.binomial(n.astype(int), random.uniform(0.1, 0.6, 2)).astype(float))


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_exact_interval_has_half_of_alpha_at_either_end(seed: int) -> None:
    """Seen from the other arm it is the same interval; each end alone is a bound at alpha / 2."""
    found, turned = exact_interval(blocks(seed), 0.05), exact_interval(blocks(seed).reversed(), 0.05)
    assert (turned.low, turned.high) == (-found.high, -found.low)
    assert found.low == lower_bound(blocks(seed), 0.05, 0.025)
    assert found.high == -lower_bound(blocks(seed).reversed(), 0.05, 0.025)


def spared(units: int) -> Cells:
    """Two arms of so many units each without any event."""
    sums = np.zeros((1, 2, len(Z), len(Z)))
    sums[..., : Z.TOTAL, : Z.TOTAL] = units
    return Cells(sums)


def test_one_more_event_stands_behind_the_variance_of_the_null() -> None:
    """Nobody failed among 60 and 60: with one more event and its opposite the control's rate is (1 - .6) / 122."""
    rate = (0 + 1 - 0.01 * 60) / (120 + 2)
    variance = rate * (1 - rate) + (rate + 0.01) * (1 - rate - 0.01)
    (found,) = mean_differences(spared(60), 0, [1], null=Boundary(0.01))
    assert found.information == pytest.approx(60 / variance, rel=1e-9)


def test_the_slope_of_a_rate_is_that_of_its_residuals() -> None:
    """Users who talk more bring more reward and more of the covariate; their rate is none the better for it."""
    random = np.random.default_rng(5)
    x = random.normal(3.0, 1.0, (2, 2, 300))
    n = 1.0 + random.poisson(np.maximum(x, 0.0))
    y = random.binomial(n.astype(int), 0.7).astype(float)
    z = np.stack([np.ones_like(x), n, y, np.zeros_like(x), x], axis=-1)
    residual = y - y.sum() / n.sum() * n
    inside = residual - residual.mean(axis=-1, keepdims=True), x - x.mean(axis=-1, keepdims=True)
    slope = (inside[0] * inside[1]).sum() / (inside[1] ** 2).sum()
    found = adjusted(Cells.of_units(z))
    assert found.slope == pytest.approx(slope, rel=1e-9)
    assert abs(found.slope) < 0.05
    assert found.variance_reduction < 0.02


@pytest.mark.parametrize(
    ("called", "recovered", "counted"), [(500, 0, 1), (500, 100, 0), (400, 0, 0), (600, 100, 1)]
)
def test_calls_of_recreated_units_do_not_stand_for_missing_ones(
    called: int, recovered: int, counted: int
) -> None:
    """Failures that were reported first would make an epoch look complete whose successes are still to come."""
    trial = Trial(experiment(reward={"window": "24h"}))
    trial.epoch(Arm(500, 400), Arm(500, 400, called=called, recovered=recovered))
    settled = trial.evidence().settled(trial.definition, trial.now_ms + CALL_WINDOW_MS)
    assert len(settled.epochs) == counted


def test_epochs_of_two_requests_do_not_overstate_what_is_known_of_latency() -> None:
    """Within two requests the variance looks half of what it is; the stated error must be the simulated one."""
    random = np.random.default_rng(9)
    found = [
        ratio(np.exp(6 + 0.5 * random.standard_normal((120, 2, 2))).tolist(), q=0.5).estimate
        for _ in range(150)
    ]
    z = [one.value / one.standard_error for one in found]
    assert np.std(z) == pytest.approx(1.0, abs=0.17)
