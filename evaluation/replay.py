"""Replay: recorded outcomes through the real engine and planner, with the clock injected.

Each category is one experiment in a store of its own. A prompt arrives every second, the model that the
engine decides for gives its recorded outcome, and the planner looks whenever an epoch may close.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.recorded import Category, Floats, plain_name
from experiments.definition.experiment import Experiment
from experiments.definition.reward import Reward
from experiments.evidence.epochs import GRACE_MS, LONGEST_MS, smallest_size
from experiments.report.document import Report
from router.applying.plan import apply
from router.config.document import Document
from router.config.model import Model
from router.config.price import Price
from router.config.task import Task
from router.deciding.choose import RouteRequest
from router.deciding.decision_id import Signer, SigningKey
from router.engine import Engine
from router.recording.feedback import FeedbackItem
from router.steering.control import Control
from router.steering.look import render_report
from router.steering.planner import Planner
from storage.memory.store import MemoryStore

START_MS = 1_700_000_000_000
STEP_MS = 1_000
"""Time between two prompts."""
WINDOW_MS = 1_000
ACTOR = "replay"
_NO_UPSTREAM = "http://recorded.invalid/v1"
_FEWEST_PLANNED = 200_000
_SIGNER = Signer(SigningKey(0, b"recorded outcomes need no secret"))


@dataclass(frozen=True)
class Settings:
    """What a replay compares, and by which rules."""

    candidates: tuple[str, ...]
    """The control first."""
    mode: str = "earn"
    objective: str = "reward_per_cost"
    margin: float = 0.05
    alpha: float = 0.05
    mde: float = 0.03
    min_saving: float = 0.1
    repeat: int = 1
    """Passes over the prompts, each in a new order."""
    seed: int = 1


@dataclass(frozen=True)
class Replayed:
    """What became of one category's experiment."""

    category: str
    served: tuple[int, ...]
    """Prompts served by each model, in the order of the recording."""
    reward: float
    """Mean of the served outcomes."""
    cost_usd: float
    """Mean of the served outcomes."""
    state: str
    """Of the experiment at the end."""
    report: Report

    @property
    def requests(self) -> int:
        """Prompts served, repeats counted."""
        return sum(self.served)


def definition_of(category: Category, settings: Settings) -> Experiment:
    """The experiment that a category is replayed as; raises ValueError for a rule out of its bounds."""
    name = plain_name(category.name)
    return Experiment.model_validate(
        {
            "name": name,
            "task": name,
            "hypothesis": f"another model serves {name} better than {settings.candidates[0]}",
            "candidates": settings.candidates,
            "mode": settings.mode,
            "reward": Reward(kind="binary" if category.binary else "score", window_ms=WINDOW_MS),
            "objective": {"kind": settings.objective, "reward_margin": settings.margin},
            "decision": {
                "alpha": settings.alpha,
                "mde": settings.mde,
                "min_saving": settings.min_saving,
                "max_units": max(_FEWEST_PLANNED, 2 * settings.repeat * len(category.prompts)),
                "holdback": 0.0,
            },
        }
    )


def replay(
    category: Category,
    models: Sequence[str],
    usd_per_mtok: Sequence[float],
    settings: Settings,
    advance: Callable[[int], object] = int,
) -> Replayed:
    """Run one category; `advance` hears how many prompts were served since it was last called."""
    run = _Run(category, models, usd_per_mtok, settings)
    try:
        order = np.random.default_rng([settings.seed, len(category.prompts)])
        for _ in range(settings.repeat):
            for prompts in _portions(order.permutation(len(category.prompts)).tolist(), run.portion):
                run.serve(prompts)
                advance(len(prompts))
        return run.finish()
    finally:
        run.close()


def _portions(prompts: list[int], size: int) -> list[list[int]]:
    return [prompts[start : start + size] for start in range(0, len(prompts), size)]


class _Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class _Run:
    """One category's store, engine and planner."""

    def __init__(
        self, category: Category, models: Sequence[str], usd_per_mtok: Sequence[float], settings: Settings
    ) -> None:
        self._category = category
        self._columns = {model: column for column, model in enumerate(models)}
        self._clock = _Clock()
        self._store = MemoryStore()
        self._definition = definition_of(category, settings)
        apply(self._store, _document(self._definition, self._columns, usd_per_mtok), self._clock, ACTOR)
        control = Control(self._store, self._clock)
        control.create(self._definition, ACTOR)
        control.start(self._definition.name, ACTOR)
        self._engine = Engine(self._store, _SIGNER, clock=self._clock, follow=False, behind=False)
        self._planner = Planner(self._store, ACTOR, self._clock)
        self._request = RouteRequest(task=self._definition.task)
        self._served: Floats = np.zeros((len(models), 3))
        self.portion = smallest_size(len(settings.candidates), 1)
        """Prompts between two looks: what an epoch needs to close."""

    def serve(self, prompts: Sequence[int]) -> None:
        """Route each prompt, report its outcome, then let the planner look."""
        for prompt in prompts:
            self._clock.now_ms += STEP_MS
            decision = self._engine.route(self._request)
            column = self._columns[decision.model]
            reward = float(self._category.reward[prompt, column])
            cost_usd = float(self._category.cost_usd[prompt, column])
            self._engine.give_feedback(
                [FeedbackItem(decision_id=decision.id, value=reward, cost_usd=cost_usd)]
            )
            self._served[column] += (1.0, reward, cost_usd)
        self._look()

    def finish(self) -> Replayed:
        """Let the open epoch end and mature, so that the last look reads every outcome."""
        self._clock.now_ms += LONGEST_MS
        self._look()
        self._clock.now_ms += WINDOW_MS + GRACE_MS
        self._look()
        body = render_report(self._store, self._definition.name, self._clock())
        row = Control(self._store, self._clock).experiment(self._definition.name)
        requests, reward, cost_usd = self._served.sum(axis=0).tolist()
        return Replayed(
            category=self._category.name,
            served=tuple(int(count) for count in self._served[:, 0]),
            reward=reward / requests,
            cost_usd=cost_usd / requests,
            state=row.state,
            report=Report.model_validate_json(body),
        )

    def close(self) -> None:
        """End the engine's threads."""
        self._engine.close()
        self._store.close()

    def _look(self) -> None:
        self._engine.recorder.flush()
        self._planner.run_once()
        self._engine.refresh()


def _document(definition: Experiment, models: dict[str, int], usd_per_mtok: Sequence[float]) -> Document:
    """A configuration whose models are never called; their prices are those of the recording."""
    declared = {
        model: Model(
            base_url=_NO_UPSTREAM, price=Price(input=usd_per_mtok[column], output=usd_per_mtok[column])
        )
        for model, column in models.items()
    }
    return Document(
        models=declared, default=definition.control, tasks={definition.task: Task(default=definition.control)}
    )
