"""Simulated trials: the real router in a world whose truth is known."""

import io
from dataclasses import replace

import numpy as np
import orjson
import pytest
from rich.console import Console
from scipy.stats import beta

from evaluation.simulation.arrivals import draw_arrivals
from evaluation.simulation.document import document
from evaluation.simulation.many import MOST_RUNS, run_many
from evaluation.simulation.text import show
from evaluation.simulation.trial import look_every_ms, run_trial
from evaluation.simulation.truth import judged, truth_of
from tests.evaluation.simulations import inside, spec


def test_one_seed_gives_one_result_in_this_process_and_in_others() -> None:
    """A figure that cannot be repeated cannot be discussed; the report is the same to the last byte."""
    asked = spec(days=0.2)
    here = run_many(asked, 2, jobs=1)
    there = run_many(asked, 2, jobs=2)
    assert here == there
    assert here[0].report == there[0].report
    assert document(asked, here).model_dump_json() == document(asked, there).model_dump_json()
    other = run_trial(spec(days=0.2, seed=4))
    assert here[0].report != here[1].report != other.report
    assert here[0].served != other.served


def test_a_cheap_candidate_that_is_as_good_is_promoted_and_the_truth_stands_beside_it() -> None:
    """The whole loop: definition, traffic, looks, verdict, promotion, report."""
    asked = spec(days=10)
    trial = run_trial(asked)
    assert (trial.verdict, trial.candidate, trial.state, trial.judgement) == (
        "promote",
        "cheap",
        "promoted",
        "right",
    )
    assert trial.truth.cost_usd == pytest.approx((0.01, 0.002))
    assert trial.truth.reward == pytest.approx((0.8, 0.8))
    assert trial.requests == sum(trial.served) == trial.units
    assert trial.days < 10
    # Serving the dear one costs 0.008 more a request, and equal rewards lose nothing.
    assert trial.reward_lost == pytest.approx(0, abs=1e-9)
    assert trial.overspent_usd == pytest.approx(0.008 * trial.served[0])
    found = document(asked, [trial]).candidates[1]
    assert found.reward_effect is not None
    assert found.cost_effect is not None
    assert found.cost_effect.true == pytest.approx(-0.8)
    assert found.reward_effect.covered
    assert found.cost_effect.covered


def test_a_candidate_that_does_harm_is_rolled_back_early() -> None:
    """Half the quality must not be paid for over the whole trial."""
    trial = run_trial(spec(days=4, environment={"rates": [0.8, 0.4], "costs_usd": [0.01, 0.002]}))
    assert (trial.verdict, trial.state, trial.judgement) == ("roll_back", "rolled_back", "right")
    assert trial.days < 4
    assert trial.truth.best == 0
    assert trial.reward_lost == pytest.approx(0.4 * trial.served[1])


def test_every_request_is_routed_and_every_cost_arrives() -> None:
    """What the ledger counts is what the world sent."""
    trial = run_trial(spec(**inside("environment", feedback=[0.9, 0.5])))
    report = orjson.loads(trial.report)
    assert trial.judgement == "open"
    assert report["units"] == report["mature_units"] == trial.requests == 3_000
    assert sum(each["units"] for each in report["candidates"]) == 3_000
    shares = {each["name"]: each["missing_feedback"] for each in report["candidates"]}
    assert shares["dear"] == pytest.approx(0.1, abs=0.03)
    assert shares["cheap"] == pytest.approx(0.5, abs=0.04)


def test_feedback_that_takes_longer_than_the_window_counts_no_more() -> None:
    """Delays are played through the clock: the ledger itself says what is late."""
    late = inside("environment", delays=[{"success": 1.0, "failure": 1.0}])
    report = orjson.loads(run_trial(spec(**late)).report)
    assert all(each["missing_feedback"] > 0.9 for each in report["candidates"])


def test_users_keep_their_candidate_and_are_counted_once() -> None:
    """The unit of the statistics is the user; the requests of one are not evidence of many."""
    asked = spec(
        environment={"rates": [0.6, 0.6], "users": {"requests_mean": 4.0, "rate_sd": 0.1}},
        experiment={"candidates": ["a", "b"], "unit": "user", "reward": {"window": "2h"}},
    )
    generator = np.random.default_rng([3, 0])
    generator.integers(2**31)  # the start of the trial
    arrivals = draw_arrivals(asked, generator)
    assert (np.diff(arrivals.at_ms) >= 0).all()
    trial = run_trial(asked)
    report = orjson.loads(trial.report)
    assert report["unit"] == "user"
    assert report["units"] == np.unique(arrivals.unit).size
    assert trial.requests == len(arrivals) > 3 * report["units"]
    assert report["health"]["degraded_decisions"] == 0


def test_the_same_draws_meet_every_experiment() -> None:
    """Common random numbers: what differs between two runs is what was decided."""
    first, second = (
        draw_arrivals(spec(**inside("experiment", mode=mode)), np.random.default_rng([3, 0]))
        for mode in ("earn", "ab")
    )
    for name in ("at_ms", "luck", "cost_factor", "patience", "delay"):
        assert (getattr(first, name) == getattr(second, name)).all()
    assert first.cost_factor.mean() == pytest.approx(1.0, abs=0.1)


def test_truth_judges_promotions_by_what_they_claim() -> None:
    """Not worse by the margin, and better by the objective or cheaper."""
    asked = spec(environment={"rates": [0.8, 0.75], "costs_usd": [0.01, 0.002]})
    arrivals = draw_arrivals(asked, np.random.default_rng(1))
    kind = asked.experiment
    near = truth_of(asked, arrivals, 500)
    assert near.good == (False, True)
    assert judged("promote", "cheap", kind, near) == "right"
    assert judged("stop_futile", None, kind, near) == "missed"
    assert judged("keep_running", None, kind, near) == "open"
    worse = truth_of(spec(environment={"rates": [0.8, 0.69], "costs_usd": [0.01, 0.002]}), arrivals, 500)
    assert worse.good == (False, False)
    assert worse.best == 0
    assert judged("promote", "cheap", kind, worse) == "wrong"
    assert judged("roll_back", None, kind, worse) == "right"
    at_margin = truth_of(spec(environment={"rates": [0.8, 0.7], "costs_usd": [0.01, 0.001]}), arrivals, 997)
    assert at_margin.good == (False, False)  # where error rates are promised, a promotion is wrong
    saving = truth_of(
        spec(
            environment={"rates": [0.8, 0.8], "costs_usd": [0.01, 0.0095]},
            **inside("experiment", objective={"kind": "cheapest_non_inferior", "reward_margin": 0.1}),
        ),
        arrivals, 500,
    )  # fmt: skip
    assert saving.good == (False, False)  # a twentieth less is under the smallest saving of a tenth
    dearer = truth_of(spec(environment={"rates": [0.8, 0.8], "costs_usd": [0.01, 0.02]}), arrivals, 500)
    assert dearer.good == (False, False)


def test_looks_are_as_frequent_as_epochs_need_and_bounded_in_number() -> None:
    """A look at every second of a month would take hours and see nothing new."""
    assert look_every_ms(spec()) == 86_400_000 * 100 // 2_000
    assert look_every_ms(spec(look_every="30m")) == 1_800_000
    many = spec(requests_per_day=1_000_000, days=1)
    assert many.length_ms / look_every_ms(many) <= 2_000


def test_shares_of_verdicts_carry_exact_intervals() -> None:
    """Clopper and Pearson (1934): quantiles of two beta distributions."""
    asked = spec(days=0.3)
    trial = run_trial(asked)
    trials = [replace(trial, number=n, verdict="promote" if n < 3 else "keep_running") for n in range(10)]
    parts = {part.name: part for part in document(asked, trials).verdicts}
    assert parts["promote"].share == 0.3
    assert parts["promote"].low == pytest.approx(beta.ppf(0.025, 3, 8))
    assert parts["promote"].high == pytest.approx(beta.ppf(0.975, 4, 7))
    assert sum(part.runs for part in parts.values()) == 10
    with pytest.raises(ValueError, match="must be 1 to"):
        run_many(asked, MOST_RUNS + 1)


def test_the_text_names_what_the_document_holds() -> None:
    """People read the table; programs the document."""
    asked = spec(days=0.3)
    trial = run_trial(asked)
    out = Console(file=io.StringIO(), width=118)
    show(document(asked, [trial]), out)
    show(document(asked, [trial, replace(trial, number=1)]), out)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    for said in (
        "dear",
        "cheap",
        "-80%",
        "Regret against serving all",
        "Over 2 runs",
        "the verdict is",
        "100.0%",
    ):
        assert said in text, said
