"""Looks that know the final epochs as evidence that stays must see what looks without any memory see."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.units import CellRow
from experiments.inference import effects
from experiments.verdict.tick import Tick, tick
from router.steering.reading import CellCache, read_evidence
from tests.experiments.looks import WINDOW_MS, Arm, Trial, experiment

KINDS = {
    "reward_per_cost": {"objective": {"kind": "reward_per_cost"}},
    "learn": {"mode": "learn", "objective": {"kind": "reward"}},
    "budget": {"objective": {"kind": "budget", "budget_usd": 0.009}},
    "net_value": {"objective": {"kind": "net_value", "value_usd": 0.05}},
    "strict": {"objective": {"kind": "reward"}, "decision": {"read_out": "strict"}},
    "silence": {"objective": {"kind": "cheapest_non_inferior"}, "reward": {"missing": 0.0}},
    "floor": {"mode": "ab", "objective": {"kind": "reward", "min_reward": 0.4}},
    "guarded": {
        "reward": {"window": "6h"},
        "guardrails": [
            {"metric": "error", "max_increase": 0.05},
            {"metric": "cost_usd", "max_ratio": 1.5},
            {"metric": "latency_p95_ms", "max_ratio": 1.5},
            {"metric": "thumbs", "range": [0, 1], "max_decrease": 0.1},
        ],
    },
}


class Grown:
    """A trial's rows as a store, read as the planner reads them: what is final stays, what is young is read again."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._cache = CellCache()

    def epochs(self, experiment_id: int) -> list[Epoch]:
        """All of them, the open one too."""
        return list(self._trial.evidence().epochs)

    def cells(self, experiment_id: int, first: int = 0) -> list[CellRow]:
        """Rows of the epochs from `first` on."""
        return [row for row in self._trial.rows if row.epoch >= first]

    def look(self, now_ms: int) -> Evidence:
        """All that is known, with its head."""
        return read_evidence(
            self, SimpleNamespace(id=1, definition=self._trial.definition), now_ms, self._cache
        )


def close(one: object, other: object) -> bool:
    """Equality up to rounding, through records and tuples."""
    if isinstance(one, Evidence):
        return one.epochs == other.epochs
    if is_dataclass(one) and not isinstance(one, type):
        names = [each.name for each in fields(one) if each.compare]
        return type(one) is type(other) and all(close(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(close(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12, nan_ok=False)
    return one == other


def served(random: np.random.Generator, rate: float, cost_usd: float) -> Arm:
    """One arm's epoch, with a little of everything that may happen."""
    units = 100
    rated = units - int(random.binomial(units, 0.1))
    return Arm(
        units, int(random.binomial(rated, rate)), cost_usd, errors=int(random.binomial(units, 0.03)), rated=rated,
        costed=units - int(random.binomial(units, 0.02)), latency={100: units // 2, 110: units - units // 2},
        reported={"thumbs": (rated, int(random.binomial(rated, 0.5)))},
    )  # fmt: skip


def run(
    settings: dict, arms: tuple[tuple[float, float], ...], epochs: int, seed: int
) -> list[tuple[Tick, Tick]]:
    """Looks with and without memory, several to each epoch, before and after it is final."""
    definition = experiment(*[f"m{arm}" for arm in range(len(arms))], **settings)
    random, trial = np.random.default_rng(seed), Trial(definition)
    grown = Grown(trial)
    found = []
    for number in range(1, epochs + 1):
        trial.epoch(*(served(random, *arm) for arm in arms), series=int(number > epochs // 2))
        for later_ms in (1_000, WINDOW_MS // 2, WINDOW_MS + 5_000, 2 * WINDOW_MS, 2 * WINDOW_MS + 1_000):
            now_ms = trial.now_ms + later_ms
            seen = grown.look(now_ms)
            once = tick(definition, seen, trial.standing(), now_ms)
            fresh = tick(definition, replace(seen), trial.standing(), now_ms)
            found.append((once, fresh))
        trial.progress = fresh.progress
        trial.dropped |= dict(fresh.dropped)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_with_final_epochs_changes_no_look(kind: str) -> None:
    """Prices change half-way and a candidate is dropped on the way."""
    looks = run(KINDS[kind], ((0.7, 0.01), (0.72, 0.008), (0.5, 0.004)), 10, seed=3)
    for once, fresh in looks:
        for each in fields(Tick):
            assert close(getattr(once, each.name), getattr(fresh, each.name)), each.name
    assert any(once.dropped for once, _ in looks)
    assert any(once.next_epoch is not None for once, _ in looks)


def test_between_two_closings_no_difference_is_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planners look every second; epochs mature every few minutes."""
    counted = list[int]()
    honest = effects.mean_differences

    def counting(*given, **named):
        counted.append(1)
        return honest(*given, **named)

    monkeypatch.setattr(effects, "mean_differences", counting)
    definition = experiment(objective={"kind": "reward"})
    trial = Trial(definition).epochs_of(5, Arm(500, 400), Arm(500, 390))
    grown = Grown(trial)

    def look(later_ms: int) -> int:
        counted.clear()
        now_ms = trial.now_ms + later_ms
        tick(definition, grown.look(now_ms), trial.standing(), now_ms)
        return len(counted)

    assert look(2 * WINDOW_MS) > 0
    assert look(2 * WINDOW_MS + 1_000) == 0
    trial.epoch(Arm(500, 400), Arm(500, 380))
    assert look(2 * WINDOW_MS) > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda evidence: replace(evidence, degraded=(1, 2)),
        lambda evidence: evidence.where(np.arange(len(evidence.epochs)) % 2 == 0),
        lambda evidence: evidence.first(2),
        lambda evidence: evidence.followed_by(gather([], [], 2)),
    ],
)
def test_evidence_made_of_evidence_that_stays_remembers_nothing(
    change: Callable[[Evidence], Evidence],
) -> None:
    """What was read of one must never be said of another."""
    trial = Trial(experiment()).epochs_of(5, Arm(500, 400), Arm(500, 390))
    stays = trial.evidence().lasting()
    assert [stays.once("x", (), number.copy) for number in ([1], [2])] == [[1], [1]]
    assert stays.once("x", ("other",), lambda: 3) == 3
    known = change(stays.beginning_with(stays))
    assert known.head is None
    assert [known.once("x", (), number.copy) for number in ([1], [2])] == [[1], [2]]
