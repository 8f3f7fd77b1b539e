"""Extreme looks: whatever is declared and has arrived, a look and its report are finite or say what is missing."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dashboards.report_csv import render_csv
from dashboards.report_text import render_text
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import gather
from experiments.evidence.latency import bucket
from experiments.evidence.units import COST, ERROR, PRIMARY, UNCOSTED, CellRow
from experiments.inference.exact import Blocks
from experiments.inference.exact_interval import exact_interval
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, Tick, tick
from experiments.verdict.verdict import Kind

START_MS, HOUR_MS = 1_790_000_000_000, 3_600_000
OBJECTIVES = (
    {"kind": "reward_per_cost"}, {"kind": "reward"}, {"kind": "cheapest_non_inferior"},
    {"kind": "net_value", "value_usd": 0.1}, {"kind": "budget", "budget_usd": 0.01},
)  # fmt: skip
GUARDRAILS = (
    {"metric": "error", "max_increase": 0.01}, {"metric": "cost_usd", "max_ratio": 1.5},
    {"metric": "latency_p50_ms", "max_ratio": 1.2}, {"metric": "latency_p95_ms", "max_ratio": 1.25},
    {"metric": "latency_p99_ms", "max_ratio": 2.0}, {"metric": "feedback_rate", "max_decrease": 0.05},
    {"metric": "thumbs", "max_decrease": 0.02, "range": [0, 1]},
)  # fmt: skip
RANGES = ((0.0, 1.0), (0.0, 1e9), (-1e-3, 5.0), (0.0, 1e-6))
NOT_A_NUMBER = re.compile(r"\b(nan|inf|infinity)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What the units of one arm in one epoch brought, all of them alike but for the shares given."""

    units: int
    good: float
    """Share of units at the high end of the reward's range; the others are at the low end."""
    cost_usd: float
    variation: float
    failed: float
    rated: float
    costed: float
    requests: int
    latency_ms: float
    covariate: float


LOADS = st.builds(
    Load,
    units=st.sampled_from([0, 1, 2, 60, 500, 10**9]),
    good=st.sampled_from([0.0, 1.0, 0.5, 0.7, 1e-3]),
    cost_usd=st.sampled_from([0.0, 1e-12, 0.01, 1e6]),
    variation=st.sampled_from([0.0, 0.5, 30.0]),
    failed=st.sampled_from([0.0, 0.02, 1.0]),
    rated=st.sampled_from([1.0, 0.0, 0.5]),
    costed=st.sampled_from([1.0, 0.97, 0.0]),
    requests=st.sampled_from([1, 1, 7]),
    latency_ms=st.sampled_from([0.0, 250.0, 1e9]),
    covariate=st.sampled_from([0.0, 1.0]),
)


@st.composite
def definitions(draw: st.DrawFn) -> Experiment:
    """Any mode with any objective, guardrails, read-out and settings; combinations that are refused are left out."""
    mode, arms = draw(st.sampled_from(["ab", "learn", "earn"])), draw(st.sampled_from([2, 3, 5]))
    low, high = draw(st.sampled_from(RANGES))
    width, binary = high - low, (low, high) == (0.0, 1.0) and draw(st.booleans())
    missing = draw(st.sampled_from(["drop", low, high]))
    reward = {
        "window": "10m",
        "kind": "binary" if binary else "score",
        "range": [low, high],
        "missing": missing,
    }
    objective = {"reward_margin": 0.02 * width, **draw(st.sampled_from(OBJECTIVES))}
    if draw(st.booleans()):
        objective["min_reward"] = low + width / 2
    decision = {
        "mde": 0.03 * width, "read_out": draw(st.sampled_from(["anytime", "anytime", "strict"])),
        "adjust": draw(st.sampled_from(["none", "none", "covariate"])), "min_days": draw(st.sampled_from([0.0, 14.0])),
        "max_units": draw(st.sampled_from([100, 200_000])),
    }  # fmt: skip
    bandit = {
        "drift": draw(st.sampled_from(["ignore", "follow"])),
        "ramp": draw(st.sampled_from([[], [0.01, 0.05]])),
    }
    declared = {
        "name": "extreme", "task": "support", "candidates": [f"m{arm}" for arm in range(arms)], "mode": mode,
        "unit": draw(st.sampled_from(["request", "user"])), "reward": reward, "objective": objective,
        "decision": decision, "guardrails": draw(st.lists(st.sampled_from(GUARDRAILS), unique_by=str, max_size=4)),
        **({} if mode == "ab" else {"bandit": bandit}),
    }  # fmt: skip
    try:
        return Experiment.model_validate(declared)
    except ValidationError:
        assume(False)
        raise


def triangle(
    units: float, requests: int, total: float, square: float, cost: float, costs: float, x: float
) -> tuple[float, ...]:
    """Upper triangle of sum(z z') of independent parts: totals of the metric and of cost, with their squares."""
    n, r = units, float(requests)
    if not n:
        return ()
    return (
        n, n * r, total, cost, n * x, n * r * r, r * total, r * cost, n * r * x, square, total * cost / n, x * total,
        costs, x * cost, n * x * x,
    )  # fmt: skip


def cell(definition: Experiment, epoch: int, arm: int, load: Load) -> CellRow:
    """The cell of a load, as contributions would have summed up to it."""
    n, r = load.units, load.requests if definition.unit == "user" else 1
    (low, high), x = definition.reward.range, load.covariate
    rated, costed = round(n * load.rated), round(n * load.costed)
    joint = round(rated * load.costed) if definition.objective.needs_cost else rated
    cost, spread = load.cost_usd * r, 1 + load.variation**2

    def rewards(units: int, priced: bool) -> tuple[float, ...]:
        wins = round(units * load.good)
        total, square = (
            wins * r * high + (units - wins) * r * low,
            (wins * high**2 + (units - wins) * low**2) * r * r,
        )
        paid = cost if priced and load.costed else 0.0
        return triangle(units, r, total, square, units * paid, units * paid**2 * spread, x)

    failed = round(n * load.failed)
    moments = {
        PRIMARY: rewards(joint, True),
        UNCOSTED: rewards(rated - joint, False),
        COST: triangle(
            costed, r, costed * cost, costed * cost**2 * spread, costed * cost, costed * cost**2 * spread, x
        ),
        ERROR: triangle(n, r, failed, failed, 0.0, 0.0, x),
        "thumbs": rewards_of_thumbs(n, load),
    }
    counts = (n, n, n, failed, rated, 0, 0)
    latency = {bucket(load.latency_ms): n * r} if n else {}
    return CellRow(epoch, arm, counts, {name: sums for name, sums in moments.items() if sums}, latency)


def rewards_of_thumbs(n: int, load: Load) -> tuple[float, ...]:
    """Thumbs that go with the reward."""
    up = round(n * load.good)
    return triangle(n, 1, up, up, 0.0, 0.0, 0.0)


def looked(
    definition: Experiment, epochs: Sequence[Sequence[Load]]
) -> Iterator[tuple[Tick, dict[str, object]]]:
    """A look and its document after each epoch, with what it remembers and drops."""
    arms, shares = len(definition.candidates), definition.starting_shares
    history, rows, progress = [Epoch(1, 1, START_MS, shares, price_version="v1")], list[CellRow](), Progress()
    dropped: dict[int, str] = {}
    for number, loads in enumerate(epochs, 1):
        rows += [cell(definition, number, arm, load) for arm, load in enumerate(loads[:arms])]
        now_ms = START_MS + number * HOUR_MS
        closed = history[-1]
        history[-1] = Epoch(1, number, closed.opened_at_ms, closed.shares, 0, "v1", now_ms)
        history.append(Epoch(1, number + 1, now_ms, closed.shares, 0, "v1"))
        standing = Standing(1, START_MS, tuple(dropped), progress, (0.01,) * arms, "v1")
        evidence, later = gather(history, rows, arms), now_ms + HOUR_MS
        seen = tick(definition, evidence, standing, later)
        progress, dropped = seen.progress, {**dropped, **seen.dropped}
        if seen.next_epoch is not None:
            history[-1] = Epoch(1, number + 1, now_ms, seen.next_epoch.shares, 0, "v1")
        report = render(Subject(definition, "running", "", dropped, START_MS, None), evidence, seen, later)
        yield seen, report.model_dump()


def figures(part: object, where: str = "report") -> Iterator[tuple[str, float]]:
    """Every float of a document with its place."""
    if isinstance(part, float):
        yield where, part
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield from figures(value, f"{where}.{name}")
    elif isinstance(part, list | tuple):
        for index, value in enumerate(part):
            yield from figures(value, f"{where}[{index}]")


def check(seen: Tick, document: dict[str, object]) -> None:
    """Finite figures, shares that are shares, words without "nan", a verdict that follows from something."""
    wrong = [where for where, value in figures(document) if not isfinite(value)]
    assert wrong == []
    assert json.loads(json.dumps(document, allow_nan=False))
    for text in (render_text(document), render_csv(document)):
        assert not NOT_A_NUMBER.search(text)
    if seen.next_epoch is not None:
        assert sum(seen.next_epoch.shares) == pytest.approx(1, abs=1e-9)
        assert min(seen.next_epoch.shares) >= 0
    for tests in seen.progress.smallest_p.values():
        assert all(0 <= p <= 1 for p in tests.values())
    assert isfinite(seen.progress.e_value)
    assert seen.progress.e_value >= 0
    if seen.verdict.kind is Kind.PROMOTE:
        assert any(one.passes_but_served for one in seen.candidacies) or seen.progress.declared is not None


@settings(
    max_examples=60, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking whole experiments takes minutes
)  # fmt: skip
@given(
    definition=definitions(),
    epochs=st.lists(st.lists(LOADS, min_size=5, max_size=5), min_size=1, max_size=4),
)
def test_a_look_at_any_evidence_is_finite_or_says_what_is_missing(
    definition: Experiment, epochs: list[list[Load]]
) -> None:
    """All successes, zero variance, one unit, an arm without data, 1e9 units, ties, huge and zero costs."""
    for seen, document in looked(definition, epochs):
        check(seen, document)


@pytest.mark.parametrize("successes", [(0, 1), (1, 0), (0.5, 0.5), (1, 1), (0, 0)])
@pytest.mark.parametrize("units", [(10**9, 1), (1, 10**9), (10**9, 10**9)])
def test_exact_intervals_hold_for_epochs_of_a_billion_units_beside_one(
    units: tuple[int, int], successes: tuple[float, float]
) -> None:
    """The nearest point of the null then lies so close to 0 that it was rounded to it, and divided by."""
    n = np.array([[1, 10**9], units, [10**9, 1]], dtype=np.float64)
    found = exact_interval(Blocks(n, np.round(n * successes)), mde=0.03)
    assert -1 <= found.low <= found.high <= 1
