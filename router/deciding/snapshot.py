"""The snapshot: the one immutable object that every decision reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.definition.assignment import cumulative
from experiments.definition.experiment import Experiment, Unit
from experiments.definition.lifecycle import LIVE, ExperimentState
from experiments.definition.names import ancestors
from experiments.evidence.epochs import Epoch
from router.config.document import Document
from router.config.model import Model
from router.config.prices import ListPrice, list_price
from router.deciding.classified import asks, judge_of
from router.deciding.conditional import Conditional
from router.deciding.policy import PolicyRoute, laid_out
from router.deciding.tasks import DEFAULT_TASK, TaskRules
from storage.records import ExperimentRow, RouteRow, State

MOST_ENDED = 2
"""Ended experiments of a task whose conversations are kept: a promoted one and its holdback."""


@dataclass(frozen=True, slots=True)
class ExperimentRoute:
    """A running or paused experiment, laid out for the choice."""

    id: int
    name: str
    paused: bool
    unit: Unit
    sticky: bool
    candidates: tuple[str, ...]
    dropped: frozenset[int]
    salt: str
    traffic: float
    epoch: int
    shares: tuple[float, ...]
    boundaries: tuple[float, ...]
    configured: tuple[float, ...]
    """Shares of epoch 0, used when the snapshot is too old to trust."""
    configured_boundaries: tuple[float, ...]
    copies: tuple[int, ...] = ()
    """Arms that answer copies of what the control serves, in mode shadow."""


@dataclass(frozen=True, slots=True)
class EndedRoute:
    """An ended experiment whose open conversations may still keep their models."""

    id: int
    ended_at_ms: int
    models: tuple[str | None, ...]
    """By arm; None where the model is not declared any more."""
    dropped: frozenset[int]


@dataclass(frozen=True, slots=True)
class TaskRoute:
    """How one task is served."""

    task: str
    champion: str
    fallbacks: tuple[str, ...]
    timeout_s: float
    experiment: ExperimentRoute | None
    ended: tuple[EndedRoute, ...] = ()
    """Its newest ended conversation experiments, the newest first."""
    max_cost_usd: float | None = None
    """Most that one request may cost by the price list."""
    ceiling_of: str = ""
    """Task that states it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decisions need, built whole and never changed."""

    version: int
    tasks: Mapping[str, TaskRoute]
    default: TaskRoute
    rules: TaskRules
    models: Mapping[str, Model]
    tiers: Mapping[int, tuple[str, ...]]
    """Models by tier, in the order of the file."""
    tier_of: Mapping[str, int]
    """Tier of each model, 0 where it has none."""
    prices: Mapping[str, ListPrice | None]
    """By model; looked up beforehand, so that no request waits for it."""
    conditional: Conditional
    policies: Mapping[str, PolicyRoute]
    asks_policies: bool
    """Whether a policy is a server that must be asked before the choice."""
    reads_text: bool
    """Whether a request's text must be found in its body: a rule, a classifier or a policy reads it."""
    screens: bool
    """Whether what a request asks of a model must be looked at: a model, a rule, a ceiling or a policy does."""
    definitions: Mapping[int, Experiment]
    """Definitions of all experiments by id, ended ones too: feedback is checked against them."""
    state: State
    document: Document


def build_snapshot(state: State) -> Snapshot:
    """Lay out a State for decisions. The configuration must be there and valid."""
    if state.config is None:
        raise ValueError("the store holds no configuration yet: apply one first")
    document = Document.model_validate_json(state.config.body)
    champions = {route.task: route for route in state.routes}
    epochs = {epoch.experiment_id: epoch for epoch in state.epochs}
    live = {
        row.definition.task: _experiment(row, epochs[row.id], document)
        for row in state.experiments
        if row.state in LIVE and row.id in epochs
    }
    ended = _ended(state, document)
    tasks = {
        task: _task(task, document, champions, live.get(task), ended.get(task, ())) for task in document.tasks
    }
    tiers: dict[int, tuple[str, ...]] = {}
    for name, model in document.models.items():
        if model.tier is not None:
            tiers[model.tier] = (*tiers.get(model.tier, ()), name)
    conditional = Conditional(document.routes)
    matches = {task: settings.match for task, settings in document.tasks.items() if settings.match}
    policies = laid_out(document.policies)
    asks_policies = any(policy.rules is None for policy in policies.values())
    rules = TaskRules(
        tuple(document.tasks),
        matches,
        judge_of(document.classifier, tuple(document.tasks)),
        asks(document),
    )
    return Snapshot(
        version=state.version,
        tasks=tasks,
        default=_task(DEFAULT_TASK, document, champions, None),
        rules=rules,
        models=document.models,
        tiers=tiers,
        tier_of={name: model.tier or 0 for name, model in document.models.items()},
        prices={name: list_price(name, model) for name, model in document.models.items()},
        conditional=conditional,
        policies=policies,
        asks_policies=asks_policies,
        reads_text=rules.reads_text or asks_policies,
        screens=conditional.counts_tokens
        or any(policy.rules is None or policy.rules.counts_tokens for policy in policies.values())
        or any(map(_is_bounded, document.models.values()))
        or any(task.max_cost_usd is not None for task in document.tasks.values()),
        definitions={row.id: row.definition for row in state.experiments},
        state=state,
        document=document,
    )


def _is_bounded(model: Model) -> bool:
    """Whether the body of a request can ask for more than the model declares."""
    sized = model.context_tokens is not None or model.max_output_tokens is not None
    return sized or False in (model.tools, model.vision, model.audio, model.json_mode)


def champion_of(task: str, document: Document, champions: Mapping[str, RouteRow]) -> str:
    """Who serves a task outside experiments: its own champion, else a parent's, else the default's."""
    for name in (*(ancestors(task) if task != DEFAULT_TASK else ()), DEFAULT_TASK):
        row = champions.get(name)
        if row is not None and document.serves(row.model):
            return row.model
    return document.default


def _task(
    task: str, document: Document, champions: Mapping[str, RouteRow], experiment: ExperimentRoute | None,
    ended: tuple[EndedRoute, ...] = (),
) -> TaskRoute:  # fmt: skip
    champion = champion_of(task, document, champions)
    fallbacks, timeout_s = document.fallbacks, document.timeout_s
    most_usd, ceiling_of = ceiling(task, document)
    for name in reversed(ancestors(task)):
        settings = document.tasks.get(name)
        if settings is not None:
            fallbacks = fallbacks if settings.fallbacks is None else settings.fallbacks
            timeout_s = timeout_s if settings.total_s is None else settings.total_s
    return TaskRoute(task, champion, fallbacks, timeout_s, experiment, ended, most_usd, ceiling_of)


def ceiling(task: str, document: Document) -> tuple[float | None, str]:
    """Most that one request of a task may cost, and the nearest task that states it: itself or a parent."""
    for name in ancestors(task) if task != DEFAULT_TASK else ():
        settings = document.tasks.get(name)
        if settings is not None and settings.max_cost_usd is not None:
            return settings.max_cost_usd, name
    return None, ""


def _ended(state: State, document: Document) -> dict[str, tuple[EndedRoute, ...]]:
    """The newest ended conversation experiments of each task."""
    found: dict[str, tuple[EndedRoute, ...]] = {}
    rows = [row for row in state.experiments if row.ended_at_ms is not None and row.started_at_ms is not None]
    for row in sorted(rows, key=lambda row: row.ended_at_ms or 0, reverse=True):
        before = found.get(row.definition.task, ())
        if row.definition.unit == "conversation" and len(before) < MOST_ENDED:
            models = tuple(name if document.serves(name) else None for name in row.definition.candidates)
            ended = EndedRoute(row.id, row.ended_at_ms or 0, models, frozenset(row.dropped))
            found[row.definition.task] = (*before, ended)
    return found


def _copies(row: ExperimentRow, document: Document) -> tuple[int, ...]:
    """Arms that answer copies: models only, whatever a later configuration calls by their names."""
    if row.definition.mode != "shadow":
        return ()
    named = enumerate(row.definition.candidates)
    return tuple(arm for arm, name in named if arm and arm not in row.dropped and name in document.models)


def _experiment(row: ExperimentRow, epoch: Epoch, document: Document) -> ExperimentRoute:
    definition = row.definition
    return ExperimentRoute(
        id=row.id,
        name=row.name,
        paused=row.state is not ExperimentState.RUNNING or epoch.closed_at_ms is not None,
        unit=definition.unit,
        sticky=definition.unit != "request",
        candidates=definition.candidates,
        dropped=frozenset(row.dropped),
        salt=row.salt,
        traffic=definition.traffic,
        epoch=epoch.number,
        shares=epoch.shares,
        boundaries=cumulative(epoch.shares),
        configured=definition.starting_shares,
        configured_boundaries=cumulative(definition.starting_shares),
        copies=_copies(row, document),
    )
