"""Costs per request: the price list, bills, and trends common to all arms."""

import numpy as np
import pytest

from bandit.cells import Cells, Z
from bandit.costs import SMALLEST_USD, costs


def billed(requests: np.ndarray, per_request: np.ndarray, spread: float = 0.0) -> Cells:
    """Cells of single-request units with a given mean cost and coefficient of variation."""
    n, c = np.asarray(requests, dtype=float), np.broadcast_to(per_request, np.shape(requests))
    cells = Cells.empty(*n.shape)
    for i, j, value in (
        (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n),
        (Z.UNIT, Z.COST, n * c), (Z.REQUESTS, Z.COST, n * c), (Z.COST, Z.COST, n * c**2 * (1 + spread**2)),
    ):  # fmt: skip
        cells.sums[..., i, j] = cells.sums[..., j, i] = value
    return cells


def test_before_any_traffic_the_price_list_is_all_there_is():
    """Its uncertainty is that of five requests with a coefficient of variation of one."""
    got = costs(Cells.empty(0, 3), np.array([0.06, 0.01, 0.001]))
    np.testing.assert_allclose(got.mean_usd, [0.06, 0.01, 0.001])
    np.testing.assert_allclose(got.log_sd, 1 / np.sqrt(5))


def test_bills_replace_the_price_list():
    """After a thousand requests five listed ones hardly count."""
    got = costs(billed([[1000, 1000]], np.array([0.02, 0.005]), 0.5), np.array([0.02, 0.02]))
    np.testing.assert_allclose(got.mean_usd, [0.02, 0.005], rtol=0.02)
    np.testing.assert_allclose(got.log_sd, 0.5 / np.sqrt(1000), rtol=0.05)


def test_the_price_list_weighs_as_five_requests():
    """Five requests at three times the listed cost: half way between the two."""
    got = costs(billed([[10**6, 5]], np.array([0.01, 0.03])), np.array([0.01, 0.01]))
    np.testing.assert_allclose(got.mean_usd, [0.01, 0.02], rtol=1e-3)


def test_a_list_wrong_by_a_common_factor_does_no_harm():
    """Answers ten times longer than assumed raise all bills; only relative costs steer traffic."""
    cells = billed([[50, 50], [90, 10]], np.array([0.02, 0.005]))
    got, wrong = (costs(cells, scale * np.array([0.02, 0.02])) for scale in (1, 1000))
    np.testing.assert_allclose(wrong.mean_usd, got.mean_usd, rtol=1e-6)
    np.testing.assert_allclose(got.mean_usd, [0.02, 0.005], rtol=0.2)


def test_a_cost_trend_common_to_all_arms_fools_nobody():
    """Costs grow tenfold while the second arm takes over; pooled means would call it dearer than the first."""
    requests = np.array([[90, 10]] * 20 + [[10, 90]] * 20)
    trend = np.where(np.arange(40) < 20, 1.0, 10.0)[:, None]
    per_request = trend * np.array([0.010, 0.008])
    pooled = (requests * per_request).sum(axis=0) / requests.sum(axis=0)
    assert pooled[1] > 2 * pooled[0]
    got = costs(billed(requests, per_request), np.array([0.01, 0.01]))
    assert got.mean_usd[1] / got.mean_usd[0] == pytest.approx(0.8, rel=0.01)
    assert got.mean_usd[0] == pytest.approx(0.1, rel=0.01), "the level is that of the last epochs"


def test_costs_are_never_zero_or_below():
    """A free local model would otherwise divide by zero."""
    free = billed([[500, 500]], np.array([0.0, 0.01]))
    for listed in ([0.0, 0.01], [0.0, 0.0]):
        got = costs(free, np.array(listed))
        assert (got.mean_usd >= SMALLEST_USD).all()
        assert got.mean_usd[0] < 0.01 * got.mean_usd[1]
        assert (got.draws(np.random.default_rng(0).standard_normal((4096, 2))) > 0).all()
    assert (costs(billed([[9, 9]], np.zeros(2)), np.zeros(2)).mean_usd >= SMALLEST_USD).all()


def test_draws_scatter_around_the_mean_on_the_log_scale():
    """exp(N(0, cv^2/n)) has the mean cost as its median."""
    got = costs(Cells.empty(0, 1), np.array([0.01]))
    logs = np.log(got.draws(np.random.default_rng(0).standard_normal((100_000, 1))) / 0.01)
    assert np.median(logs) == pytest.approx(0, abs=0.01)
    assert logs.std() == pytest.approx(1 / np.sqrt(5), rel=0.01)


def test_costs_add_up_over_workers_and_follow_a_reordering():
    """Merged cells are cells of merged data; arms have no rank by position."""
    one, other = (
        billed([[40, 60]], np.array([0.02, 0.01]), 1.0),
        billed([[7, 3]], np.array([0.05, 0.01]), 1.0),
    )
    listed = np.array([0.02, 0.03])
    summed = Cells(one.sums + other.sums)
    np.testing.assert_allclose(costs(one + other, listed).mean_usd, costs(summed, listed).mean_usd)
    swapped = costs(summed.arms(1, 0), listed[::-1])
    np.testing.assert_allclose(swapped.mean_usd[::-1], costs(summed, listed).mean_usd, rtol=1e-9)
    np.testing.assert_allclose(swapped.log_sd[::-1], costs(summed, listed).log_sd, rtol=1e-9)


def test_an_impossible_price_list_is_refused():
    """One finite cost per arm."""
    for listed in ([0.1], [0.1, -1.0], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="finite costs >= 0"):
            costs(Cells.empty(1, 2), np.array(listed))
