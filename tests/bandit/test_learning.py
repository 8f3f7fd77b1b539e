"""Mode learn: half to the leader, half to its challengers, and every live arm keeps a floor."""

import numpy as np
import pytest
from scipy.stats import binom

from bandit.allocation import Allocation, allocate
from bandit.cells import Cells, Z
from bandit.learning import learn_shares, steadied
from bandit.objectives import Objective
from bandit.shares import top_two
from experiments.inference.effects import mean_differences
from experiments.inference.sequence import Sequence

TEN = np.array([0.60, 0.57, 0.55, 0.55, 0.50, 0.50, 0.45, 0.40, 0.35, 0.30])


def fill(cells: Cells, epoch: int, n: np.ndarray, successes: np.ndarray) -> None:
    """Counts of single-request units with binary rewards."""
    for i, j, value in (
        (Z.UNIT, Z.UNIT, n), (Z.UNIT, Z.REQUESTS, n), (Z.REQUESTS, Z.REQUESTS, n),
        (Z.UNIT, Z.TOTAL, successes), (Z.REQUESTS, Z.TOTAL, successes), (Z.TOTAL, Z.TOTAL, successes),
    ):  # fmt: skip
        cells.sums[epoch, :, i, j] = cells.sums[epoch, :, j, i] = value


def exact_cells(rates, units: int, epochs: int = 4) -> Cells:
    """Every arm exactly at its rate."""
    cells, n = Cells.empty(epochs, len(rates)), np.full(len(rates), units / epochs)
    for epoch in range(epochs):
        fill(cells, epoch, n, n * np.array(rates))
    return cells


def settings(arms: int, **changes: object) -> Allocation:
    """Plain reward at equal costs."""
    return Allocation(Objective("reward"), (0.01,) * arms, **changes)  # type: ignore[arg-type]  # fields by name


def test_the_leader_does_not_starve_its_challenger_however_sure_it_looks():
    """Thompson sampling would send everything to the leader and the deciding comparison would wait."""
    cells = exact_cells([0.6, 0.5, 0.4], 6000)
    assert allocate(cells, settings(3, phi=0.0), (1, 1))[0] > 0.999
    shares = learn_shares(cells, settings(3), (1, 1))
    np.testing.assert_allclose(shares, 0.4 / 3 + 0.6 * np.array([0.5, 0.5, 0.0]), atol=0.01)


def test_two_arms_always_share_equally():
    """With one challenger half and half is top-two, so learn is an A/B test there."""
    np.testing.assert_allclose(
        learn_shares(exact_cells([0.7, 0.2], 900), settings(2), (1, 1)), 0.5, atol=0.01
    )


def test_every_live_arm_keeps_four_tenths_over_k_and_dropped_arms_nothing():
    """The floor counts the arms that still run: it rises as others are ruled out."""
    cells = exact_cells(TEN, 5000)
    shares = learn_shares(cells, settings(10), (3, 1))
    assert shares.min() >= 0.04 - 1e-9
    assert shares.sum() == pytest.approx(1)
    fewer = learn_shares(cells, settings(10, dropped=(2, 3, 4, 5, 6, 7, 8)), (3, 1))
    assert (fewer[2:9] == 0).all()
    assert fewer[9] == pytest.approx(0.4 / 3, abs=1e-6), "far behind, it keeps the floor of three arms"
    assert learn_shares(cells, settings(10, dropped=tuple(range(1, 10))), (3, 1)).tolist() == [1] + [0] * 9


def test_dear_arms_keep_the_same_floor_as_cheap_ones():
    """In mode learn an arm is there to be compared; mode earn pays less for it."""
    cells = exact_cells([0.6, 0.6, 0.5], 900)
    costs = Allocation(Objective("reward"), (0.01, 0.01, 0.6))
    assert learn_shares(cells, costs, (1, 1)).min() >= 0.4 / 3 - 1e-9
    assert allocate(cells, costs, (1, 1)).min() < 0.01


def test_a_cap_beats_the_floor_and_holds_for_live_and_dropped_arms():
    """A new candidate at 1% must not be lifted by its floor of 20%."""
    shares = learn_shares(exact_cells([0.5, 0.9], 500), settings(2, caps=(1.0, 0.01)), (1, 1))
    np.testing.assert_allclose(shares, [0.99, 0.01])
    three = settings(3, caps=(1.0, 0.05, 1.0), dropped=(2,))
    np.testing.assert_allclose(
        learn_shares(exact_cells([0.5, 0.9, 0.9], 500), three, (1, 1)), [0.95, 0.05, 0]
    )


def test_the_same_seed_gives_the_same_shares_and_renamed_arms_give_renamed_shares():
    """Two planners must publish one vector, and no arm is favoured by its place."""
    rates, order = [0.5, 0.52, 0.54, 0.4], [2, 0, 3, 1]
    cells, plain = exact_cells(rates, 800), settings(4)
    first = learn_shares(cells, plain, (7, 5))
    np.testing.assert_array_equal(first, learn_shares(cells, plain, (7, 5)))
    np.testing.assert_allclose(learn_shares(cells.arms(*order), plain, (7, 5)), first[order], atol=0.03)


def test_negated_rewards_on_a_negated_range_are_lower_is_better():
    """Top-two must follow the best arm under either sign, not mirror the challengers."""
    cells = exact_cells([0.6, 0.5, 0.4], 600)
    mirrored = Cells(cells.sums.copy())
    mirrored.sums[..., Z.TOTAL, :] *= -1
    mirrored.sums[..., :, Z.TOTAL] *= -1
    worst = learn_shares(mirrored, Allocation(Objective("reward", low=-1.0, high=0.0), (0.01,) * 3), (1, 1))
    best = learn_shares(exact_cells([0.4, 0.5, 0.6], 600), settings(3), (1, 1))
    np.testing.assert_allclose(worst, best, atol=0.03)


def test_challengers_beyond_the_draws_are_ordered_by_how_likely_they_are_to_win():
    """All draws elect the leader; the next best arm, not an arm at random, gets the other half."""
    generator = np.random.default_rng(2)
    drawn = generator.normal([1.0, 0.8, 0.5], 0.02, (4096, 3))
    shares = top_two(steadied(drawn))
    np.testing.assert_allclose(shares, [0.5, 0.5, 0.0], atol=0.01)
    wide = generator.normal([1.0, 0.8, 0.5], [0.02, 0.02, 0.12], (4096, 3))
    assert steadied(wide)[2] > steadied(wide)[1], "the less known arm is the likelier winner"


def test_where_draws_speak_they_decide():
    """The normal approximation counts as eight draws of 4,096."""
    generator = np.random.default_rng(3)
    drawn = generator.normal([0.5, 0.49, 0.47], 0.02, (4096, 3))
    plain = np.bincount(drawn.argmax(axis=1), minlength=3) / 4096
    np.testing.assert_allclose(steadied(drawn), plain, atol=0.003)


@pytest.mark.parametrize("rates", [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
def test_ties_and_certain_outcomes_give_a_split(rates):
    """Identical outcomes have no winner; nothing is NaN and nobody is left out."""
    for units in (0, 4, 1e9):
        np.testing.assert_allclose(
            learn_shares(exact_cells(rates, units), settings(2), (1, 1)), [0.5, 0.5], atol=0.02
        )


@pytest.mark.parametrize("kind", ["reward_per_cost", "cheapest_non_inferior"])
def test_every_objective_has_its_challengers(kind):
    """Scores of minus infinity below the quality floor must not become NaN shares."""
    plan = Allocation(Objective(kind, reward_margin=0.05), (0.06, 0.02, 0.01))
    shares = learn_shares(exact_cells([0.7, 0.69, 0.3], 3000), plan, (1, 1))
    assert np.isfinite(shares).all()
    assert shares.argmax() == 1 or shares[1] == pytest.approx(shares.max(), abs=0.05)
    assert shares.min() >= 0.4 / 3 - 1e-9


def test_cells_and_prices_must_name_the_same_arms():
    """A shifted price list would move money to the wrong model."""
    with pytest.raises(ValueError, match="one cost per arm"):
        learn_shares(exact_cells([0.5, 0.5], 10), settings(3), (1, 1))


def decided(rates: np.ndarray, seed: int, epochs: int = 300, size: int = 200) -> tuple[int, int]:
    """Requests until one arm is left, and that arm; candidates go once their upper bound is below the leader."""
    generator, arms = np.random.default_rng(seed), rates.size
    cells, shares, dropped = Cells.empty(epochs, arms), np.full(arms, 1 / arms), ()
    sequence = Sequence(0.05 / (arms - 1), 0.03)
    for epoch in range(epochs):
        n = generator.multinomial(size, shares)
        fill(cells, epoch, n, generator.binomial(n, rates))
        now = cells[slice(0, epoch + 1)]
        live = [arm for arm in range(arms) if arm not in dropped]
        best = max(live, key=lambda arm: now.total(Z.TOTAL)[:, arm].sum() / now.n[:, arm].sum())
        rivals = [arm for arm in live if arm != best]
        effects = mean_differences(now, best, rivals)
        dropped += tuple(arm for arm, each in zip(rivals, effects, strict=True) if sequence.upper(each) < 0)
        if len(dropped) == arms - 1:
            return (epoch + 1) * size, best
        shares = learn_shares(now, settings(arms, dropped=dropped, draws=1024), (seed, epoch))
    return epochs * size, -1


@pytest.mark.statistical
def test_ten_arms_are_decided_in_about_twenty_thousand_requests():
    """Bar 5 in short, until one arm is left: thirty runs must not refute a median of 22,000 (exact binomial bound)."""
    ends = [decided(TEN, seed) for seed in range(30)]
    late = sum(requests > 22_000 for requests, _ in ends)
    assert binom.sf(late - 1, 30, 0.5) > 0.01
    assert sum(arm > 0 for _, arm in ends) <= 3
