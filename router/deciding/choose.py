"""The choice: which model serves a request, and why.

Two pure steps, so that a sticky unit can be looked up between them: `place` (router.deciding.place) finds task, hint,
experiment and unit; `choose` turns the placement into a decision. Neither locks, waits or computes with arrays.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal

from experiments.definition.assignment import arm_at, copying_arm, position
from experiments.evidence.record import record
from router.deciding.decision_id import Signer, request_unit
from router.deciding.needs import Needs
from router.deciding.policy import Choices, Chosen
from router.deciding.snapshot import ExperimentRoute, TaskRoute
from router.deciding.tasks import UNROUTED, Found, TaskReason
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
    choices: Choices | None = None
    """What the policies chose that may have to serve the request."""


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
    policy: str | None = None
    """Policy that chose the model, where one serves."""
    predicted: float | None = None
    """Its own word for the probability that the model succeeds."""
    choices: Choices | None = None
    """What each policy chose that could have served the request."""

    @property
    def explanation(self) -> str:
        """The reason in a sentence."""
        if self.reason == "unrouted":
            return f"{UNROUTED.get(self.task_reason, 'nothing names a task')}; the default serves"
        chose = "" if self.chosen is None else f"; policy {self.policy} {self.chosen.words}"
        return EXPLANATIONS[self.reason] + (f": {self.why}" if self.why else "") + chose

    @property
    def chosen(self) -> Chosen | None:
        """What the policy that serves chose."""
        return None if self.policy is None or self.choices is None else self.choices.get(self.policy)

    def row(self) -> DecisionRow:
        """The decision as the ledger keeps it."""
        return DecisionRow(
            self.number, self.experiment_id, self.epoch, self.arm, self.unit, self.task, self.model, self.reason,
            self.propensity, self.degraded, self.covariate, self.label or self.task_reason, self.predicted,
        )  # fmt: skip


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
    decision = Decision(
        signer.mint(experiment.id, epoch, arm, unit, number, degraded), number, candidate, route.task,
        placement.found.reason, reason, route.fallbacks, route.timeout_s, propensity, experiment.name, candidate,
        experiment.id, epoch, arm, unit, degraded, placement.covariate, placement.found.confidence,
        placement.found.label, copy_to=0 if degraded else copying_arm(experiment.copies, experiment.salt, number),
    )  # fmt: skip
    return _with_choice(decision, placement.choices) if placement.choices else decision


def _outside(placement: Placement, number: int, signer: Signer, reason: Reason) -> Decision:
    route = placement.route
    decision = Decision(
        signer.mint(0, 0, 0, NO_EXPERIMENT, number), number, placement.model, route.task, placement.found.reason,
        reason, route.fallbacks, route.timeout_s, confidence=placement.found.confidence, label=placement.found.label,
        why=placement.why,
    )  # fmt: skip
    return _with_choice(decision, placement.choices) if placement.choices else decision


def _with_choice(decision: Decision, choices: Choices) -> Decision:
    """The decision with the model that its policy chose, where a policy is to serve."""
    chosen = choices.get(decision.model)
    if chosen is None:
        return replace(decision, choices=choices)
    fallbacks = tuple(name for name in decision.fallbacks if name != chosen.model)
    return replace(
        decision, model=chosen.model, fallbacks=fallbacks, policy=decision.model, predicted=chosen.success,
        choices=choices,
    )  # fmt: skip
