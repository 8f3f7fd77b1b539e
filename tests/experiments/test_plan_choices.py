"""Plans under every objective, read-out and mode, and at the edges of what may be declared."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.definition.duration import days_in_words
from experiments.definition.experiment import Experiment
from experiments.planning.days import Plan, at_traffic
from experiments.planning.expectations import expectations
from experiments.planning.power import MOST_UNITS, plan
from tests.experiments.looks import experiment

OBJECTIVES = {
    "reward": {"kind": "reward"},
    "reward_per_cost": {"kind": "reward_per_cost"},
    "cheapest_non_inferior": {"kind": "cheapest_non_inferior"},
    "net_value": {"kind": "net_value", "value_usd": 0.01},
    "budget": {"kind": "budget", "budget_usd": 0.002},
}


def planned(definition: Experiment, costs: tuple[float, ...] | None = None, **changes: object) -> Plan:
    """The plan before the start."""
    return plan(definition, replace(expectations(definition, None, costs), **changes))  # type: ignore[arg-type]  # fields by name


def rules(found: Plan) -> dict[str, int]:
    """Units by rule."""
    return {each.rule: each.units for each in found.rules}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_has_a_plan(kind: str) -> None:
    """Nobody starts an experiment without an answer to "how long"."""
    found = planned(experiment(objective=OBJECTIVES[kind]))
    assert found.sentence.startswith("About ")
    expected = {"not_worse", "gain"} | ({"budget"} if kind == "budget" else set())
    assert set(rules(found)) == expected
    assert all(units > 0 for units in rules(found).values())


def test_a_gain_is_a_better_reward_or_a_saving_as_the_objective_says() -> None:
    """With net value the saving alone is what a plan can count on; with a budget the reward must rise.

    Where only a saving counts it has the whole level, and takes fewer units.
    """
    gains = {kind: rules(planned(experiment(objective=body)))["gain"] for kind, body in OBJECTIVES.items()}
    assert gains["budget"] == gains["reward"]
    assert gains["net_value"] == gains["reward_per_cost"] > gains["cheapest_non_inferior"]


def test_a_budget_asks_for_units_of_the_candidate_only() -> None:
    """Its own mean cost is tested; the control's share does not help."""
    definition = experiment(objective=OBJECTIVES["budget"])
    found = rules(planned(definition, cost_variation=3.0))["budget"]
    assert found == pytest.approx(9 * rules(planned(definition, cost_variation=1.0))["budget"], rel=0.01)


def test_exact_tests_take_a_fifth_more_and_wait_for_no_rare_outcome() -> None:
    """That is the trade: rare failures may be judged, at a price where they are not rare."""
    plain, strict = (
        experiment(decision={"read_out": read_out}, objective=OBJECTIVES["reward"])
        for read_out in ("anytime", "strict")
    )
    assert rules(planned(strict))["not_worse"] == pytest.approx(
        1.2 * rules(planned(plain))["not_worse"], rel=1e-3
    )
    rare = {"rarer_rate": 1e-4, "reward_variance": 1e-4}
    assert planned(plain, **rare).modes[0].units_mean >= 20 / 1e-4
    assert planned(strict, **rare).modes[0].units_mean < 0.2 * planned(plain, **rare).modes[0].units_mean


def test_the_floor_is_priced_in_days() -> None:
    """A small floor serves well and decides late; both are said."""
    definition = experiment(mode="earn")
    unknown = planned(definition, costs=(0.01, 0.05))
    assert "units more than with equal shares" in str(unknown.floor_sentence)
    dated = at_traffic(unknown, definition, 10_000.0)
    earn = dated.chosen
    assert earn.days_at_floor is not None
    assert f"{days_in_words(earn.days_at_floor)} on average" in str(dated.floor_sentence)
    assert earn.days_at_floor == pytest.approx(earn.units_at_floor / 10_000 + 600 / 86_400)  # type: ignore[operator]  # known here
    assert planned(experiment(mode="ab")).floor_sentence is None


def test_a_ramp_is_planned_at_its_last_step() -> None:
    """That is where a holdback stays."""
    ramped = experiment(mode="ab", ramp=[0.5, 0.25, 0.05])
    given_shares = experiment(mode="ab", shares=[0.05, 0.95])
    assert planned(ramped).modes[0] == planned(given_shares).modes[0]


@given(units_per_day=st.floats(1e-6, 1e12), traffic=st.floats(0.001, 1.0))
def test_days_follow_from_units_alone(units_per_day: float, traffic: float) -> None:
    """A stored plan, dated later, says what a plan made at that traffic says."""
    definition = experiment(traffic=traffic)
    expected = expectations(definition)
    assert at_traffic(plan(definition, expected), definition, units_per_day) == plan(
        definition, expected, units_per_day
    )


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize(
    "extreme",
    [
        {"reward_variance": 1e-9, "rarer_rate": 1e-9},
        {"feedback_share": 1e-3},
        {"cost_variation": 1e6},
        {"cost_variation": 0.0},
        {"saving": 1.0},
        {"saving": -1e6},
        {"saving": 0.1},
        {"error_rate": 1.0},
        {"error_rate": 0.0},
        {"information": 1e-12, "units": 10**9},
    ],
)
def test_extreme_expectations_give_a_finite_plan(kind: str, extreme: dict[str, float]) -> None:
    """The plan is part of every report; what cannot be reached is a large number and no exception."""
    definition = experiment(
        objective=OBJECTIVES[kind],
        guardrails=[{"metric": "error", "max_increase": 1e-6}],
        decision={"alpha": 1e-6},
    )
    found = at_traffic(planned(definition, **extreme), definition, 1.0)
    assert found.answer == "not_enough_traffic"
    for mode in found.modes:
        assert 0 < mode.units_mean <= mode.units_likely <= MOST_UNITS


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf"), 2e12])
def test_impossible_traffic_is_refused_with_its_bounds(wrong: float) -> None:
    """Zero units a day is not a plan."""
    definition = experiment()
    with pytest.raises(ValueError, match="must be above 0 and at most"):
        at_traffic(planned(definition), definition, wrong)
