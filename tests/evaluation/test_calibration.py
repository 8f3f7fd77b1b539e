"""A short calibration through production's tick: its bars hold, and mutations of the statistics break them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from statsmodels.stats.power import NormalIndPower

from evaluation.calibration.bars import bars, interval, rare_enough
from evaluation.calibration.document import Circumstances, document
from evaluation.calibration.regret import Setting, installed, regret, settings
from evaluation.calibration.rivals import Pooled, chance_better, difference_z, likelihood_ratio
from evaluation.calibration.run import Plan, Results, calibrate
from evaluation.calibration.scenarios import at_margin, fixed_units, flat, late, nulls, powers
from experiments.evidence.epochs import Epoch
from experiments.inference.sequence import Sequence

EPOCHS = 18
RUNS = 40
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


@pytest.mark.statistical
def test_a_narrower_sequence_fails_the_calibration(monkeypatch):
    """Calibration drives production's own tick: were it a copy, this mutation would not show."""
    honest = Sequence.margin_one_sided
    monkeypatch.setattr(Sequence, "margin_one_sided", lambda self, seen: 0.4 * honest(self, seen))
    assert f"{BOUNDARY.title}: wrong promotion" in missed(calibrate(Plan((BOUNDARY,), seed=5)))


@pytest.mark.statistical
def test_a_narrower_interval_fails_the_coverage(monkeypatch):
    """The two-sided interval is printed on every report, so it is calibrated on its own."""
    honest = Sequence.margin
    monkeypatch.setattr(Sequence, "margin", lambda self, seen: 0.5 * honest(self, seen))
    assert missed(calibrate(Plan((BOUNDARY,), seed=5))) == {f"{BOUNDARY.title}: interval misses at some look"}


@pytest.mark.statistical
def test_reading_epochs_before_they_are_mature_fails_the_calibration(monkeypatch):
    """Outcomes that come late for one arm only make it look bad until they are in."""
    monkeypatch.setattr(Epoch, "mature", lambda self, window_ms, now_ms: self.closed_at_ms is not None)
    found = missed(calibrate(Plan((LATE,), seed=5)))
    assert f"{LATE.title}: wrong promotion" in found


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
    for scenario in nulls(1):
        rates = np.add.outer(scenario.levels, scenario.gaps)
        assert ((rates > 0) & (rates < 1)).all()
        if scenario.question == "reward_per_cost":
            per_cost = rates / np.array(scenario.costs_usd)
            np.testing.assert_allclose(per_cost[:, 1], per_cost[:, 0])
        else:
            assert all(gap <= scenario.boundary + 1e-12 for gap in scenario.gaps[1:])


def test_names_of_scenarios_are_unique():
    """Results are kept by name."""
    names = [scenario.name for scenario in (*nulls(1), *powers(1))]
    assert len(set(names)) == len(names)


def test_the_exact_interval_is_that_of_clopper_and_pearson():
    """Known answer: scipy's binomtest."""
    for events, trials in ((0, 40), (3, 40), (40, 40)):
        known = binomtest(events, trials).proportion_ci(method="exact")
        assert interval(events, trials) == pytest.approx((known.low, known.high))


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
    assert f"Replications per scenario: {RUNS}; seed 5." in text
    assert f"missed: {LATE.title}: wrong promotion" in text
    assert f"| {LATE.title} | {EPOCHS} | {RUNS} | 1.000 (0.912 to 1.000) |" in text


def test_the_written_document_reports_every_scenario_and_setting():
    """A scenario that is added or renamed asks for a new run of `make calibrate`."""
    text = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")
    for one in (*nulls(1), *powers(1), *settings(1)):
        assert f"| {one.title} |" in text
