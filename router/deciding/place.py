"""The place of a request: its task, who decides for it, and what policies chose.

Pure, as the choice is, and all of it that needs no draw: nothing here knows which share a request will fall into.
"""

from dataclasses import replace
from typing import NamedTuple

from experiments.definition.experiment import Unit
from router.classifying.guess import Guess
from router.config.conditions import Rule
from router.deciding.choose import Placement, Reason, RouteRequest
from router.deciding.conditional import Said
from router.deciding.decision_id import unit_digest
from router.deciding.eligibility import Narrowed, check_able, first_able, lacking_here
from router.deciding.needs import Needs, counted, within_ceiling
from router.deciding.policy import NO_ANSWERS, Answers, Choices, Question, chosen_of
from router.deciding.snapshot import ExperimentRoute, Snapshot, TaskRoute
from router.deciding.tasks import DEFAULT_TASK, Found
from router.errors import InvalidRequest


def place(
    snapshot: Snapshot, request: RouteRequest, guess: Guess | None = None, answers: Answers = NO_ANSWERS
) -> Placement:
    """Find task, hint, experiment and unit; raises InvalidRequest for a model or tier that is not declared.

    `guess` is what a classifier elsewhere said of the text, `answers` what policies elsewhere did.
    """
    located = _located(snapshot, request, guess)
    placement = _settled(snapshot, *located)
    if not snapshot.policies:
        return placement
    choices = _choices(snapshot, Located(*located), answers)
    return replace(placement, choices=choices) if choices else placement


class Located(NamedTuple):
    """A request at its task, before anybody looks who may serve it."""

    request: RouteRequest
    """With its needs, the task's ceiling among them."""
    found: Found
    route: TaskRoute
    rule: Rule | None
    """Conditional route that decides."""


def locate(snapshot: Snapshot, request: RouteRequest, guess: Guess | None = None) -> Located:
    """Find a request's task, and the conditional route that decides outside experiments, if one does."""
    return Located(*_located(snapshot, request, guess))


def _located(
    snapshot: Snapshot, request: RouteRequest, guess: Guess | None
) -> tuple[RouteRequest, Found, TaskRoute, Rule | None]:
    """The fields of Located: a plain tuple, as every decision makes one."""
    if request.needs is not None or snapshot.screens:
        request = looked_at(snapshot, request)
    hinted = request.override is not None
    ruled = ruled_task(snapshot, request)
    found = snapshot.rules.find(
        ruled or request.task, request.metadata, request.text, guess, classify=not hinted
    )
    if ruled is not None:
        found = Found(found.task, "routed")
    route = snapshot.tasks.get(found.task, snapshot.default)
    if route.max_cost_usd is not None:
        request = replace(request, needs=under_ceiling(route, request.needs))
    rule = None
    if snapshot.conditional.any_served and not hinted and request.tier is None:
        rule = snapshot.conditional.served(Said(request.metadata, request.needs), found.task)
    return request, found, route, rule


def concerned(snapshot: Snapshot, at: Located) -> list[str]:
    """Policies that may have to serve a request, whatever is drawn for it and whatever they answer."""
    request, found, route, rule = at
    if request.override is not None:
        names = [request.override]
    elif request.tier is not None:
        return []
    elif rule is not None:
        names = [] if rule.model is None else [rule.model]
    else:
        names = [route.champion]
        experiment = route.experiment
        if experiment is not None and found.reason != "ancestor" and not experiment.paused:
            names += [name for arm, name in enumerate(experiment.candidates) if arm not in experiment.dropped]
        names += [name for each in route.ended for name in each.models if name is not None]
    return [name for name in dict.fromkeys(names) if name in snapshot.policies]


def _choices(snapshot: Snapshot, at: Located, answers: Answers) -> Choices:
    """What each policy that may have to serve takes: before any share is looked at."""
    needs = at.request.needs

    def able(name: str) -> bool:
        return needs is None or not lacking_here(name, snapshot, needs)

    question = question_of(at)
    return {
        name: chosen_of(snapshot.policies[name], question, answers.get(name), able)
        for name in concerned(snapshot, at)
    }


def question_of(at: Located) -> Question:
    """What policies are asked about a request."""
    request = at.request
    return Question(at.route.task, request.text, request.metadata, request.needs)


def _settled(
    snapshot: Snapshot, request: RouteRequest, found: Found, route: TaskRoute, rule: Rule | None
) -> Placement:
    """Who decides: the caller, a conditional route, the champion or the experiment."""
    needs = request.needs
    if request.override is not None:
        return Placement(route, found, _declared(snapshot, request.override, needs), "override")
    if request.tier is not None:
        return _of_tier(snapshot, route, found, request.tier, needs, "tier")
    if rule is not None:
        return _routed(snapshot, route, found, rule, needs)
    if route.experiment is None or found.reason == "ancestor":
        return _champion(snapshot, route, found, needs)
    if needs is not None:
        return _screened(snapshot, route, found, route.experiment, request, needs)
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
    return _served(Narrowed(route, snapshot, needs), route, found, reason)


def _screened(
    snapshot: Snapshot, route: TaskRoute, found: Found, experiment: ExperimentRoute, request: RouteRequest,
    needs: Needs,
) -> Placement:  # fmt: skip
    """At the door of an experiment, unless one of its candidates could not serve the request."""
    narrowed = Narrowed(route, snapshot, needs)
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
    return _served(Narrowed(route, snapshot, needs), route, found, "routed")


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


def _declared(snapshot: Snapshot, model: str, needs: Needs | None) -> str:
    if model not in snapshot.models and model not in snapshot.policies:
        raise InvalidRequest(
            f"model {model[:100]!r} is not declared; GET /v1/models lists what is", field="model"
        )
    if needs is not None:
        check_able(model, snapshot, needs)
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
    model = models[0] if needs is None else first_able(models, snapshot, needs)
    return Placement(route, found, model, reason)
