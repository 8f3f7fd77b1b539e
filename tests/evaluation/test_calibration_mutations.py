"""Mutations: each error that the statistics guard against, put into production's own code, fails a short calibration.

Were calibration a copy of the tick, or blind to what a function is there for, its mutation would not show.
"""

from collections.abc import Callable

import numpy as np
import pytest

from bandit import allocation
from bandit.cells import Cells
from evaluation.calibration.bars import bars
from evaluation.calibration.nulls import late
from evaluation.calibration.outcomes import Nature
from evaluation.calibration.run import Plan, calibrate
from evaluation.calibration.scenarios import Scenario, at_margin, declared, flat, rise
from evaluation.calibration.trials import Trial, trials
from experiments.evidence.epochs import NEVER
from experiments.evidence.evidence import Evidence
from experiments.inference import effects
from experiments.inference.sequence import Sequence
from experiments.verdict import comparison, guards

pytestmark = pytest.mark.statistical

RUNS, EPOCHS = 14, 14
Patch = pytest.MonkeyPatch


def at_the_margin() -> Scenario:
    """A candidate exactly at the margin at a tenth of the cost."""
    return at_margin("boundary", "margin", flat(0.8, EPOCHS), RUNS)


def climbing() -> Scenario:
    """The same while everybody gets better."""
    return at_margin("ramp", "ramp", rise(0.35, 0.95, 20), 2 * RUNS)


def many() -> Scenario:
    """Nineteen candidates whose comparisons share little: half of the traffic is the control's."""
    declares = {
        "mode": "ab", "shares": (0.5, *(0.5 / 19,) * 19), "objective": {"kind": "reward"}, "decision": {"mde": 0.1}
    }  # fmt: skip
    return at_margin("many", "many", flat(0.6, 10), 20, arms=20, units=4_000, declares=declares)


def erring() -> Scenario:
    """Errors exactly at the guardrail's bound."""
    return Scenario(
        "error", "error", "null", declared(guardrails=[{"metric": "error", "max_increase": 0.02}]), flat(0.8, EPOCHS),
        (0.0, 0.0), (0.01, 0.01), RUNS, 800, question="guardrail", truth=0.02, nature=Nature(error_rates=(0.02, 0.04)),
    )  # fmt: skip


def free_of_alpha(patch: Patch) -> None:
    """alpha not divided among the candidates."""
    patch.setattr(comparison, "level", lambda definition: definition.decision.alpha)


def pooled(patch: Patch) -> None:
    """Pooled means instead of stratified ones."""
    honest = effects.mean_differences

    def together(cells, *rest, **named):
        return honest(Cells(cells.sums.sum(axis=0, keepdims=True)), *rest, **named)

    patch.setattr(effects, "mean_differences", together)


def impatient(patch: Patch) -> None:
    """Epochs are read before their outcomes are in."""
    patch.setattr(Evidence, "final", lambda self, definition, now_ms: self.closed_at_ms < NEVER)


def generous(patch: Patch) -> None:
    """The margin with the wrong sign: "not worse" would mean "not worse by more than three margins"."""
    honest = Sequence.bounds
    patch.setattr(
        Sequence, "bounds", lambda self, seen: (honest(self, seen)[0] + 2 * self.mde, honest(self, seen)[1])
    )


def narrow(patch: Patch) -> None:
    """A one-sided margin that is too small."""
    honest = Sequence.margin_one_sided
    patch.setattr(Sequence, "margin_one_sided", lambda self, seen: 0.4 * honest(self, seen))


def narrow_interval(patch: Patch) -> None:
    """A two-sided margin that is too small."""
    honest = Sequence.margin
    patch.setattr(Sequence, "margin", lambda self, seen: 0.5 * honest(self, seen))


def loose_guard(patch: Patch) -> None:
    """A guardrail that is kept at twice its bound."""
    patch.setattr(guards.GuardrailEffect, "kept", property(lambda self: self.upper < 2 * self.bound))


CASES: dict[str, tuple[Callable[[Patch], None], Callable[[], Scenario], str]] = {
    "alpha": (free_of_alpha, many, "interval misses at some look"),
    "pooled": (pooled, climbing, "wrong promotion"),
    "maturity": (impatient, lambda: late(RUNS, 18), "wrong promotion"),
    "margin": (generous, at_the_margin, "wrong promotion"),
    "narrow": (narrow, at_the_margin, "wrong promotion"),
    "interval": (narrow_interval, at_the_margin, "interval misses at some look"),
    "guard": (loose_guard, erring, "guardrail wrongly kept"),
}


def missed(*scenarios: Scenario, runs: tuple[Trial, ...] = ()) -> set[str]:
    """The bars that are refuted."""
    return {bar.name for bar in bars(calibrate(Plan(scenarios, trials=runs, seed=5))) if bar.missed}


@pytest.mark.parametrize("name", CASES)
def test_a_mutation_of_the_statistics_fails_the_calibration(monkeypatch: Patch, name: str) -> None:
    """Every one of them fails the bar that is there for it."""
    mutate, world, bar = CASES[name]
    scenario = world()
    mutate(monkeypatch)
    assert f"{scenario.title}: {bar}" in missed(scenario)


@pytest.mark.parametrize("world", dict.fromkeys(case[1] for case in CASES.values()))
def test_without_a_mutation_the_same_worlds_meet_their_bars(world: Callable[[], Scenario]) -> None:
    """Else the test above would show nothing."""
    assert missed(world()) == set()


def test_floors_that_ignore_costs_fail_the_calibration(monkeypatch: Patch) -> None:
    """Flat floors over costs of 1 to 60 spend most of the money on exploration."""
    costly = next(trial for trial in trials(2) if trial.name == "open")
    bar = f"{costly.title}: part of the oracle missed"
    assert missed(runs=(costly,)) == set()
    monkeypatch.setattr(
        allocation, "open_floors", lambda costs_usd, live, control, phi: np.where(live, 0.4 / live.sum(), 0.0)
    )
    assert missed(runs=(costly,)) == {bar}
