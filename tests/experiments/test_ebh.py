"""e-BH: its definition, its laws, and the false discovery rate under dependence."""

from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.inference.ebh import discoveries

FEW = settings(derandomize=True, max_examples=150)
LOG_E = st.lists(st.floats(-20, 20), max_size=12)
ALPHA = st.sampled_from([0.01, 0.05, 0.2])


def by_definition(log_e, alpha):
    """The largest self-consistent set, by trying every size."""
    size = len(log_e)
    for k in range(size, 0, -1):
        kth = sorted(log_e, reverse=True)[k - 1]
        if k * np.exp(kth) / size >= 1 / alpha:
            return tuple(value >= kth for value in log_e)
    return (False,) * size


@FEW
@given(LOG_E, ALPHA)
def test_the_discoveries_are_those_of_the_definition(log_e, alpha):
    """Against the words of the paper, tried size by size."""
    assert discoveries(log_e, alpha).found == by_definition(log_e, alpha)


@FEW
@given(LOG_E, ALPHA)
def test_every_discovery_reached_the_threshold_and_nothing_else_did(log_e, alpha):
    """Self-consistency is what the proof of the false discovery rate rests on."""
    got = discoveries(log_e, alpha)
    if got.count:
        assert got.log_threshold == pytest.approx(log(len(log_e) / (alpha * got.count)))
    for value, found in zip(log_e, got.found, strict=True):
        assert found == (value >= got.log_threshold - 1e-12)


@FEW
@given(LOG_E, ALPHA, st.data())
def test_more_evidence_anywhere_never_loses_a_discovery(log_e, alpha, data):
    """An experiment that looks better must not make another one, or itself, look worse."""
    if not log_e:
        return
    better = list(log_e)
    better[data.draw(st.integers(0, len(log_e) - 1))] += data.draw(st.floats(0, 10))
    before, after = discoveries(log_e, alpha).found, discoveries(better, alpha).found
    assert all(later or not earlier for earlier, later in zip(before, after, strict=True))


@FEW
@given(LOG_E, ALPHA, st.randoms(use_true_random=False))
def test_the_order_of_the_experiments_does_not_matter(log_e, alpha, shuffler):
    """Names and dates of start are no evidence."""
    order = list(range(len(log_e)))
    shuffler.shuffle(order)
    found = discoveries(log_e, alpha).found
    assert discoveries([log_e[i] for i in order], alpha).found == tuple(found[i] for i in order)


@FEW
@given(LOG_E, ALPHA)
def test_e_bh_finds_all_that_bonferroni_finds(log_e, alpha):
    """An e-value of K / alpha suffices by itself."""
    alone = [value >= log(len(log_e) / alpha) for value in log_e]
    assert all(found or not sure for found, sure in zip(discoveries(log_e, alpha).found, alone, strict=True))


def test_an_experiment_without_data_counts_in_the_number_of_experiments():
    """Leaving out the silent ones would let anybody buy discoveries by starting fewer experiments afterwards."""
    assert discoveries([log(30)], 0.05).count == 1
    assert discoveries([log(30), 0.0], 0.05).count == 0


@pytest.mark.parametrize(("log_e", "count"), [([], 0), ([inf, -inf], 1), ([5000.0, 5000.0], 2)])
def test_extreme_e_values_have_their_plain_meaning(log_e, count):
    """Certain, impossible, and beyond what a float holds."""
    assert discoveries(log_e).count == count


def test_impossible_inputs_are_refused():
    """NaN compares as false everywhere and would silently count as no evidence."""
    with pytest.raises(ValueError, match="NaN"):
        discoveries([0.0, float("nan")])
    with pytest.raises(ValueError, match="alpha"):
        discoveries([0.0], 1.0)


@pytest.mark.statistical
def test_the_false_discovery_rate_holds_under_strong_dependence():
    """20 experiments on the same users, 15 of them null: e-values exp(z - 1/2) share one common shock."""
    generator, rates = np.random.default_rng(21), []
    null = np.arange(20) >= 5
    for _ in range(2000):
        z = 3 * (0.9 * generator.standard_normal() + np.sqrt(1 - 0.81) * generator.standard_normal(20))
        log_e = z + 9 * ~null - 4.5
        found = np.array(discoveries(log_e.tolist(), 0.05).found)
        rates.append((found & null).sum() / max(found.sum(), 1))
    assert np.mean(rates) <= 0.05
    assert found.size == 20
