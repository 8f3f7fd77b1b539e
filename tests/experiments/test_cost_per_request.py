"""Cost per unit and per request: a saving that shows in one of them only is none (docs/decisions/0009)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import figures
from dashboards.effect_tables import effect_tables
from dashboards.report_page import render_html
from dashboards.report_text import render_text
from experiments.evidence.units import COST, ERROR, MOMENTS, PRIMARY, CellRow
from experiments.report.document import Report
from experiments.verdict.verdict import Kind
from tests.experiments.looks import Arm, Trial, experiment

EPOCHS, UNITS = 8, 400
TALKS = {"unit": "conversation"}


def cell(epoch: int, arm: int, requests: int, cost_usd: float) -> CellRow:
    """Conversations of about so many requests at about that cost each, eight tenths of them rewarded."""
    random = np.random.default_rng((epoch, arm))
    n = 1 + random.binomial(2 * (requests - 1), 0.5, UNITS).astype(float)
    cost = n * cost_usd * random.uniform(0.8, 1.2, UNITS)
    reward = random.binomial(n.astype(int), 0.8).astype(float)
    totals = {PRIMARY: reward, COST: cost, ERROR: np.zeros(UNITS)}
    moments = {}
    for metric, total in totals.items():
        z = dict(zip("1NRCX", (np.ones(UNITS), n, total, cost, np.zeros(UNITS)), strict=True))
        moments[metric] = tuple(float((z[a] * z[b]).sum()) for a, b in MOMENTS)
    return CellRow(epoch, arm, (UNITS, UNITS, UNITS, 0, UNITS, 0, 0), moments)


def talks(control: tuple[int, float], candidate: tuple[int, float], **fields: object) -> Trial:
    """Both arms as (requests per conversation, US dollars per request)."""
    trial = Trial(experiment(**{**TALKS, **fields}))
    for number in range(1, EPOCHS + 1):
        trial.epoch(Arm(0, 0), Arm(0, 0))
        trial.rows[-2:] = [cell(number, 0, *control), cell(number, 1, *candidate)]
    return trial


@pytest.mark.parametrize("kind", ["reward_per_cost", "cheapest_non_inferior", "reward"])
@pytest.mark.parametrize(
    ("candidate", "cheaper"),
    [
        ((2, 0.01), "unit"),  # the same answers, but people leave after half of them
        ((8, 0.006), "request"),  # cheaper answers of which twice as many are needed
        ((4, 0.006), "both"),
    ],
)
def test_a_saving_must_show_per_unit_and_per_request(
    candidate: tuple[int, float], cheaper: str, kind: str
) -> None:
    """Half the conversation at the same price per answer halves the bill, and what people got for it."""
    seen = talks((4, 0.01), candidate, objective={"kind": kind}).look()
    (one,) = seen.candidacies
    per_unit, per_request = one.comparison.cost.high, one.comparison.cost_per_request.high
    assert (per_unit < np.log(0.9), per_request < np.log(0.9)) == (
        cheaper in ("unit", "both"),
        cheaper in ("request", "both"),
    )
    assert one.rule("not_worse").state == "holds"
    if cheaper == "both":
        assert one.rule("gain").sentence.endswith("less per unit and per request")
        assert seen.verdict.kind is Kind.PROMOTE
        assert ", per request -40% (" in seen.verdict.sentence
    else:
        # Twice as many answers for less than twice the money is more reward per dollar, which is another gain.
        better = kind == "reward_per_cost" and cheaper == "request"
        assert (one.rule("gain").state == "holds") is better
        assert "less per" not in one.rule("gain").sentence
        assert one.comparison.p_cheaper > 0.5


@given(st.integers(50, 400), st.floats(0.001, 0.1), st.floats(0.001, 0.1))
def test_of_single_requests_both_are_one_question(successes: int, dear: float, cheap: float) -> None:
    """Nothing is tested twice, and nothing changes for them."""
    trial = Trial(experiment()).epochs_of(5, Arm(500, successes, dear), Arm(500, successes, cheap))
    seen = trial.look()
    (one,) = seen.comparisons
    assert one.cost_per_request is one.cost
    report = trial.report(seen)
    assert all(row.cost_per_request_effect is None for row in report.candidates)
    assert [row.cost_per_request_usd for row in report.candidates] == pytest.approx(
        [row.cost_usd for row in report.candidates]
    )


def test_the_report_shows_both_where_units_have_several_requests() -> None:
    """Who reads of a cheap conversation must see that its answers cost the same."""
    trial = talks((4, 0.01), (2, 0.01))
    report = trial.report(trial.look())
    control, candidate = report.candidates
    assert control.cost_per_request_effect is None
    assert (control.cost_usd, candidate.cost_usd) == (
        pytest.approx(0.04, rel=0.05),
        pytest.approx(0.02, rel=0.05),
    )
    assert candidate.cost_per_request_usd == pytest.approx(0.01, rel=0.05)
    assert candidate.cost_effect is not None
    assert candidate.cost_effect.value == pytest.approx(-0.5, abs=0.03)
    effect = candidate.cost_per_request_effect
    assert effect is not None
    assert effect.low < 0 < effect.high
    assert effect.fixed_low < 0 < effect.fixed_high
    document = report.model_dump(mode="json")
    assert "Cost per request" in render_html(document)
    for shown in (render_text(document), render_html(document)):
        assert figures.money(candidate.cost_per_request_usd) in shown
        assert figures.change(effect.low) in shown.replace("\u2212", "-")
        assert "neither 10% cheaper per unit and per request nor worthwhile" in " ".join(shown.split())


def test_the_report_of_single_requests_shows_the_cost_once() -> None:
    """Two columns of the same figures would be read as two facts."""
    trial = Trial(experiment()).epochs_of(5, Arm(500, 400), Arm(500, 400))
    document = trial.report(trial.look()).model_dump(mode="json")
    assert [table.key for table in effect_tables(Report.model_validate(document))] == [
        "reward", "cost", "reward-per-cost"
    ]  # fmt: skip
    assert render_html(document).count('data-label="Cost per request"') == 2 * len(document["candidates"])


def test_new_prices_forget_the_cost_per_request_too() -> None:
    """A smallest p of old prices would promote at new ones."""
    trial = talks((4, 0.01), (4, 0.006))
    seen = trial.look()
    assert seen.progress.smallest_p["cheap"]["cost_per_request"] < 0.05
    later = seen.progress.seen({}, seen.progress.last_epoch, cost_series=1)
    assert set(later.smallest_p["cheap"]) == {"reward"}
