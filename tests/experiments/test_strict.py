"""The strict read-out: exact tests decide of the reward, from the declaration to the report."""

import numpy as np
import pytest
from pydantic import ValidationError

from bandit.cells import Cells
from experiments.inference.exact import Blocks, any_difference, not_worse
from experiments.inference.exact_interval import exact_interval
from experiments.inference.not_enough import NotEnoughData
from experiments.verdict.comparison import deciding_e_value
from experiments.verdict.strict import exact_difference, exact_range, exact_reward, exact_superiority
from experiments.verdict.verdict import Kind
from tests.experiments.looks import Arm, Trial, experiment

STRICT = {"read_out": "strict", "mde": 0.02}
RARE = {"objective": {"kind": "cheapest_non_inferior", "reward_margin": 0.02}, "decision": STRICT}
REWARD = {"objective": {"kind": "reward", "reward_margin": 0.02}, "decision": STRICT}


def trial(*arms, times, **fields):
    names = ("dear", "cheap", "mini")[: len(arms)]
    return Trial(experiment(*names, **fields)).epochs_of(times, *arms)


def draws(rates, epochs, seed, size=100):
    """Counts of successes of both arms in each epoch."""
    return np.random.default_rng(seed).binomial(size, np.broadcast_to(rates, (epochs, len(rates)))).tolist()


def test_rare_successes_are_judged_without_waiting_for_twenty_of_them():
    """Two successes in 4,000 units of each arm: the confidence sequences say nothing, the exact test promotes."""
    for read_out, kind in (("strict", Kind.PROMOTE), ("anytime", Kind.KEEP_RUNNING)):
        fields = {**RARE, "decision": {**STRICT, "read_out": read_out}}
        one = trial(Arm(100, 0, 0.01), Arm(100, 0, 0.005), times=38, **fields)
        one.epoch(Arm(100, 1, 0.01), Arm(100, 1, 0.005)).epoch(Arm(100, 1, 0.01), Arm(100, 1, 0.005))
        seen = one.look()
        assert seen.verdict.kind is kind
        states = {rule.name: rule.state for rule in seen.candidacies[0].rules}
        assert states["data"] == ("holds" if read_out == "strict" else "open")


def test_the_verdict_says_what_the_exact_test_ruled_out():
    """A bound of the confidence sequence beside an exact decision would be a figure that decided nothing."""
    seen = trial(Arm(100, 1, 0.01), Arm(100, 1, 0.005), times=40, **RARE).look()
    rule = seen.candidacies[0].rule("not_worse")
    assert rule is not None
    assert rule.state == "holds"
    assert "the exact test rules out a loss of 0.02 of reward or more (p " in rule.sentence
    assert "the exact test rules out a loss of 0.02 or more (p " in seen.verdict.sentence


def test_the_rules_follow_the_e_processes_of_the_same_blocks():
    """Known answer: the tests of experiments.inference.exact on the counts, at the level of the experiment."""
    counts = draws((0.03, 0.06), 50, 1)
    one = Trial(experiment(**REWARD))
    for a, b in counts:
        one.epoch(Arm(100, a), Arm(100, b))
    exact = one.look().comparisons[0].exact
    assert exact is not None
    blocks = Blocks(np.full((50, 2), 100.0), np.array(counts, dtype=float))
    turned = blocks.reversed()
    for found, process in (
        (exact.not_worse, not_worse(blocks, 0.02)),
        (exact.worse, not_worse(turned, -0.02)),
        (exact.better, not_worse(blocks, 0.0, 0.02)),
        (exact.short, not_worse(turned, 0.02)),
    ):
        assert found.p == pytest.approx(process.p_values[-1])
        assert found.log_e == pytest.approx(float(process.latest))


def test_a_loss_that_the_exact_test_shows_drops_the_candidate():
    """Harm acts by itself; here on 5 of the rarer outcomes, long before twenty."""
    one = trial(Arm(100, 100), Arm(100, 100), times=1, **REWARD)
    seen = one.look()
    while not seen.dropped and len(one.epochs) < 12:
        seen = one.epoch(Arm(100, 99), Arm(100, 80)).look()
    assert len(one.epochs) < 6
    assert "rule not_worse: the exact test shows a loss of more than 0.02" in seen.dropped[1]


def test_a_gain_in_reward_is_shown_exactly():
    """With objective reward the superiority test is exact too."""
    one = trial(Arm(100, 2), Arm(100, 8), times=30, **REWARD)
    seen = one.look()
    gain = seen.candidacies[0].rule("gain")
    assert gain is not None
    assert gain.state == "holds"
    assert seen.verdict.kind is Kind.PROMOTE


def test_a_gain_that_is_too_small_is_shown_exactly():
    """Futility, too, rests on the exact test: a gain of .02 is ruled out, and costs are not known."""
    one = trial(Arm(200, 3, costed=0), Arm(200, 3, costed=0), times=80, **REWARD)
    gain = one.look().candidacies[0].rule("gain")
    assert gain is not None
    assert gain.state == "fails"


def test_the_leader_eliminates_its_rivals_by_the_exact_test():
    """Against the leader, not only against the control."""
    seen = trial(Arm(100, 2), Arm(100, 16), Arm(100, 3), times=30, **REWARD).look()
    assert seen.dropped == {2: "cheap is better on reward, by the exact test"}


def test_an_absolute_minimum_still_waits_for_twenty_rare_outcomes():
    """It is a confidence sequence of one arm's mean; there is no exact test of it."""
    fields = {**RARE, "objective": {**RARE["objective"], "min_reward": 0.001}}
    few = trial(Arm(100, 0, 0.01), Arm(100, 0, 0.005), times=30, **fields).epoch(
        Arm(100, 9, 0.01), Arm(100, 9, 0.005)
    )
    rule = few.look().candidacies[0].rule("min_reward")
    assert rule is not None
    assert rule.state == "open"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"unit": "conversation", "decision": {"read_out": "strict"}},
            "needs unit: request, unit is conversation",
        ),
        ({"decision": {"read_out": "strict", "adjust": "covariate"}}, "choose one"),
    ],
)
def test_what_exact_tests_cannot_read_is_refused(fields, words):
    """The exact test reads one reward per unit, as it was given."""
    with pytest.raises(ValidationError, match=words):
        experiment(**fields)


def test_scores_are_scaled_to_their_range():
    """A score of 1 to 5 with a margin of .2 is a rate with a margin of .05."""
    counts = np.array(draws((0.5, 0.5), 40, 2), dtype=float)
    sums = np.zeros((40, 2, 5, 5))
    sums[..., 0, 0] = sums[..., 0, 1] = sums[..., 1, 0] = sums[..., 1, 1] = 100.0
    sums[..., 0, 2] = sums[..., 2, 0] = sums[..., 1, 2] = sums[..., 2, 1] = 100 + 4 * counts
    sums[..., 2, 2] = 100 + 24 * counts
    scored = experiment(
        reward={"kind": "score", "range": [1.0, 5.0]}, objective={"kind": "reward", "reward_margin": 0.2},
        decision={"read_out": "strict", "mde": 0.2},
    )  # fmt: skip
    blocks = Blocks(np.full((40, 2), 100.0), counts)
    cells = Cells(sums)
    assert exact_reward(scored, cells, 1).not_worse.p == pytest.approx(not_worse(blocks, 0.05).p_values[-1])
    found, known = exact_range(scored, cells, 1, 0.05), exact_interval(blocks, 0.05, 0.05)
    assert not isinstance(found, NotEnoughData)
    assert (found.low, found.high) == pytest.approx((4 * known.low, 4 * known.high))
    difference = exact_difference(scored, cells, 1)
    assert not isinstance(difference, NotEnoughData)
    assert difference.p == pytest.approx(any_difference(blocks, 0.05).p_values[-1])


def test_the_smallest_p_is_remembered_under_names_of_its_own_and_outlives_new_prices():
    """Rewards have no price; what was shown of them stays shown."""
    one = trial(Arm(100, 1, 0.01), Arm(100, 9, 0.005), times=30, **RARE)
    before = one.look().progress.smallest_p["cheap"]
    assert before["exact"] < 0.01
    assert before["exact_not_worse"] < 0.01
    one.price_version = "v2"
    after = one.look().progress.smallest_p["cheap"]
    assert {name: after[name] for name in ("exact", "exact_not_worse")} == {
        name: before[name] for name in ("exact", "exact_not_worse")
    }
    assert "cost" not in after


def test_the_report_shows_the_exact_interval_as_the_deciding_one():
    """And the confidence sequence beside it, where it can be read and decides nothing."""
    one = trial(Arm(100, 5, 0.01), Arm(100, 6, 0.005), times=30, **RARE)
    cheap = one.report(one.look()).candidates[1]
    assert cheap.reward_effect is not None
    assert cheap.other is not None
    exact = cheap.other.exact
    assert exact.decides
    assert (cheap.reward_effect.low, cheap.reward_effect.high, cheap.reward_effect.p) == (
        exact.low,
        exact.high,
        exact.p,
    )
    assert cheap.other.anytime is not None
    assert cheap.other.anytime.low is not None
    assert cheap.other.anytime.low != exact.low


@pytest.mark.parametrize(("units", "successes"), [(0, 0), (1, 1), (100, 0), (100, 100), (10**9, 5 * 10**8)])
def test_extreme_counts_have_an_answer(units, successes):
    """No data, one unit, all or nothing, a billion: a verdict and a report, never an exception."""
    one = trial(Arm(units, successes), Arm(units, successes), times=3, **REWARD)
    report = one.report(one.look())
    other = report.candidates[1].other
    assert other is not None
    assert other.exact.low is not None
    assert other.exact.high is not None
    assert -1 <= other.exact.low <= 0 <= other.exact.high <= 1


def test_a_candidate_without_data_shows_nothing():
    """Every p is one and every e-value is one."""
    one = trial(Arm(100, 50), Arm(0, 0), times=5, **REWARD)
    seen = one.look()
    assert seen.comparisons[0].p_deciding == 1.0
    assert deciding_e_value(seen.comparisons) == pytest.approx(1.0)


def test_a_look_at_the_same_epochs_again_computes_nothing_anew():
    """The planner looks each second, epochs mature each few minutes."""
    one = trial(Arm(100, 5), Arm(100, 6), times=20, **REWARD)
    evidence = one.evidence()
    mature = evidence.mature(one.definition, one.now_ms + 2_000_000).metric("reward")
    assert exact_reward(one.definition, mature, 1) is exact_reward(one.definition, mature, 1)
    assert exact_superiority(one.definition, mature, 1, 0) == exact_reward(one.definition, mature, 1).better


@pytest.mark.statistical
@pytest.mark.parametrize("rates", [(0.02, 0.0), (0.5, 0.48), (0.98, 0.96)])
def test_a_candidate_at_the_margin_passes_in_at_most_five_percent(rates):
    """p is the smallest over all looks, so the last look stands for one at every epoch; 400 runs, bar 32."""
    wrong = 0
    for seed in range(400):
        one = Trial(experiment(**RARE))
        for a, b in draws(rates, 25, seed):
            one.epoch(Arm(100, a, 0.01), Arm(100, b, 0.005))
        rule = one.look().candidacies[0].rule("not_worse")
        wrong += rule is not None and rule.state == "holds"
    assert wrong < 32
