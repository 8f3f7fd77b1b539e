"""Simulated experiments that run through the real tick and the real report, for the renderings to show."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.definition.decision import Decision
from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import Guardrail
from experiments.definition.objective import Objective
from experiments.definition.reward import Reward
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.latency import bucket
from experiments.evidence.units import COST, ERROR, PRIMARY, CellRow
from experiments.report.document import Report
from experiments.report.render import Subject, render
from experiments.verdict.progress import Progress
from experiments.verdict.tick import Standing, Tick, tick
from experiments.verdict.verdict import Kind

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Model:
    """How a simulated model answers."""

    name: str
    success: float
    cost_usd: float
    latency_ms: float = 800.0
    error: float = 0.005
    arrives: float = 1.0
    """Share of its units that reach the ledger; below 1 the sample ratio breaks."""
    answers_itself: float = 0.995
    feedback: float = 1.0


@dataclass(frozen=True)
class Plan:
    """One simulated experiment: its declaration, its models and how long it runs."""

    models: tuple[Model, ...]
    epochs: int = 40
    units_per_epoch: int = 500
    mode: str = "earn"
    objective: str = "reward_per_cost"
    reward_margin: float = 0.05
    mde: float = 0.05
    min_saving: float = 0.1
    min_days: float = 0.0
    max_units: int = 200_000
    name: str = "billing-cheaper"
    hypothesis: str = "a smaller model answers billing questions as well for a fraction of the cost"
    degraded: int = 0
    guardrails: tuple[Guardrail, ...] = (
        Guardrail(metric="error", max_increase=0.02),
        Guardrail(metric="cost_usd", max_ratio=1.5),
        Guardrail(metric="latency_p95_ms", max_ratio=1.5),
    )
    state: str = "running"
    ended_because: str = ""
    until: Kind | None = None
    """Stop at the first look with this verdict."""
    seed: int = 7

    def definition(self) -> Experiment:
        """The declaration."""
        return Experiment.model_validate(
            {
                "name": self.name,
                "task": "support/billing",
                "hypothesis": self.hypothesis,
                "candidates": tuple(model.name for model in self.models),
                "mode": self.mode,
                "reward": Reward(metric="resolved", window_ms=600_000),
                "objective": Objective.model_validate(
                    {"kind": self.objective, "reward_margin": self.reward_margin}
                ),
                "guardrails": self.guardrails,
                "decision": Decision(
                    mde=self.mde,
                    min_saving=self.min_saving,
                    min_days=self.min_days,
                    max_units=self.max_units,
                ),
            }
        )


@dataclass
class _Run:
    plan: Plan
    definition: Experiment
    random: np.random.Generator
    epochs: list[Epoch]
    cells: list[CellRow] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    dropped: dict[int, str] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        return gather(self.epochs, self.cells, len(self.plan.models))

    def look(self, now_ms: int) -> Tick:
        costs = tuple(model.cost_usd for model in self.plan.models)
        standing = Standing(7, START_MS, tuple(self.dropped), self.progress, costs, "2026-11")
        seen = tick(self.definition, self.evidence(), standing, now_ms)
        self.progress = seen.progress
        self.dropped |= dict(seen.dropped)
        return seen


def simulate(plan: Plan) -> Report:
    """Run the experiment epoch by epoch and render the report of the last look."""
    definition = plan.definition()
    shares = definition.starting_shares
    run = _Run(plan, definition, np.random.default_rng(plan.seed), [Epoch(7, 1, START_MS, shares)])
    if plan.degraded:
        run.epochs.insert(0, Epoch(7, 0, START_MS, shares, closed_at_ms=START_MS))
        run.cells.append(CellRow(0, 0, (0, 0, 0, 0, 0, 0, plan.degraded), {}))
    now_ms = START_MS + 1
    seen = run.look(now_ms)
    for _ in range(plan.epochs):
        _serve(run)
        now_ms += HOUR_MS
        seen = run.look(now_ms)
        _turn(run, seen)
        if plan.until is not None and seen.verdict.kind is plan.until:
            break
    ended = now_ms if plan.state not in ("running", "paused", "draft") else None
    subject = Subject(definition, plan.state, plan.ended_because, run.dropped, START_MS, ended)
    return render(subject, run.evidence(), seen, now_ms)


def _turn(run: _Run, seen: Tick) -> None:
    """Close the epoch and open the next one, as the planner's commit does."""
    if seen.next_epoch is not None:
        closed = run.epochs[-1]
        run.epochs[-1] = Epoch(
            7, closed.number, closed.opened_at_ms, closed.shares,
            closed.cost_series, closed.price_version, seen.next_epoch.opened_at_ms,
        )  # fmt: skip
        run.epochs.append(seen.next_epoch)


def _serve(run: _Run) -> None:
    """Give the open epoch another hour of units."""
    epoch = run.epochs[-1]
    sizes = run.random.multinomial(run.plan.units_per_epoch, epoch.shares)
    for arm, (model, size) in enumerate(zip(run.plan.models, sizes, strict=True)):
        count = int(run.random.binomial(size, model.arrives))
        if count:
            _add(run.cells, _cell(epoch.number, arm, model, count, run.random))


def _add(cells: list[CellRow], new: CellRow) -> None:
    """Merge a cell into the one of the same epoch and arm: cells are additive."""
    for index, old in enumerate(cells):
        if (old.epoch, old.arm) == (new.epoch, new.arm):
            counts = tuple(a + b for a, b in zip(old.counts, new.counts, strict=True))
            moments = {
                metric: tuple(a + b for a, b in zip(old.moments[metric], sums, strict=True))
                for metric, sums in new.moments.items()
            }
            latency = {
                key: old.latency.get(key, 0) + new.latency.get(key, 0) for key in {*old.latency, *new.latency}
            }
            cells[index] = CellRow(old.epoch, old.arm, counts, moments, latency)  # type: ignore[arg-type]  # zip forgets the length
            return
    cells.append(new)


def _cell(epoch: int, arm: int, model: Model, count: int, random: np.random.Generator) -> CellRow:
    """The sums of `count` single-request units."""
    errors = (random.random(count) < model.error).astype(float)
    rewards = (random.random(count) < model.success) * (1 - errors)
    costs = model.cost_usd * random.lognormal(-0.125, 0.5, count)
    rated = (random.random(count) < model.feedback) | (errors > 0)
    served = int(random.binomial(count, model.answers_itself))
    waits = model.latency_ms * random.lognormal(0.0, 0.4, count)
    latency: dict[int, int] = {}
    for wait in waits:
        latency[bucket(wait)] = latency.get(bucket(wait), 0) + 1
    return CellRow(
        epoch,
        arm,
        (count, count, served, int(errors.sum()), int(rated.sum()), 0, 0),
        {
            PRIMARY: _triangle(rewards[rated], costs[rated]),
            COST: _triangle(costs, costs),
            ERROR: _triangle(errors, costs),
        },
        latency,
    )


def _triangle(totals: NDArray[np.float64], costs: NDArray[np.float64]) -> tuple[float, ...]:
    ones, zeros = np.ones_like(totals), np.zeros_like(totals)
    z = np.stack([ones, ones, totals, costs, zeros])
    return tuple((z @ z.T)[np.triu_indices(5)].tolist())


SONNET = Model("sonnet", 0.86, 0.0121, 1900.0)
PLANS = {
    "promote": Plan(
        (
            SONNET,
            Model("haiku", 0.855, 0.00104, 620.0),
            Model("gemini-flash", 0.80, 0.00071, 540.0),
            Model("deepseek-v3", 0.845, 0.00196, 1450.0),
        ),
        epochs=80,
        until=Kind.PROMOTE,
    ),
    "keep_running": Plan((SONNET, Model("haiku", 0.84, 0.0104, 620.0)), epochs=8, min_saving=0.3),
    "not_ready": Plan((SONNET, Model("haiku", 0.85, 0.0011)), epochs=1, units_per_epoch=60),
    "roll_back": Plan(
        (SONNET, Model("tiny", 0.55, 0.0002), Model("mini", 0.60, 0.0004)), epochs=40, until=Kind.ROLL_BACK
    ),
    "unhealthy": Plan((SONNET, Model("haiku", 0.85, 0.0011, arrives=0.7)), epochs=12, degraded=140),
    "stop_futile": Plan(
        (SONNET, Model("opus", 0.86, 0.0118)),
        epochs=150, mode="ab", objective="cheapest_non_inferior", min_saving=0.3, guardrails=(),
        until=Kind.STOP_FUTILE,
    ),
    "needs_review": Plan(
        (SONNET, Model("haiku", 0.86, 0.0011, answers_itself=0.7)), epochs=60, until=Kind.NEEDS_REVIEW
    ),
    "inconclusive": Plan(
        (SONNET, Model("twin", 0.86, 0.0109)), epochs=60, max_units=9000, mode="ab",
        objective="cheapest_non_inferior", until=Kind.INCONCLUSIVE,
    ),
}  # fmt: skip
