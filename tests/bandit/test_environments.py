"""Environments and streams: what is declared is what is drawn, and seeds repeat it."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from bandit.cells import Cells, Z
from bandit.simulation.environments import Delay, Environment, Shape, Users
from bandit.simulation.streams import draw, history, potential, spans

MANY = 200_000
EQUAL = np.array([0.5, 0.5])


def generator(seed: int = 1) -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(seed)


def test_rates_costs_and_feedback_are_those_declared():
    """Means within five standard errors, by arm; costs keep their mean however they vary."""
    world = Environment((0.7, 0.02), (0.03, 0.001), cost_variation=2.0, feedback=(0.9, 0.3))
    units = draw(world, np.array([0.4, 0.6]), MANY, generator())
    for arm, (share, rate, cost, heard) in enumerate(
        zip((0.4, 0.6), world.rates, world.costs_usd, world.feedback, strict=True)
    ):
        of = units.arm == arm
        n = of.sum()
        assert n / MANY == pytest.approx(share, abs=5 * 0.5 / np.sqrt(MANY))
        assert units.reward[of].mean() == pytest.approx(rate, abs=5 * 0.5 / np.sqrt(n))
        assert units.cost_usd[of].mean() == pytest.approx(cost, rel=5 * 2.0 / np.sqrt(n))
        assert units.cost_usd[of].std() / units.cost_usd[of].mean() == pytest.approx(2.0, rel=0.2)
        assert np.isfinite(units.arrives[of]).mean() == pytest.approx(heard, abs=5 * 0.5 / np.sqrt(n))


def test_shapes_move_the_arms_that_they_name_and_rates_stay_chances():
    """Common drift moves all arms, arm drift some; nothing leaves [0, 1]."""
    world = Environment(
        (0.7, 0.95),
        shapes=(
            Shape("sine", 0.1, cycles=2),
            Shape("step", -0.3, 0.25, 0.5, arms=(0,)),
            Shape("ramp", 0.2, 0.5),
        ),
    )
    time = np.array([0.0, 0.125, 0.25, 0.499, 0.5, 0.75, 1.0])
    rates = world.rates_at(time)
    np.testing.assert_allclose(
        rates[:, 0], [0.7, 0.8, 0.4, 0.4 + 0.1 * np.sin(4 * np.pi * 0.499), 0.7, 0.8, 0.9], atol=1e-9
    )
    assert rates.max() == 1.0
    np.testing.assert_allclose(
        rates[:, 1], np.clip(rates[:, 0] + 0.25 + 0.3 * ((time >= 0.25) & (time < 0.5)), 0, 1)
    )


def test_costs_move_in_proportion():
    """Longer prompts at night raise every arm by the same factor."""
    world = Environment((0.5, 0.5), (0.01, 0.1), cost_shapes=(Shape("step", 0.5, 0.5),))
    np.testing.assert_allclose(world.costs_at(np.array([0.2, 0.8])), [[0.01, 0.1], [0.015, 0.15]])


def test_a_seed_repeats_a_trial_and_another_one_does_not():
    """A figure that is reported must be reproducible."""
    world = Environment((0.5, 0.6), users=Users(2.0, 0.1))
    one, same, other = (draw(world, EQUAL, 500, generator(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.cost_usd, same.cost_usd)
    np.testing.assert_array_equal(one.arm, same.arm)
    assert (one.cost_usd != other.cost_usd).any()


def test_cells_are_the_sums_over_the_units():
    """Against the plain definition sum z z', with several requests per unit."""
    world = Environment((0.5, 0.6, 0.7), users=Users(2.5, 0.1))
    units = draw(world, np.array([0.2, 0.3, 0.5]), 300, generator())
    z = np.stack([np.ones(300), units.requests, units.reward, units.cost_usd, np.zeros(300)], axis=1)
    got = units.cells_by(np.inf, 3)
    for arm in range(3):
        of = z[units.arm == arm]
        np.testing.assert_allclose(got.sums[0, arm], of.T @ of, rtol=1e-12)
    np.testing.assert_array_equal(got.n[0], units.assigned(3))
    assert isinstance(got, Cells)


def test_silent_units_are_assigned_and_never_counted():
    """Feedback at 30% leaves 30% of the units in the cells, at any time."""
    world = Environment((0.5, 0.5), feedback=(1.0, 0.3))
    units = draw(world, EQUAL, 20_000, generator())
    cells, assigned = units.cells_by(1e9, 2), units.assigned(2)
    assert cells.n[0, 0] == assigned[0]
    assert cells.n[0, 1] / assigned[1] == pytest.approx(0.3, abs=0.02)


def test_delays_that_depend_on_the_outcome_make_early_rewards_look_worse():
    """Successes ten times as late as failures: what has arrived says .35 where the truth is .6."""
    world = Environment((0.6, 0.6), delays=(Delay(success=0.5, failure=0.05),))
    units = draw(world, EQUAL, MANY, generator(), end=0.1)
    early, late = units.cells_by(0.2, 2), units.cells_by(50.0, 2)
    assert (early.total(Z.TOTAL) / early.n).max() < 0.4
    np.testing.assert_allclose(late.total(Z.TOTAL) / late.n, 0.6, atol=0.01)
    waited = units.arrives - units.at
    assert waited[units.reward == 1].mean() == pytest.approx(0.5, rel=0.02)
    assert waited[units.reward == 0].mean() == pytest.approx(0.05, rel=0.02)


def test_the_last_delay_that_names_an_arm_counts():
    """One arm's answers may be judged later than the others'."""
    world = Environment((1.0, 1.0), delays=(Delay(0.1, 0.1), Delay(0.4, 0.4, arms=(1,))))
    np.testing.assert_allclose(world.delays_of(np.array([0, 1]), np.ones(2)), [0.1, 0.4])


def test_users_with_a_taste_vary_more_than_their_requests_would():
    """The variance of a unit's total is what an analysis per request misses, so that it finds effects that are none."""
    world = Environment((0.5, 0.5), users=Users(requests_mean=10.0, rate_sd=0.2))
    units = draw(world, EQUAL, 20_000, generator())
    residual = units.reward - 0.5 * units.requests
    of_requests = 0.25 * units.requests.sum()
    assert units.requests.mean() == pytest.approx(10, rel=0.02)
    assert (residual**2).sum() / of_requests > 2
    plain = draw(Environment((0.5, 0.5), users=Users(10.0)), EQUAL, 20_000, generator())
    residual = plain.reward - 0.5 * plain.requests
    assert (residual**2).sum() / (0.25 * plain.requests.sum()) == pytest.approx(1, abs=0.05)


def test_potential_outcomes_are_the_same_users_on_every_arm():
    """For trials in which the router assigns: requests and taste belong to the user, not to the arm."""
    world = Environment((0.2, 0.8), (0.01, 0.02), users=Users(3.0, 0.15), feedback=(1.0, 0.5))
    possible = potential(world, MANY, generator(), 0.2, 0.4)
    np.testing.assert_array_equal(possible.of_arm[0].requests, possible.of_arm[1].requests)
    arm = generator(2).integers(0, 2, MANY)
    units = possible.chosen(arm)
    for one in (0, 1):
        of = units.arm == one
        np.testing.assert_array_equal(units.reward[of], possible.of_arm[one].reward[of])
        assert units.reward[of].sum() / units.requests[of].sum() == pytest.approx(world.rates[one], abs=0.02)
    assert units.at.min() >= 0.2
    assert units.at.max() <= 0.4


def test_spans_fill_the_trial_and_make_one_history():
    """Shares of every epoch, time from 0 to 1; the history knows only what has arrived."""
    world = Environment((0.5, 0.5), shapes=(Shape("step", 0.4, 0.5),), delays=(Delay(0.2, 0.2),))
    shares = np.linspace(0.1, 0.9, 20)
    parts = list(spans(world, np.stack([1 - shares, shares], axis=1), 2000, generator()))
    assert parts[0].at[0] == pytest.approx(0.0, abs=1e-4)
    assert parts[-1].at[-1] == pytest.approx(1.0, abs=1e-4)
    whole = history(parts, np.inf, 2)
    np.testing.assert_allclose(whole.n[:, 1] / 2000, shares, atol=0.05)
    rates = whole.total(Z.TOTAL).sum(axis=1) / whole.n.sum(axis=1)
    np.testing.assert_allclose(rates[[0, -1]], [0.5, 0.9], atol=0.05)
    assert history(parts, 1.0, 2).n[-1].sum() < 0.3 * whole.n[-1].sum()
    assert history([], 1.0, 2).n.shape == (0, 2)


def test_a_specification_maps_onto_an_environment_field_by_field():
    """What a YAML file holds, read strictly: unknown kinds and arms are refused with their names."""
    adapter = TypeAdapter(Environment)
    raw = {
        "rates": [0.7, 0.6],
        "costs_usd": [0.03, 0.01],
        "shapes": [{"kind": "sine", "size": 0.1, "cycles": 3}, {"kind": "ramp", "size": -0.2, "arms": [1]}],
        "delays": [{"success": 0.1}],
        "users": {"requests_mean": 2.0},
    }
    world = adapter.validate_python(raw)
    assert world == Environment(
        (0.7, 0.6), (0.03, 0.01), shapes=(Shape("sine", 0.1, cycles=3), Shape("ramp", -0.2, arms=(1,))),
        delays=(Delay(0.1),), users=Users(2.0),
    )  # fmt: skip
    with pytest.raises(ValidationError, match="sine"):
        adapter.validate_python({**raw, "shapes": [{"kind": "saw", "size": 0.1}]})
    with pytest.raises(ValidationError, match="there are 0 to 1"):
        adapter.validate_python({**raw, "shapes": [{"kind": "step", "size": 0.1, "arms": [2]}]})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Environment(()), "rates"),
        (lambda: Environment((0.5, 1.2)), "chances"),
        (lambda: Environment((0.5, 0.5), (0.01,)), "costs_usd"),
        (lambda: Environment((0.5,), (float("nan"),)), "costs_usd"),
        (lambda: Environment((0.5, 0.5), feedback=(0.5, 2.0)), "feedback"),
        (lambda: Environment((0.5,), cost_variation=-1.0), "cost_variation"),
        (lambda: Shape("ramp", 0.1, 0.5, 0.5), "must rise"),
        (lambda: Shape("ramp", float("inf")), "finite"),
        (lambda: Delay(-1.0), "delays"),
        (lambda: Users(0.5), "requests_mean"),
        (lambda: draw(Environment((0.5,)), np.ones(1), 5, generator(), 0.5, 0.2), "must rise"),
    ],
)
def test_impossible_worlds_are_refused(make, words):
    """A chance of 120% would be cut silently and the figures would be of another world."""
    with pytest.raises(ValueError, match=words):
        make()


def test_arms_without_share_and_empty_spans_are_drawn_as_nothing():
    """Dropped arms, and an epoch that was closed at once."""
    world = Environment((0.5, 0.5, 0.5))
    units = draw(world, np.array([0.5, 0.5, 0.0]), 5000, generator())
    assert units.assigned(3)[2] == 0
    empty = draw(world, np.full(3, 1 / 3), 0, generator())
    assert len(empty) == 0
    assert empty.cells_by(1.0, 3).n.tolist() == [[0, 0, 0]]


def test_the_documented_specification_is_a_world():
    """The example of docs/environments.md, with every field that there is."""
    text = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")
    raw = YAML(typ="safe").load(text.split("```yaml\n")[1].split("```")[0])
    world = TypeAdapter(Environment).validate_python(raw)
    assert len(draw(world, np.full(3, 1 / 3), 100, generator())) == 100
    assert set(raw) == {each.name for each in fields(Environment)}
