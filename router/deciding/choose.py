"""The choice: which model serves a request, and why.

Two pure steps, so that a sticky unit can be looked up between them: `place` finds task, hint, experiment
and unit; `choose` turns the placement into a decision. Neither locks, waits or computes with arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from experiments.definition.assignment import arm_at, position
from router.deciding.decision_id import Signer, request_unit, unit_digest
from router.deciding.snapshot import ExperimentRoute, Snapshot, TaskRoute
from router.deciding.tasks import Found, TaskReason
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
    "override",
    "tier",
    "unrouted",
]
EXPLANATIONS: Mapping[Reason, str] = {
    "experiment": "the experiment's current shares assigned this candidate",
    "held": "the unit keeps the candidate it was assigned first",
    "champion": "the task runs no experiment; its champion serves",
    "outside": "the unit lies outside the experiment's traffic; the champion serves",
    "no_unit": "the request names no unit (user, session or x-pointsman-unit); the champion serves",
    "dropped": "the unit's candidate was dropped; the champion serves",
    "paused": "the experiment is paused; the champion serves",
    "override": "the caller asked for this model; experiments are left out",
    "tier": "the caller asked for this tier; experiments are left out",
    "unrouted": "no rule names a task; the default serves",
}
NO_EXPERIMENT = bytes(16)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Placement:
    """Task, hint, experiment and unit of a request: all of the choice that needs no look-up."""

    route: TaskRoute
    task_reason: TaskReason
    model: str
    """Model that serves if the experiment does not decide."""
    reason: Reason
    experiment: ExperimentRoute | None = None
    unit: str = ""
    """Name of a sticky unit; "" for the request itself."""
    digest: bytes = NO_EXPERIMENT


@dataclass(frozen=True, slots=True)
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

    @property
    def explanation(self) -> str:
        """The reason in a sentence."""
        return EXPLANATIONS[self.reason]

    def row(self) -> DecisionRow:
        """The decision as the ledger keeps it."""
        return DecisionRow(
            self.number, self.experiment_id, self.epoch, self.arm, self.unit, self.task, self.model, self.reason,
            self.propensity, self.degraded,
        )  # fmt: skip


def place(snapshot: Snapshot, request: RouteRequest) -> Placement:
    """Find task, hint, experiment and unit; raises InvalidRequest for a model or tier that is not declared."""
    found = snapshot.rules.find(request.task, request.metadata, request.text)
    route = snapshot.tasks.get(found.task, snapshot.default)
    if request.override is not None:
        return Placement(route, found.reason, _declared(snapshot, request.override), "override")
    if request.tier is not None:
        return Placement(route, found.reason, _of_tier(snapshot, route, request.tier), "tier")
    experiment = route.experiment
    if experiment is None or found.reason == "ancestor":
        reason: Reason = "unrouted" if found.reason == "default" else "champion"
        return Placement(route, found.reason, route.champion, reason)
    return _enter(route, found, experiment, request)


def _enter(route: TaskRoute, found: Found, experiment: ExperimentRoute, request: RouteRequest) -> Placement:
    """Place a request at the door of its task's experiment."""
    if experiment.paused:
        return Placement(route, found.reason, route.champion, "paused")
    if not experiment.sticky:
        return Placement(route, found.reason, route.champion, "experiment", experiment)
    unit = request.unit or (request.session if experiment.unit == "conversation" else request.user)
    if not unit:
        return Placement(route, found.reason, route.champion, "no_unit")
    return Placement(route, found.reason, route.champion, "experiment", experiment, unit, unit_digest(unit))


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
        placement.task_reason, reason, route.fallbacks, route.timeout_s, propensity, experiment.name, candidate,
        experiment.id, epoch, arm, unit, degraded,
    )  # fmt: skip


def _outside(placement: Placement, number: int, signer: Signer, reason: Reason) -> Decision:
    route = placement.route
    return Decision(
        signer.mint(0, 0, 0, NO_EXPERIMENT, number), number, placement.model, route.task, placement.task_reason,
        reason, route.fallbacks, route.timeout_s,
    )  # fmt: skip


def _declared(snapshot: Snapshot, model: str) -> str:
    if model not in snapshot.models:
        raise InvalidRequest(
            f"model {model[:100]!r} is not declared; GET /v1/models lists what is", field="model"
        )
    return model


def _of_tier(snapshot: Snapshot, route: TaskRoute, tier: int) -> str:
    models = snapshot.tiers.get(tier, ())
    if not models:
        raise InvalidRequest(
            f"no model has tier {tier}; declared tiers: {sorted(snapshot.tiers)}", field="tier"
        )
    return route.champion if route.champion in models else models[0]
