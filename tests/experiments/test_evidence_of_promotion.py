"""E-values, leaders and guardrails where two things must hold at once, and one of them does not."""

from dataclasses import replace
from math import inf, log

import pytest

from experiments.definition.guardrail import Guardrail
from experiments.inference.sequence import Estimate
from experiments.verdict.comparison import Comparison, gain_level, level
from experiments.verdict.elimination import leader
from experiments.verdict.guards import GuardrailEffect
from tests.experiments.looks import Arm, Trial, experiment
from tests.experiments.test_cost_per_request import talks

CHEAPEST = {"kind": "cheapest_non_inferior"}


def compared(**fields: object) -> Comparison:
    """Some comparison, with other e-values."""
    (one,) = Trial(experiment()).epochs_of(5, Arm(400, 320), Arm(400, 320)).look().comparisons
    return replace(one, **fields)


@pytest.mark.parametrize(
    ("candidate", "grows"), [((2, 0.01), False), ((8, 0.006), False), ((4, 0.006), True)]
)
def test_an_e_value_of_a_saving_needs_it_per_unit_and_per_request(
    candidate: tuple[int, float], grows: bool
) -> None:
    """Half the talk at the same price per answer is no saving, and e-BH must not take it for one."""
    (one,) = talks((4, 0.01), candidate, objective=CHEAPEST).look().comparisons
    assert (one.log_e_cheaper > log(20)) is grows
    assert (one.log_e_deciding > log(20)) is grows


def test_of_two_ways_to_gain_the_mean_of_their_e_values_counts() -> None:
    """The sum, or the larger of the two, would have a mean of up to two where nothing is gained."""
    one = compared(
        log_e_not_worse=50.0, log_e_superior=log(30.0), log_e_cheaper=log(10.0), by_saving_only=False
    )
    assert one.log_e_deciding == pytest.approx(log(20.0))
    assert replace(one, by_saving_only=True).log_e_deciding == pytest.approx(log(10.0))


def test_of_two_ways_to_gain_the_smaller_p_counts_twice() -> None:
    """Two chances at the whole level promote up to 7% of candidates that are neither better nor cheaper enough."""
    one = compared(p_not_worse=0.001, p_superior=0.3, p_cheaper=0.02, by_saving_only=False)
    assert one.p_deciding == pytest.approx(0.04)
    assert replace(one, p_superior=0.01).p_deciding == pytest.approx(0.02)
    assert replace(one, by_saving_only=True).p_deciding == pytest.approx(0.02)
    assert replace(one, p_superior=0.9, p_cheaper=0.8).p_deciding == 1.0


@pytest.mark.parametrize(
    "kind", ["reward", "reward_per_cost", "net_value", "budget", "cheapest_non_inferior"]
)
def test_each_way_to_gain_has_its_part_of_the_level(kind: str) -> None:
    """Together they make up the candidate's level, whatever the objective."""
    money = {"net_value": {"value_usd": 1.0}, "budget": {"budget_usd": 0.01}}
    definition = experiment("dear", "cheap", "mini", objective={"kind": kind, **money.get(kind, {})})
    ways = 1 if kind == "cheapest_non_inferior" else 2
    assert ways * gain_level(definition) == pytest.approx(level(definition)) == pytest.approx(0.025)


@pytest.mark.parametrize(("successes", "state"), [(334, "open"), (335, "holds")])
def test_a_gain_is_shown_where_twice_its_p_is_below_the_level(successes: int, state: str) -> None:
    """The rule and the printed p are one test; at the same cost nothing but the reward can gain."""
    definition = experiment(objective={"kind": "reward", "reward_margin": 0.05})
    look = Trial(definition).epochs_of(5, Arm(400, 320, 0.01), Arm(400, successes, 0.01)).look()
    (one,) = look.candidacies
    assert (2 * one.comparison.p_superior <= 0.05) is (state == "holds")
    assert one.comparison.p_superior < 0.05
    assert {rule.name: rule.state for rule in one.rules}["gain"] == state


def test_nobody_is_promoted_on_a_gain_without_being_not_worse() -> None:
    """Of two hypotheses that must both be refuted the weaker evidence counts."""
    one = compared(log_e_not_worse=log(3.0), log_e_superior=40.0, log_e_cheaper=40.0)
    assert one.log_e_deciding == pytest.approx(log(3.0))
    assert replace(one, p_not_worse=0.2, p_superior=0.01, p_cheaper=0.7).p_deciding == 0.2


def test_a_candidate_that_cannot_gain_enough_any_more_leads_nobody() -> None:
    """A little better on the reward and shown not to be better by the mde: it would keep the better one waiting."""
    definition = experiment("dear", "cheap", "mini", objective={"kind": "reward"}, decision={"mde": 0.02})
    dear, futile, open_still = Arm(9_000, 7_200), Arm(9_000, 7_215), Arm(300, 240)
    candidacies = Trial(definition).epochs_of(10, dear, futile, open_still).look().candidacies
    by_name = {one.comparison.candidate: one for one in candidacies}
    assert by_name["cheap"].futile
    assert not by_name["mini"].futile
    assert (
        by_name["cheap"].comparison.reward.estimate.value > by_name["mini"].comparison.reward.estimate.value
    )
    assert leader(definition, candidacies) is by_name["mini"]


def test_a_guardrail_that_younger_epochs_show_broken_is_not_kept() -> None:
    """Mature epochs were fine, the calls of this morning are not: no promotion on the strength of last week."""
    rule = Guardrail(metric="error", max_increase=0.01)
    known = Estimate(0.0, 1e6)
    kept = GuardrailEffect(rule, known, -0.002, 0.002, 1.0, upper=0.002, lower=-0.002)
    assert kept.kept
    assert not kept.harmed
    broken = replace(kept, lower=0.012)
    assert broken.harmed
    assert not broken.kept
    assert not replace(kept, upper=inf).kept


def test_a_full_rate_of_feedback_from_few_units_proves_little() -> None:
    """At the bound the few of the candidate would vary, not the many of the control: their number counts."""
    watched = experiment(guardrails=[{"metric": "feedback_rate", "max_decrease": 0.05}])
    trial = Trial(watched).epochs_of(1, Arm(4_000, 3_000), Arm(100, 75))
    (found,) = trial.look().comparisons[0].guardrails
    assert found.estimate.value == pytest.approx(0)
    assert found.estimate.information == pytest.approx(100 / (0.05 * 0.95), rel=0.02)
    assert not found.kept


def test_full_praise_from_few_units_proves_little() -> None:
    """A metric that may not fall is judged with the variance of a candidate that fell, not of one that rose."""
    watched = experiment(guardrails=[{"metric": "thumbs", "max_decrease": 0.05, "range": (0, 1)}])
    many, few = (
        Arm(4_000, 3_000, reported={"thumbs": (4_000, 4_000)}),
        Arm(100, 75, reported={"thumbs": (100, 100)}),
    )
    (found,) = Trial(watched).epochs_of(1, many, few).look().comparisons[0].guardrails
    assert found.estimate.information == pytest.approx(100 / (0.05 * 0.95), rel=0.02)
    assert not found.kept


def test_units_recreated_from_feedback_do_not_bend_the_split_of_calls() -> None:
    """They are known by their outcome: a process that died with the candidate's queue is no broken split."""
    plain, recreated = Arm(500, 400), Arm(500, 400, called=600, recovered=100)
    health = Trial(experiment()).epochs_of(8, plain, recreated).look().health
    assert health.called.classical.observed == (4_000, 4_000)
    assert not health.called.alarm
    assert health.recovered == (0, 800)
