"""A short calibration through production's tick meets its bars; its worlds, rivals and yardsticks are what they say."""

from dataclasses import replace
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from statsmodels.stats.power import NormalIndPower

from evaluation.calibration.bars import bars, interval, rare_enough
from evaluation.calibration.document import Circumstances, document
from evaluation.calibration.nulls import late, nulls
from evaluation.calibration.outcomes import Law, Nature, drawn
from evaluation.calibration.powers import HARMED, powers
from evaluation.calibration.regret import Setting, installed, regret, settings
from evaluation.calibration.rivals import Pooled, chance_better, difference_z, likelihood_ratio
from evaluation.calibration.run import Plan, Results, calibrate
from evaluation.calibration.scenarios import at_margin, fixed_units, flat
from evaluation.calibration.speed import measured
from evaluation.calibration.trials import COSTS_USD, RATES, Tried, best_under, trials

EPOCHS = 18
RUNS = 30
BOUNDARY = at_margin("boundary", "at the margin", flat(0.8, EPOCHS), RUNS)
LATE = late(RUNS, EPOCHS)
SHORT = Plan((BOUNDARY, LATE), seed=5)


@pytest.fixture(scope="module")
def short() -> Results:
    """One short calibration, unchanged."""
    return calibrate(SHORT)


def missed(results: Results) -> set[str]:
    """Names of the bars that are refuted."""
    return {bar.name for bar in bars(results) if bar.missed}


@pytest.mark.statistical
def test_a_short_calibration_meets_its_bars(short):
    """Wrong promotions, wrong drops and coverage, at the margin and with late outcomes."""
    assert missed(short) == set()
    assert len(short.runs["boundary"]) == RUNS


def test_the_number_of_processes_does_not_change_the_results():
    """Each replication has its own seed, so a run on many cores can be repeated on one."""
    plan = Plan((at_margin("boundary", "at the margin", flat(0.8, 3), 12),), seed=3)
    assert calibrate(plan, jobs=2).runs == calibrate(plan, jobs=1).runs


def test_progress_counts_every_replication():
    """The bar on the screen ends full."""
    plan, done = Plan((at_margin("boundary", "at the margin", flat(0.8, 2), 12),)), []
    calibrate(plan, on_done=done.append)
    assert sum(done) == 12


def test_late_successes_fool_every_rival(short):
    """They read what has arrived; this is the mistake that maturity is there for."""
    assert all(all(units is not None for units in run.rivals) for run in short.runs["late"])


def test_every_null_scenario_is_null():
    """A candidate above the boundary would make a right promotion look wrong."""
    for scenario in nulls(1, 1):
        rates = np.array(
            [[scenario.rate(arm, epoch + 1) for arm in range(scenario.arms)] for epoch in range(28)]
        )
        costs = np.array(scenario.costs_usd)
        assert ((rates > 0) & (rates < 1)).all()
        if scenario.question == "reward_per_cost":
            np.testing.assert_allclose(rates[:, 1] / costs[1], rates[:, 0] / costs[0])
        elif scenario.question == "net_value":
            worth = scenario.definition.objective.value_usd * rates - costs
            np.testing.assert_allclose(worth[:, 1], worth[:, 0])
        elif scenario.question == "reward":
            assert all(gap <= scenario.boundary + 1e-12 for gap in scenario.gaps[1:]) or scenario.watching


def test_every_guardrail_at_its_bound_is_exactly_there():
    """In the world's own figures, so that "kept" is wrong and a drop is wrong as well."""
    bounds = {one.name: one for one in nulls(1, 1) if one.question == "guardrail"}
    for name, scenario in bounds.items():
        rule, nature = scenario.definition.guardrails[0], scenario.nature
        worse = {
            "guard_error": lambda n: n.error_rates[1] - n.error_rates[0],
            "guard_cost_usd": lambda _, costs=scenario.costs_usd: log(costs[1] / costs[0]),
            "guard_latency_p95_ms": lambda n: log(n.latency_ms[1] / n.latency_ms[0]),
            "guard_feedback_rate": lambda n: n.feedback[0] - n.feedback[1],
            "guard_thumbs": lambda n: n.thumbs[0] - n.thumbs[1],
        }[name](nature)
        assert worse == pytest.approx(rule.bound), name
        assert abs(scenario.truth) == pytest.approx(rule.bound), name


def test_names_of_scenarios_are_unique():
    """Results are kept by name."""
    names = [scenario.name for scenario in (*nulls(1, 1), *powers(1))]
    assert len(set(names)) == len(names)
    assert set(HARMED) <= set(names)


def test_the_exact_interval_is_that_of_clopper_and_pearson():
    """Known answer: scipy's binomtest."""
    for events, runs in ((0, 40), (3, 40), (40, 40)):
        known = binomtest(events, runs).proportion_ci(method="exact")
        assert interval(events, runs) == pytest.approx((known.low, known.high))


def test_a_bar_is_missed_at_32_wrong_promotions_of_400():
    """The promise states this number."""
    assert not rare_enough("wrong", 31, 400).missed
    assert rare_enough("wrong", 32, 400).missed


def test_the_fixed_test_has_the_size_that_statsmodels_gives():
    """Known answer for the yardstick of durations: z test with the unpooled variance."""
    spread = (0.6 * 0.4 + 0.65 * 0.35) / 2
    known = NormalIndPower().solve_power(0.05 / spread**0.5, power=0.8, alpha=0.05)
    assert fixed_units(0.6, 0.05) == pytest.approx(2 * known, rel=1e-3)


def pooled(n: float, wins: float) -> Pooled:
    """An arm without costs."""
    return Pooled(n, wins, 0.0, 0.0, 0.0)


def test_chance_better_agrees_with_draws():
    """The rival is given its due: quadrature against 400,000 Beta draws."""
    random = np.random.default_rng(1)
    control, other = random.beta(71, 31, 400_000), random.beta(76, 26, 400_000)
    drawn = float((other > control - 0.05).mean())
    assert chance_better(pooled(100, 70), pooled(100, 75), -0.05) == pytest.approx(drawn, abs=0.004)


def test_the_likelihood_ratio_is_half_the_squared_z_in_large_samples():
    """Wilks: with many units the two statistics agree."""
    control, other = pooled(40_000, 24_000), pooled(40_000, 24_400)
    z = difference_z(control, other, 0.0)
    assert norm.sf(z) < 0.01
    assert likelihood_ratio(control, other, 0.0) == pytest.approx(z * z / 2, rel=0.01)
    assert likelihood_ratio(other, control, 0.0) == 0.0


def test_a_player_that_learns_loses_less_than_an_even_split():
    """Our allocation on an easy setting: an even split would lose 1,000."""
    setting = Setting("easy", "easy", ((0.2, 0.7),) * 40, 100.0, 1)
    assert regret(setting, "Pointsman", np.random.SeedSequence(2)) < 100
    assert installed("Pointsman")


def test_the_document_says_what_was_run_and_what_was_missed(short):
    """Its header and verdicts come from the run alone."""
    broken = Results(
        SHORT, {**short.runs, "late": [replace(run, promoted_at=1) for run in short.runs["late"]]}
    )
    judged = bars(broken)
    text = document(broken, judged, Circumstances(12.0, 2, "3.11.7", "2.4.6"))
    assert f"Replications: {RUNS} by table; seed 5." in text
    assert f"missed: {LATE.title}: wrong promotion" in text
    assert f"| {LATE.title} | {EPOCHS} | {RUNS} | 1.000 (0.884 to 1.000) |" in text


def test_the_written_document_reports_every_scenario_and_setting():
    """A scenario that is added or renamed asks for a new run of `make calibrate`."""
    text = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")
    for one in (*nulls(1, 1), *powers(1), *settings(1), *trials(1)):
        assert f"| {one.title} |" in text


def test_the_oracle_of_a_budget_mixes_the_two_arms_around_it():
    """Known answer by hand: the line between the arms of 1.5 and 3 cents, at 2 cents."""
    between = (0.02 - COSTS_USD[3]) / (COSTS_USD[4] - COSTS_USD[3])
    known = (1 - between) * RATES[3] + between * RATES[4]
    assert best_under(0.02, RATES, COSTS_USD) == pytest.approx(known)
    assert best_under(1.0, RATES, COSTS_USD) == pytest.approx(RATES[4])


def test_a_trial_is_judged_by_what_it_promises():
    """Late decisions, wrong ones, rewards below the oracle and overspending each have a bar."""
    learn, budget = trials(20)[0], trials(20)[1]
    tried = {
        learn.name: [Tried(requests=30_000, wrong=True)] * 40,
        budget.name: [Tried(shortfall=0.02 + 1e-4 * run, spend=1.05 + 1e-4 * run) for run in range(20)],
    }
    judged = bars(Results(Plan((), trials=(learn, budget)), tried=tried))
    assert [bar.missed for bar in judged] == [True] * 4


def test_a_part_of_the_plan_keeps_every_scenario():
    """The short form looks everywhere, with at least the two runs that a standard error needs."""
    whole, part = Plan.full(), Plan.full(0.001)
    for kind in ("scenarios", "settings", "trials"):
        names = [[one.name for one in getattr(plan, kind)] for plan in (whole, part)]
        assert names[0] == names[1]
        assert all(one.replications >= 2 for one in getattr(part, kind))
    assert whole.scenarios[0].replications == 400


def test_the_speed_section_shows_commands_with_what_they_print():
    """Figures without their command could not be repeated; a missing benchmark is said to be missing."""
    text = measured(("this", "nowhere.at_all"))
    assert "$ python -m this\nThe Zen of Python" in text
    assert "$ python -m nowhere.at_all\nnot installed" in text


def test_costs_drawn_stay_unknown_where_the_scenario_says_so():
    """Rewards without a cost are kept apart, as contributions of units would be."""
    nature = Nature(uncosted=((0.0, 0.0), (0.0, 1.0)))
    units = drawn(np.random.default_rng(1), nature, Law(1, 0.8, 0.8, 0.01, 0.5), 1_000)
    cell = units.cell(1, 1, needs_cost=True)
    wins = int(units.wins.sum())
    assert cell.moments["reward"][:3] == (wins, wins, wins), "failures have no cost"
    assert cell.moments["reward_uncosted"][:3] == (1_000 - wins, 1_000 - wins, 0.0)
    assert cell.moments["cost_usd"][0] == wins
    assert "reward_uncosted" not in units.cell(1, 1, needs_cost=False).moments


def test_units_drawn_follow_the_law_of_their_arm():
    """Rates, errors, feedback, thumbs and latencies are those of the scenario, within four standard errors."""
    nature = Nature(
        feedback=(0.6,), error_rates=(0.05,), latency_ms=(900.0,), thumbs=(0.3,), requests_mean=3.0, covariate=0.1
    )  # fmt: skip
    n = 20_000
    units = drawn(np.random.default_rng(2), nature, Law(0, 0.5, 0.5, 0.02, 0.5), n)
    assert units.requests.mean() == pytest.approx(3.0, abs=4 * sqrt(2 / n))
    assert units.wins.sum() / units.requests.sum() == pytest.approx(0.5, abs=0.012)
    assert units.thumbs.mean() == pytest.approx(0.3, abs=4 * sqrt(0.21 / n))
    assert float(np.median(units.latency_ms)) == pytest.approx(900.0, rel=0.03)
    assert units.costs_usd.sum() / units.requests.sum() == pytest.approx(0.02, rel=0.03)
    assert units.rated.mean() == pytest.approx(0.6, abs=0.03), "and every call without an answer"
    of_one = drawn(np.random.default_rng(3), Nature(error_rates=(0.05,)), Law(0, 0.5, 0.5, 0.02, 0.5), n)
    assert of_one.failed.mean() == pytest.approx(0.05, abs=4 * sqrt(0.05 / n))
    assert not (of_one.failed & (of_one.wins > 0)).any()
