"""Volume: what was seen, and how many units carry the rarer outcome."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import ERROR, PRIMARY, CellRow, triangle
from experiments.evidence.volume import volume
from tests.experiments.looks import HOUR_MS, Arm, Trial, experiment


def of_units(definition, rewards, requests):
    """The volume of one closed epoch, arm 0 with these units."""
    sums = tuple(
        np.sum([triangle(n, r, 0.0, 0.0) for r, n in zip(rewards, requests, strict=True)], axis=0).tolist()
    )
    n = len(rewards)
    rows = [CellRow(1, 0, (n, n, n, 0, n, 0, 0), {PRIMARY: sums, ERROR: sums})]
    evidence = gather((Epoch(1, 1, 0, (1.0, 0.0), closed_at_ms=HOUR_MS),), rows, 2)
    return volume(definition, evidence, evidence, 2 * HOUR_MS)


@given(st.integers(1, 300), st.integers(0, 300))
def test_the_rarer_outcome_of_single_requests_is_a_plain_count(successes, failures):
    """The smaller of successes and failures, as the gate of the contract says."""
    seen = of_units(experiment(), [1.0] * successes + [0.0] * failures, [1] * (successes + failures))
    assert seen.rarer[0] == pytest.approx(min(successes, failures), abs=1e-9)


def test_one_user_with_twenty_failures_is_one_carrier():
    """Requests of a user are not independent."""
    seen = of_units(experiment(), [0.0] + [20.0] * 99, [20] * 100)
    assert seen.rarer[0] == pytest.approx(1.0)


@given(st.floats(-50, 50), st.floats(0.1, 100), st.integers(0, 2**32))
def test_carriers_do_not_depend_on_the_unit_of_the_reward(low, width, seed):
    """Stars from one to five count like shares from zero to one."""
    parts = np.random.default_rng(seed).beta(0.3, 3, 80)
    plain = of_units(experiment(reward={"kind": "score"}), parts, [1] * 80)
    fields = {"kind": "score", "range": (low, low + width)}
    scaled = of_units(
        experiment(
            reward=fields,
            objective={"kind": "reward", "reward_margin": width / 10},
            decision={"mde": width / 10},
        ),
        low + width * parts,
        [1] * 80,
    )
    assert scaled.rarer[0] == pytest.approx(plain.rarer[0], rel=1e-4)


def test_shares_of_served_and_costed_units_are_of_called_units():
    """Units that were never called say nothing about either."""
    trial = Trial(experiment()).epoch(Arm(500, 100, called=200, served=190, costed=150, rated=200), Arm(0, 0))
    seen = trial.look().volume
    assert seen.called == (200, 0)
    assert seen.served == (0.95, 1.0)
    assert seen.costed == (0.75, 1.0)


def test_the_pace_counts_every_assigned_unit_since_the_start():
    """Units of immature epochs too: they are traffic."""
    trial = Trial(experiment()).epochs_of(2, Arm(300, 200), Arm(300, 200))
    seen = trial.look(later_ms=0).volume
    assert (seen.assigned, seen.mature) == (1_200, 600)
    assert seen.units_per_day == pytest.approx(600 * 24)
