"""The choice: which model serves a request, and why.

Two pure steps, so that a sticky unit can be looked up between them: `place` finds task, hint, experiment
and unit; `choose` turns the placement into a decision. Neither locks, waits or computes with arrays.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal

from experiments.definition.assignment import arm_at, copying_arm, position
from experiments.definition.experiment import Unit
from experiments.evidence.record import record
from router.classifying.guess import Guess
from router.config.conditions import Rule
from router.deciding.conditional import Said
from router.deciding.decision_id import Signer, request_unit, unit_digest
from router.deciding.eligibility import Narrowed, check_able, first_able
from router.deciding.needs import Needs, counted, within_ceiling
from router.deciding.snapshot import ExperimentRoute, Snapshot, TaskRoute
from router.deciding.tasks import DEFAULT_TASK, UNROUTED, Found, TaskReason
from router.errors import InvalidRequest
from storage.records import Assignment, DecisionRow

Reason = Literal[
    "experiment",
    "held",
    "champion",
    "outside",
    "no_unit",
    "dropped",
    "paused",
    "kept",
    "override",
    "tier",
    "routed",
    "ineligible",
    "unrouted",
    "shadow",
]
EXPLANATIONS: Mapping[Reason, str] = {
    "experiment": "the experiment's current shares assigned this candidate",
    "held": "the unit keeps the candidate it was assigned first",
    "champion": "the task runs no experiment; its champion serves",
    "outside": "the unit lies outside the experiment's traffic; the champion serves",
    "no_unit": "the request names no unit (user, session, trace or x-pointsman-unit); the champion serves",
    "dropped": "the unit's candidate was dropped; the champion serves",
    "paused": "the experiment is paused; the champion serves",
    "kept": "the experiment has ended; an open conversation keeps its model until it is idle for a day",
    "override": "the caller asked for this model; experiments are left out",
    "tier": "the caller asked for this tier; experiments are left out",
    "routed": "a conditional route names this model or its tier; experiments are left out",
    "ineligible": "not every model of the task can serve what is asked; one that can serves, outside experiments",
    "unrouted": "no rule names a task; the default serves",
    "shadow": "a copy of a request that the control serves; its answer is compared and thrown away",
}
NO_EXPERIMENT = bytes(16)


@record(frozen=True, slots=True)
class RouteRequest:
    """What a choice may depend on; everything comes from the caller."""

    task: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    unit: str | None = None
    session: str | None = None
    user: str | None = None
    override: str | None = None
    tier: int | None = None
    covariate: float | None = None
    """A number known about the unit beforehand (router.deciding.covariate)."""
    needs: Needs | None = None
    """What the request asks of the model; None where that is nothing, or was not looked at."""
    trace: str | None = None
    """Workflow or trace that the request is part of."""
    explain: bool = False
    """Whether the caller wants to read everything that was considered."""


@record(frozen=True, slots=True)
class Placement:
    """Task, hint, experiment and unit of a request: all of the choice that needs no look-up."""

    route: TaskRoute
    found: Found
    model: str
    """Model that serves if the experiment does not decide."""
    reason: Reason
    experiment: ExperimentRoute | None = None
    unit: str = ""
    """Name of a sticky unit; "" for the request itself."""
    digest: bytes = NO_EXPERIMENT
    covariate: float | None = None
    why: str = ""
    """What explains the reason further."""


@record(frozen=True, slots=True)
class Copy:
    """The copy of a request that its caller may make, in mode shadow."""

    id: str
    """Decision id for the copy's feedback."""
    model: str
    """The model to ask the same."""
    candidate: str


@record(frozen=True, slots=True)
class Decision:
    """One routing choice, with everything that explains it."""

    id: str
    number: int
    model: str
    task: str
    task_reason: TaskReason
    reason: Reason
    fallbacks: tuple[str, ...]
    timeout_s: float
    propensity: float = 1.0
    experiment: str | None = None
    candidate: str | None = None
    experiment_id: int = 0
    epoch: int = 0
    arm: int = 0
    unit: bytes = NO_EXPERIMENT
    degraded: bool = False
    covariate: float | None = None
    confidence: float | None = None
    """Of the classifier in the task, where one was asked."""
    label: str = ""
    """What the ledger keeps of the classifier's word."""
    why: str = ""
    """What explains the reason further, as which model lacks what."""
    copy_to: int = 0
    """Arm that answers a copy of the request in the background (mode shadow); 0 for none."""
    copy: Copy | None = None
    """What a caller that calls models itself may ask as well: it discards that answer, and reports both calls."""

    @property
    def explanation(self) -> str:
        """The reason in a sentence."""
        if self.reason == "unrouted":
            return f"{UNROUTED.get(self.task_reason, 'nothing names a task')}; the default serves"
        return EXPLANATIONS[self.reason] + (f": {self.why}" if self.why else "")

    def row(self) -> DecisionRow:
        """The decision as the ledger keeps it."""
        return DecisionRow(
            self.number, self.experiment_id, self.epoch, self.arm, self.unit, self.task, self.model, self.reason,
            self.propensity, self.degraded, self.covariate, self.label or self.task_reason,
        )  # fmt: skip


def place(snapshot: Snapshot, request: RouteRequest, guess: Guess | None = None) -> Placement:
    """Find task, hint, experiment and unit; raises InvalidRequest for a model or tier that is not declared.

    `guess` is what a classifier elsewhere said of the text.
    """
    if request.needs is not None or snapshot.screens:
        request = looked_at(snapshot, request)
    named = request.override is not None
    ruled = ruled_task(snapshot, request)
    found = snapshot.rules.find(
        ruled or request.task, request.metadata, request.text, guess, classify=not named
    )
    if ruled is not None:
        found = Found(found.task, "routed")
    route = snapshot.tasks.get(found.task, snapshot.default)
    if route.max_cost_usd is not None:
        request = replace(request, needs=under_ceiling(route, request.needs))
    if request.override is not None:
        return Placement(route, found, _declared(snapshot, request.override, request.needs), "override")
    if request.tier is not None:
        return _of_tier(snapshot, route, found, request.tier, request.needs, "tier")
    if snapshot.conditional.any_served:
        rule = snapshot.conditional.served(Said(request.metadata, request.needs), found.task)
        if rule is not None:
            return _routed(snapshot, route, found, rule, request.needs)
    if route.experiment is None or found.reason == "ancestor":
        return _champion(snapshot, route, found, request.needs)
    if request.needs is not None:
        return _screened(snapshot, route, found, route.experiment, request, request.needs)
    return _enter(route, found, route.experiment, request)


def looked_at(snapshot: Snapshot, request: RouteRequest) -> RouteRequest:
    """The request with its length, where somebody asks for it and nobody counted."""
    needs = request.needs
    if needs is None:
        return replace(request, needs=counted(None, request.text)) if snapshot.screens else request
    wanted = snapshot.screens or needs.max_cost_usd is not None
    return replace(request, needs=counted(needs, request.text)) if wanted else request


def under_ceiling(route: TaskRoute, needs: Needs | None) -> Needs | None:
    """What is asked of the models of a route: the request's needs, under the task's own ceiling."""
    return within_ceiling(needs, route.max_cost_usd, route.ceiling_of)


def ruled_task(snapshot: Snapshot, request: RouteRequest) -> str | None:
    """The task that a conditional route names for a request that names none itself."""
    if request.task is not None or not snapshot.conditional.any_task:
        return None
    return snapshot.conditional.task(Said(request.metadata, request.needs))


def _champion(snapshot: Snapshot, route: TaskRoute, found: Found, needs: Needs | None) -> Placement:
    """Outside every experiment."""
    reason: Reason = "unrouted" if found.task == DEFAULT_TASK else "champion"
    if needs is None:
        return Placement(route, found, route.champion, reason)
    route = replace(route, experiment=None)
    return _served(Narrowed(route, snapshot.models, snapshot.prices, needs), route, found, reason)


def _screened(
    snapshot: Snapshot, route: TaskRoute, found: Found, experiment: ExperimentRoute, request: RouteRequest,
    needs: Needs,
) -> Placement:  # fmt: skip
    """At the door of an experiment, unless one of its candidates could not serve the request."""
    narrowed = Narrowed(route, snapshot.models, snapshot.prices, needs)
    if narrowed.route.experiment is None or (experiment.paused and route.champion in narrowed.lacks):
        return _served(narrowed, route, found, "ineligible")
    return _enter(narrowed.route, found, experiment, request)


def _routed(snapshot: Snapshot, route: TaskRoute, found: Found, rule: Rule, needs: Needs | None) -> Placement:
    """As a conditional route says."""
    if rule.tier is not None:
        return _of_tier(snapshot, route, found, rule.tier, needs, "routed")
    assert rule.model is not None
    fallbacks = tuple(name for name in route.fallbacks if name != rule.model)
    route = replace(route, champion=rule.model, fallbacks=fallbacks, experiment=None, ended=())
    if needs is None:
        return Placement(route, found, rule.model, "routed")
    return _served(Narrowed(route, snapshot.models, snapshot.prices, needs), route, found, "routed")


def _served(narrowed: Narrowed, route: TaskRoute, found: Found, reason: Reason) -> Placement:
    """By the first model that is able; `reason` holds where nothing kept the request from its way."""
    why = narrowed.why(route)
    return Placement(narrowed.route, found, narrowed.route.champion, "ineligible" if why else reason, why=why)


def _enter(route: TaskRoute, found: Found, experiment: ExperimentRoute, request: RouteRequest) -> Placement:
    """Place a request at the door of its task's experiment."""
    if experiment.paused:
        return Placement(route, found, route.champion, "paused")
    if not experiment.sticky:
        return Placement(route, found, route.champion, "experiment", experiment, covariate=request.covariate)
    unit = request.unit or _unit_named(experiment.unit, request)
    if not unit:
        return Placement(route, found, route.champion, "no_unit")
    return Placement(
        route, found, route.champion, "experiment", experiment, unit, unit_digest(unit), request.covariate
    )  # fmt: skip


def _unit_named(kind: Unit, request: RouteRequest) -> str | None:
    """The request's unit of a kind."""
    if kind == "user":
        return request.user
    return request.trace if kind == "trace" else request.session


def choose(
    placement: Placement, number: int, signer: Signer, held: Assignment | None = None, degraded: bool = False
) -> Decision:
    """Decide under the frozen shares; `held` is the sticky unit's first assignment.

    `degraded` says that the snapshot is too old, or the look-up of a sticky unit failed: the configured
    shares decide, and the decision stays out of the statistics.
    """
    experiment = placement.experiment
    if experiment is None:
        return _outside(placement, number, signer, placement.reason)
    name = placement.unit or str(number)
    if experiment.traffic < 1.0 and position(experiment.salt + ":traffic", name) >= experiment.traffic:
        return _outside(placement, number, signer, "outside")
    reason: Reason = "experiment"
    if held is not None:
        epoch, arm, propensity, reason = held.epoch, held.arm, held.propensity, "held"
        degraded = False
    elif degraded:
        epoch, arm = 0, arm_at(experiment.configured_boundaries, position(experiment.salt, name))
        propensity = experiment.configured[arm]
    else:
        epoch, arm = experiment.epoch, arm_at(experiment.boundaries, position(experiment.salt, name))
        propensity = experiment.shares[arm]
    if arm in experiment.dropped:
        return _outside(placement, number, signer, "dropped")
    unit = placement.digest if experiment.sticky else request_unit(number)
    return _inside(placement, experiment, number, signer, (epoch, arm, propensity, reason, unit, degraded))


def _inside(
    placement: Placement, experiment: ExperimentRoute, number: int, signer: Signer,
    fate: tuple[int, int, float, Reason, bytes, bool],
) -> Decision:  # fmt: skip
    epoch, arm, propensity, reason, unit, degraded = fate
    route, candidate = placement.route, experiment.candidates[arm]
    return Decision(
        signer.mint(experiment.id, epoch, arm, unit, number, degraded), number, candidate, route.task,
        placement.found.reason, reason, route.fallbacks, route.timeout_s, propensity, experiment.name, candidate,
        experiment.id, epoch, arm, unit, degraded, placement.covariate, placement.found.confidence,
        placement.found.label, copy_to=0 if degraded else copying_arm(experiment.copies, experiment.salt, number),
    )  # fmt: skip


def _outside(placement: Placement, number: int, signer: Signer, reason: Reason) -> Decision:
    route = placement.route
    return Decision(
        signer.mint(0, 0, 0, NO_EXPERIMENT, number), number, placement.model, route.task, placement.found.reason,
        reason, route.fallbacks, route.timeout_s, confidence=placement.found.confidence, label=placement.found.label,
        why=placement.why,
    )  # fmt: skip


def _declared(snapshot: Snapshot, model: str, needs: Needs | None) -> str:
    if model not in snapshot.models:
        raise InvalidRequest(
            f"model {model[:100]!r} is not declared; GET /v1/models lists what is", field="model"
        )
    if needs is not None:
        check_able(model, snapshot.models, snapshot.prices, needs)
    return model


def _of_tier(
    snapshot: Snapshot, route: TaskRoute, found: Found, tier: int, needs: Needs | None, reason: Reason
) -> Placement:
    """By a model of the tier: the champion, if it is one, else the first that is able."""
    models = snapshot.tiers.get(tier, ())
    if not models:
        raise InvalidRequest(
            f"no model has tier {tier}; declared tiers: {sorted(snapshot.tiers)}", field="tier"
        )
    if route.champion in models:
        models = (route.champion, *models)
    model = models[0] if needs is None else first_able(models, snapshot.models, snapshot.prices, needs)
    return Placement(route, found, model, reason)
