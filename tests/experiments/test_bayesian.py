"""Bayesian read-out against closed forms and a Monte-Carlo oracle."""

from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from experiments.inference.bayesian import Chances, Successes, of_binary, of_effect
from experiments.inference.not_enough import NotEnoughData


def ready(result: Chances | NotEnoughData) -> Chances:
    """The result, which must not be `NotEnoughData`."""
    assert isinstance(result, Chances), result
    return result


def closed_form(control: Successes, candidate: Successes) -> float:
    """P(b > a) = sum_{i < c} B(a + i, b + d) / ((d + i) B(1 + i, d) B(a, b)) for Beta(a, b) and Beta(c, d).

    Miller, "Formulas for Bayesian A/B testing" (2015); for whole-number parameters.
    """
    a, b = 1 + control.successes, 1 + control.units - control.successes
    c, d = 1 + candidate.successes, 1 + candidate.units - candidate.successes
    i = np.arange(c)
    return float(np.exp(betaln(a + i, b + d) - np.log(d + i) - betaln(1 + i, d) - betaln(a, b)).sum())


COUNTS = st.integers(0, 400).flatmap(lambda n: st.integers(0, n).map(lambda s: Successes(n, s)))


@settings(derandomize=True, max_examples=40)
@given(COUNTS, COUNTS)
def test_chance_to_win_of_binary_rewards_is_exact(control, candidate):
    """Numerical integration against the finite sum, to nine digits."""
    assert ready(of_binary(control, candidate, 0.02)).chance_to_win == pytest.approx(
        closed_form(control, candidate), abs=1e-9
    )


def test_two_uniform_posteriors_have_known_values():
    """P = 1/2, E[(a - b)+] = 1/6, P(b > a - m) = 1 - (1 - m)^2 / 2."""
    got = ready(of_binary(Successes(0, 0), Successes(0, 0), margin=0.2))
    assert got.chance_to_win == pytest.approx(0.5, abs=1e-9)
    assert got.expected_loss == pytest.approx(1 / 6, abs=1e-9)
    assert got.chance_non_inferior == pytest.approx(1 - 0.8**2 / 2, abs=1e-9)


@pytest.mark.parametrize(
    ("control", "candidate"),
    [
        ((1_000_000, 648_000), (2, 1)),
        ((50, 40), (60, 51)),
        ((3, 3), (1_000_000, 999_000)),
        ((400, 8), (300, 2)),
    ],
)
def test_loss_and_non_inferiority_agree_with_monte_carlo(control, candidate):
    """Also where one posterior is a thousand times narrower than the other."""
    generator = np.random.default_rng(0)
    a, b = (generator.beta(1 + s, 1 + n - s, 400_000) for n, s in (control, candidate))
    got = ready(of_binary(Successes(*control), Successes(*candidate), margin=0.03))
    assert got.chance_to_win == pytest.approx((b > a).mean(), abs=0.004)
    assert got.chance_non_inferior == pytest.approx((b > a - 0.03).mean(), abs=0.004)
    assert got.expected_loss == pytest.approx(np.maximum(a - b, 0).mean(), abs=0.002)


@settings(derandomize=True, max_examples=40)
@given(COUNTS, COUNTS)
def test_fewer_is_better_mirrors_successes_and_failures(one, other):
    """Errors instead of successes: the same data, the same answers."""
    plain = ready(of_binary(one, other, 0.05))
    mirrored = ready(
        of_binary(
            Successes(one.units, one.units - one.successes),
            Successes(other.units, other.units - other.successes),
            0.05,
            higher_is_better=False,
        )
    )
    assert mirrored == plain


@settings(derandomize=True, max_examples=40)
@given(COUNTS, COUNTS, st.floats(0, 1))
def test_chances_are_probabilities_that_grow_with_the_margin(control, candidate, margin):
    """Whatever the counts: no NaN, nothing outside [0, 1], and swapped arms complement each other."""
    got, swapped = ready(of_binary(control, candidate, margin)), ready(of_binary(candidate, control, margin))
    assert 0 <= got.chance_to_win <= got.chance_non_inferior + 1e-9 <= 1 + 1e-9
    assert got.chance_to_win + swapped.chance_to_win == pytest.approx(1, abs=1e-9)
    assert 0 <= got.expected_loss <= 1


def test_a_normal_posterior_has_closed_forms():
    """d ~ N(.02, .01^2): P(d > 0) = Phi(2); the loss by simulation."""
    got = ready(of_effect(0.02, 0.01, margin=0.01))
    assert got.chance_to_win == pytest.approx(0.97724987, abs=1e-8)
    assert got.chance_non_inferior == pytest.approx(0.99865010, abs=1e-8)
    drawn = np.random.default_rng(0).normal(0.02, 0.01, 2_000_000)
    assert got.expected_loss == pytest.approx(np.maximum(-drawn, 0).mean(), rel=0.03)


def test_a_normal_posterior_of_a_cost_mirrors_that_of_a_reward():
    """A cheaper candidate has a negative effect and wins."""
    assert of_effect(-0.02, 0.01, 0.01, higher_is_better=False) == of_effect(0.02, 0.01, 0.01)


def test_binary_and_normal_read_outs_agree_on_large_counts():
    """Two routes to one answer."""
    exact = ready(of_binary(Successes(5000, 3000), Successes(5000, 3050), 0.01))
    error = (0.6 * 0.4 / 5000 + 0.61 * 0.39 / 5000) ** 0.5
    rough = ready(of_effect(0.01, error, 0.01))
    assert exact.chance_to_win == pytest.approx(rough.chance_to_win, abs=2e-3)
    assert exact.expected_loss == pytest.approx(rough.expected_loss, rel=0.02)


def test_unknown_variation_and_impossible_counts_are_not_enough_data():
    """The state is named; no NaN reaches the report."""
    for result in (
        of_effect(0.1, 0.0, 0.01),
        of_effect(float("nan"), 0.1, 0.01),
        of_binary(Successes(3, 5), Successes(3, 1), 0.01),
    ):
        assert isinstance(result, NotEnoughData)
        assert result.reason
    with pytest.raises(ValueError, match="margin"):
        of_effect(0.1, 0.1, -0.01)


@pytest.mark.parametrize("units", [0, 1, 10**6, 10**12])
def test_any_number_of_units_gives_finite_chances(units):
    """From no data to more than any experiment will have."""
    got = ready(of_binary(Successes(units, units // 2), Successes(units, units), 0.0))
    assert all(isfinite(value) for value in (got.chance_to_win, got.expected_loss, got.chance_non_inferior))
    assert got.chance_to_win >= 0.5 - 1e-12
