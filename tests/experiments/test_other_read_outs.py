"""Other read-outs of the report: what stands beside the deciding one, from cells to sentences."""

import numpy as np
import pytest

from experiments.evidence.units import PRIMARY, CellRow
from experiments.inference.cuped import adjusted
from experiments.inference.ebh import discoveries
from experiments.inference.effects import differences
from experiments.inference.equivalence import corrected
from experiments.inference.sequence import Estimate, Sequence
from experiments.planning.power import detectable
from experiments.report.discovery import discovery
from experiments.report.render import Subject, render
from experiments.verdict.comparison import deciding_e_value
from tests.experiments.looks import START_MS, WINDOW_MS, Arm, Trial, experiment
from tests.experiments.scored_units import scored

DEAR, CHEAP, MINI = Arm(500, 400, 0.010), Arm(500, 390, 0.005), Arm(500, 385, 0.002)


def reported(trial):
    return trial.report(trial.look())


def other_of(report, arm=1):
    other = report.candidates[arm].other
    assert other is not None
    return other


def test_the_control_has_no_other_read_outs():
    """It is the yardstick."""
    report = reported(Trial(experiment()).epochs_of(5, DEAR, CHEAP))
    assert report.candidates[0].other is None
    assert report.candidates[1].other is not None


def test_the_p_of_the_promotion_rule_is_the_smallest_so_far_and_its_e_value_that_of_now():
    """A setback takes the e-value back and the p not; the inverse of p would be no e-value."""
    trial = Trial(experiment()).epochs_of(6, DEAR, Arm(500, 420, 0.005))
    first = other_of(reported(trial))
    trial.epochs_of(6, DEAR, Arm(500, 340, 0.005))
    second = other_of(reported(trial))
    assert second.promotion_p == first.promotion_p < 0.01
    assert second.promotion_e_value < 1 < 1 / first.promotion_p * 0.9 < first.promotion_e_value


def test_the_e_value_of_the_rule_is_the_smallest_of_its_parts_and_the_mean_of_its_ways():
    """Not worse, and superior or cheaper: from the one-sided mixtures of each."""
    trial = Trial(experiment()).epochs_of(6, DEAR, CHEAP)
    seen = trial.look()
    one = seen.comparisons[0]
    alpha = 0.05
    not_worse = Sequence(alpha, 0.05).log_e_one_sided(one.reward.estimate.minus(-0.05))
    superior = Sequence(alpha, np.log(1.1)).log_e_one_sided(one.reward_per_cost.estimate)
    cheaper = Sequence(alpha, np.log(1.1)).log_e_one_sided(one.cost.estimate.minus(np.log(0.9)).reversed())
    gain = np.logaddexp(superior, cheaper) - np.log(2)
    assert one.log_e_deciding == pytest.approx(min(not_worse, gain), rel=1e-9)
    assert seen.progress.e_value == pytest.approx(np.exp(min(not_worse, gain)), rel=1e-9)


def test_one_sided_e_values_bound_the_one_sided_p():
    """The mixture is at least what its p inverts; and it is below one where the data point the other way."""
    sequence = Sequence(0.05, 0.05)
    for value, information in (
        (0.05, 2_000),
        (0.02, 9_000),
        (0.3, 1e5),
        (-0.1, 4_000),
        (-3.0, 1e9),
        (0.0, 50),
    ):
        estimate = Estimate(value, information)
        log_e = sequence.log_e_one_sided(estimate)
        assert np.isfinite(log_e)
        if value > 0:
            assert log_e >= -np.log(sequence.p_value_one_sided(estimate)) - 1e-9
        else:
            assert log_e < 0
    assert sequence.log_e_one_sided(Estimate(0.0, 0.0)) == 0


@pytest.mark.statistical
def test_one_sided_e_values_have_a_mean_of_at_most_one_under_the_null():
    """At the boundary, after any number of units; the mean of 40,000 draws, three standard errors of slack."""
    sequence, random = Sequence(0.05, 0.05), np.random.default_rng(1)
    for information in (50.0, 3_200.0, 1e5):
        values = random.normal(0, 1 / np.sqrt(information), 40_000)
        e = np.exp([sequence.log_e_one_sided(Estimate(value, information)) for value in values])
        assert e.mean() <= 1 + 3 * e.std() / 200


def test_what_is_detectable_now_shrinks_with_the_information():
    """The plan's own formula at the information of this candidate."""
    trial = Trial(experiment()).epochs_of(4, DEAR, CHEAP)
    first = other_of(reported(trial)).detectable
    estimate = trial.look().comparisons[0].reward.estimate
    assert first == pytest.approx(detectable(Sequence(0.05, 0.03), estimate.information))
    assert other_of(reported(trial.epochs_of(12, DEAR, CHEAP))).detectable < 0.7 * first


def test_exact_tests_stand_beside_the_sequences_without_deciding():
    """For every experiment of single requests; its interval holds the estimate and is about as wide."""
    report = reported(Trial(experiment()).epochs_of(8, DEAR, CHEAP))
    other, effect = other_of(report), report.candidates[1].reward_effect
    assert not other.exact.decides
    assert other.anytime is None
    assert other.exact.reason == ""
    assert other.exact.low < effect.value < other.exact.high
    assert 0.5 < (other.exact.high - other.exact.low) / (effect.high - effect.low) < 2


def test_units_of_several_requests_have_neither_exact_test_nor_cross_check():
    """Both read one reward per unit, and say so."""
    trial = Trial(experiment(unit="user")).epochs_of(6, DEAR, CHEAP)
    scale = (1, 2, 2, 2, 1, 4, 4, 4, 2, 4, 4, 2, 4, 2, 1)
    for index, old in enumerate(trial.rows):
        moments = {n: tuple(a * b for a, b in zip(s, scale, strict=True)) for n, s in old.moments.items()}
        trial.rows[index] = CellRow(old.epoch, old.arm, old.counts, moments)
    other = other_of(reported(trial))
    assert other.exact.p is None
    assert "one request per unit" in other.exact.reason
    assert other.cross_check.value is None
    assert "several requests" in other.cross_check.sentence


def test_the_cross_check_agrees_where_feedback_comes_alike():
    """It is another estimate of the same difference."""
    report = reported(Trial(experiment()).epochs_of(8, DEAR, CHEAP))
    check = other_of(report).cross_check
    assert check.value == pytest.approx(report.candidates[1].reward_effect.value, abs=0.01)
    assert check.agrees is True
    assert "It agrees" in check.sentence
    assert check.units == 8_000


def test_the_cross_check_disagrees_where_feedback_rates_differ_by_candidate():
    """The deciding estimate compares inside epochs and is right; the reader is told which one to doubt."""
    trial = Trial(experiment(decision={"mde": 0.05})).epochs_of(3, Arm(500, 250), Arm(500, 250))
    trial.epochs_of(20, Arm(500, 400), Arm(500, 160, rated=200))
    report = reported(trial)
    assert report.candidates[1].reward_effect.value == pytest.approx(0.0, abs=1e-9)
    check = other_of(report).cross_check
    assert check.agrees is False
    assert "feedback comes at different rates" in check.sentence


def test_the_adjusted_difference_is_shown_where_units_bring_a_covariate():
    """Beside the plain one, with what it explains; without covariates there is no such line."""
    trial = scored(Trial(experiment(reward={"kind": "score"})), 8, 1, slope=0.5)
    report = reported(trial)
    part = other_of(report).adjusted
    cells = trial.evidence().mature(trial.definition, trial.now_ms + 2 * WINDOW_MS).metric(PRIMARY)
    assert not part.decides
    assert part.value == pytest.approx(differences(adjusted(cells).cells, 0, [1])[0].value)
    assert part.plain_value == report.candidates[1].reward_effect.value
    assert part.high - part.low < 0.8 * (part.plain_high - part.plain_low)
    assert 0.5 < part.variance_reduction < 0.95
    assert other_of(reported(Trial(experiment()).epochs_of(4, DEAR, CHEAP))).adjusted is None


def test_the_adjusted_difference_decides_where_that_is_declared():
    """The same traffic: adjusted it is shown to be not worse, plain it is not yet."""
    states = {}
    for adjust in ("none", "covariate"):
        trial = scored(
            Trial(experiment(reward={"kind": "score"}, objective={"reward_margin": 0.02},
                             decision={"adjust": adjust, "mde": 0.02})), 8, 3, slope=0.6,
        )  # fmt: skip
        report = reported(trial)
        part = other_of(report).adjusted
        assert part.decides == (adjust == "covariate")
        effect = report.candidates[1].reward_effect
        assert effect.value == (part.value if part.decides else part.plain_value)
        states[adjust] = next(rule.state for rule in report.rules if rule.name == "not_worse")
    assert states == {"none": "open", "covariate": "holds"}


def test_rewards_and_costs_are_shown_without_their_bounds_too():
    """Declared winsorising: the bounded ones decide, the raw ones stand beside them."""
    fields = {
        "reward": {"kind": "score", "range": [0.0, 0.6], "outside": "clip"},
        "objective": {"cost_cap_usd": 0.01}, "decision": {"mde": 0.02},
    }  # fmt: skip
    trial = scored(Trial(experiment(**fields)), 8, 4, slope=0.0, effect=0.1, cap=0.01, clip=(0.0, 0.6))
    report = reported(trial)
    cheap, other = report.candidates[1], other_of(report)
    assert cheap.reward_unclipped == pytest.approx(0.6, abs=0.01)
    assert cheap.reward < 0.57
    assert other.reward_unclipped.value == pytest.approx(0.1, abs=0.01)
    assert cheap.reward_effect.value < 0.08
    assert other.reward_unclipped.low < other.reward_unclipped.value < other.reward_unclipped.high
    assert cheap.cost_uncapped_usd > 1.1 * cheap.cost_usd
    assert other.cost_uncapped.low < other.cost_uncapped.value < other.cost_uncapped.high
    plain = reported(Trial(experiment()).epochs_of(4, DEAR, CHEAP)).candidates[1]
    assert (plain.reward_unclipped, plain.cost_uncapped_usd) == (None, None)
    assert (plain.other.reward_unclipped, plain.other.cost_uncapped) == (None, None)


def test_several_candidates_have_corrected_fixed_p_values():
    """Holm's and Benjamini and Hochberg's of the printed p; one candidate needs none."""
    report = reported(Trial(experiment("dear", "cheap", "mini")).epochs_of(8, DEAR, CHEAP, MINI))
    parts = [row.reward_effect for row in report.candidates[1:]]
    plain = [part.fixed_p for part in parts]
    assert tuple(part.fixed_p_holm for part in parts) == corrected(plain, "holm")
    assert tuple(part.fixed_p_bh for part in parts) == corrected(plain, "benjamini_hochberg")
    alone = reported(Trial(experiment()).epochs_of(8, DEAR, CHEAP)).candidates[1].reward_effect
    assert (alone.fixed_p_holm, alone.fixed_p_bh) == (None, None)


def test_an_effect_that_changes_is_warned_of_in_words_with_its_candidate():
    """p below .01 after correcting for the number of candidates; above it there is no warning."""
    trial = Trial(experiment("dear", "cheap", "mini")).epochs_of(5, DEAR, CHEAP, Arm(500, 450))
    assert reported(trial).heterogeneity_warning is None
    warning = reported(trial.epochs_of(5, DEAR, CHEAP, Arm(500, 330))).heterogeneity_warning
    assert warning.startswith("the effect of mini on the reward changed over time (p ")


def test_a_report_says_whether_it_is_a_discovery_among_its_peers():
    """The e-values of the others come from the planner; e-BH at this experiment's alpha."""
    trial = Trial(experiment()).epochs_of(10, DEAR, CHEAP)
    seen = trial.look()
    subject = Subject(trial.definition, "running", "", {}, START_MS, None)
    own = seen.progress.e_value
    assert own == pytest.approx(deciding_e_value(seen.comparisons))
    for peers in ({}, {"a": 0.5, "b": 1.0}, {"a": 1e6, "b": 1e7}, {f"p{i}": 0.0 for i in range(10_000)}):
        found = render(subject, trial.evidence(), seen, trial.now_ms + 2 * WINDOW_MS, peers).discovery
        logs = [np.log(own), *(np.log(e) if e else -np.inf for e in peers.values())]
        known = discoveries(logs, 0.05)
        assert (found.found, found.discoveries) == (known.found[0], known.count)
        assert found.experiments == 1 + len(peers)
        assert found.found == (own >= found.needed * (1 - 1e-9))


OF_TWO = "Of 2 running experiments"
RATE = "at a false discovery rate of 5%"


@pytest.mark.parametrize(
    ("own", "peers", "words", "figures"),
    [
        (25.0, {}, "; its evidence stands by itself at a level of 5%", "e-value 25, 20 needed"),
        (2.0, {}, "; its evidence does not stand by itself yet at a level of 5%", "e-value 2, 20 needed"),
        (2.0, {"a": 1.0}, f"{OF_TWO} none can be believed {RATE} yet", "e-value 2, 40 needed"),
        (2.0, {"a": 90.0}, f"{OF_TWO} 1 can be believed {RATE}, this one not yet", "e-value 2, 20 needed"),
        (
            30.0, {"a": 90.0}, f"{OF_TWO} 2 can be believed together {RATE}, this one among them",
            "e-value 30, 20 needed",
        ),
    ],
)  # fmt: skip
def test_a_discovery_is_told_in_plain_words(own, peers, words, figures):
    """Advice for somebody who runs twenty experiments and would believe the two that won."""
    start = "It is the only running experiment" if not peers else ""
    assert discovery(own, 0.05, peers).sentence == f"{start}{words} ({figures})."


def test_before_any_data_every_read_out_is_unknown_and_none_fails():
    """The first report of an experiment."""
    report = Trial(experiment("dear", "cheap", "mini")).report(
        Trial(experiment("dear", "cheap", "mini")).look()
    )
    for arm in (1, 2):
        other = other_of(report, arm)
        assert (other.promotion_p, other.promotion_e_value, other.detectable, other.equivalence_p) == (
            None,
        ) * 4
        assert (other.exact.low, other.exact.high, other.exact.p) == (-1.0, 1.0, 1.0)
        assert other.cross_check.value is None
    assert report.discovery.e_value == 1.0
