"""Reports of mode shadow: pairs in place of shares' effects, in every rendering, whatever the evidence."""

import json
from math import log

import pytest

from dashboards.report_csv import render_csv
from dashboards.report_page import render_html
from dashboards.report_text import render_text
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.units import CellRow, triangle
from experiments.report.document import Report
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.standing import Standing
from experiments.verdict.tick import tick

START_MS, HOUR_MS = 1_790_000_000_000, 3_600_000
GUARDS = [
    {"metric": "error", "max_increase": 0.05},
    {"metric": "cost_usd", "max_ratio": 1.2},
    {"metric": "latency_p50_ms", "max_ratio": 1.2},
]


def shadowed(*candidates: str, guardrails: list[dict[str, object]] | None = None) -> Experiment:
    """An experiment in mode shadow."""
    return Experiment.model_validate(
        {
            "name": "probe", "task": "support", "candidates": candidates or ("dear", "cheap"), "mode": "shadow",
            "shadow_usd_per_day": 5.0, "guardrails": GUARDS if guardrails is None else guardrails,
        }
    )  # fmt: skip


def sums(times: float, *pairs: tuple[float, float]) -> tuple[float, ...]:
    """Moments of these (metric, own cost) pairs, each so many times."""
    rows = [triangle(1, total, cost, 0.0) for total, cost in pairs]
    return tuple(times * sum(column) for column in zip(*rows, strict=True))


def report(
    definition: Experiment,
    times: float,
    cost: float = 0.004,
    latency: float = 0.5,
    failures: tuple[float, ...] = (),
) -> Report:
    """The report after three epochs of pairs, `times` each, from a control of 0.01 dollars."""
    served = CellRow(1, 0, (int(times) or 1,) * 3 + (0, 0, 0, 0), {})
    moments = {
        "pair_error": sums(times, *((each, cost) for each in (failures or (0.0,)))),
        "pair_cost_usd": sums(times, (0.01, cost)),
        "pair_latency_ln": sums(times, (log(latency), cost)),
        "cost_usd": sums(times, (cost, cost)),
        "error": sums(times, (0.0, cost)),
    }
    epochs, rows = [], []
    for number in range(1, 4):
        opened = START_MS + number * HOUR_MS
        epochs.append(Epoch(1, number, opened, definition.starting_shares, closed_at_ms=opened + HOUR_MS))
        rows.append(CellRow(number, 0, served.counts, {}))
        arms = range(1, len(definition.candidates)) if times else ()
        rows += [CellRow(number, arm, served.counts, moments) for arm in arms]
    evidence = gather(epochs, rows, len(definition.candidates))
    now_ms = START_MS + 10 * HOUR_MS
    standing = Standing(1, START_MS, (), Progress(), (0.01,) * len(definition.candidates), "")
    look = tick(definition, evidence, standing, now_ms)
    return render(Subject(definition, "running", "", look.dropped, START_MS, None), evidence, look, now_ms)


def test_every_rendering_shows_pairs_bounds_and_cost() -> None:
    """Whoever pays for copies reads what they showed and what they cost, on the page, in the mail, in the sheet."""
    document = json.loads(report(shadowed(), 300).model_dump_json())
    text, page = render_text(document), render_html(document, standalone=True)
    assert document["verdict"]["kind"] == "fit"
    for words in (
        "Pairs: copies beside the answers of dear",
        "latency (geometric mean)",
        "cheap was asked 900 copies",
    ):
        assert words in text
        assert words in page
    assert "-60.0%" in text or "-60%" in text
    assert "chance to win" not in text.partition("Pairs:")[2]
    assert "Saved per day" not in text
    assert "Saved per day" not in page
    assert "FIT FOR REAL TRAFFIC" in text
    assert "fit" in render_csv(document).splitlines()[1]
    for width in (40, 80):
        assert max(map(len, render_text(document, width).splitlines())) <= max(width, 80)


def test_rewards_of_copies_are_not_shown() -> None:
    """Nobody saw their answers; a failed copy would otherwise read as a reward of zero."""
    candidate = report(shadowed(), 300).candidates[1]
    assert candidate.reward is None
    assert candidate.reward_effect is None
    assert candidate.error_rate == 0


def test_a_bound_on_errors_holds_even_where_none_is_declared() -> None:
    """A candidate that fails often is not fit, whatever the file left out."""
    found = report(shadowed(guardrails=[]), 300, failures=(1.0, 0.0, 0.0, 0.0))
    assert found.verdict.kind == "unfit"
    states = {figure.metric: figure.state for figure in found.shadow[0].figures}
    assert states == {"error": "fails", "cost_usd": None, "latency_p50_ms": None}


def test_with_several_candidates_each_is_judged_by_itself() -> None:
    """One unfit candidate does not make the others so; their level is shared."""
    found = report(shadowed("dear", "cheap", "mini"), 300)
    assert [part.candidate for part in found.shadow] == ["cheap", "mini"]
    assert found.verdict.kind == "fit"
    assert found.verdict.candidate is None


@pytest.mark.parametrize(
    ("times", "values"),
    [
        (0, {}),
        (1, {}),
        (20, {}),
        (1e9, {}),
        (300, {"cost": 0.0}),
        (300, {"cost": 1e6}),
        (300, {"latency": 1e-3}),
        (300, {"latency": 1e3}),
        (300, {"failures": (1.0,)}),
        (300, {"failures": (-1.0,)}),
        (300, {"failures": (1.0, -1.0)}),
    ],
)
def test_extreme_evidence_gives_finite_answers_or_none(times: float, values: dict[str, object]) -> None:
    """No pair, identical pairs, free or absurdly dear models: words and nulls, never NaN or an exception."""
    found = report(shadowed(), times, **values)  # type: ignore[arg-type]  # the names are those of report
    body = found.model_dump_json()
    assert "NaN" not in body
    assert "Infinity" not in body
    document = json.loads(body)
    assert "nan" not in render_text(document).lower().split()
    assert render_html(document)
