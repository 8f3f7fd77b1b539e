"""Everything that was considered for one decision, in sentences and in the order in which it counted.

Computed anew for whoever asks, so that other decisions pay nothing for it.
"""

from collections.abc import Iterator
from dataclasses import fields

from router.config.conditions import Rule
from router.deciding.choose import Decision, RouteRequest
from router.deciding.conditional import Said, holds
from router.deciding.eligibility import estimated_usd, lacking
from router.deciding.needs import Needs
from router.deciding.place import looked_at, under_ceiling
from router.deciding.snapshot import ExperimentRoute, Snapshot, TaskRoute

_NOTHING = Needs()


def considered(snapshot: Snapshot, request: RouteRequest, decision: Decision) -> tuple[str, ...]:
    """What led to a decision on this snapshot."""
    request = looked_at(snapshot, request)
    route = snapshot.tasks.get(decision.task, snapshot.default)
    asked = request.needs or _NOTHING
    return (
        _task(decision),
        *_asked(request),
        *_ceiling(route, asked),
        *_rules(snapshot, request, decision.task),
        *_policies(snapshot, request, decision),
        *_models(snapshot, route, under_ceiling(route, asked) or _NOTHING, decision.model),
        *_experiment(route.experiment),
        f"{decision.model} serves, reason {decision.reason}: {decision.explanation}",
        f"after it: {', '.join(decision.fallbacks) or 'no fallback'}",
    )


def _task(decision: Decision) -> str:
    sure = "" if decision.confidence is None else f", confidence {decision.confidence:.2f}"
    return f"task {decision.task}, by {decision.task_reason}{sure}"


def _asked(request: RouteRequest) -> Iterator[str]:
    """What the request asks for, hints first."""
    asked = [f"override {request.override}"] if request.override is not None else []
    asked += [f"tier {request.tier}"] if request.tier is not None else []
    needs = request.needs or _NOTHING
    for field in fields(needs):
        value = getattr(needs, field.name)
        if value != getattr(_NOTHING, field.name):
            shown = ", ".join(value) if isinstance(value, tuple) else f"{value}"
            asked.append(field.name if value is True else f"{field.name} {shown}")
    if asked:
        yield f"asked: {'; '.join(asked)}"


def _ceiling(route: TaskRoute, asked: Needs) -> Iterator[str]:
    """The task's ceiling, and whose holds."""
    if route.max_cost_usd is not None:
        hinted = asked.max_cost_usd is not None and asked.max_cost_usd <= route.max_cost_usd
        holds_here = "; the caller's max_cost is smaller and holds" if hinted else ""
        yield f"one request of task {route.ceiling_of} may cost at most ${route.max_cost_usd:g}{holds_here}"


def _rules(snapshot: Snapshot, request: RouteRequest, task: str) -> Iterator[str]:
    said = Said(request.metadata, request.needs)
    for index, rule in enumerate(snapshot.document.routes):
        fits = holds(rule.when, said, task)
        yield f"routes[{index}], to {_target(rule)}: {'fits' if fits else 'does not fit'}"


def _target(rule: Rule) -> str:
    if rule.task is not None:
        return f"task {rule.task}"
    return f"model {rule.model}" if rule.model is not None else f"tier {rule.tier}"


def _models(snapshot: Snapshot, route: TaskRoute, needs: Needs, served: str) -> Iterator[str]:
    """Each model that the task, or the decision, could have used."""
    experiment = route.experiment
    candidates = experiment.candidates if experiment is not None else ()
    for name in dict.fromkeys((route.champion, *candidates, *route.fallbacks, served)):
        model = snapshot.models.get(name)
        if model is None:
            continue
        price = snapshot.prices.get(name)
        missing = lacking(model, price, needs)
        cost_usd = estimated_usd(model, price, needs)
        about = "" if cost_usd is None or needs.input_tokens is None else f", about ${cost_usd:.2g}"
        roles = [word for word, has in (
            ("champion", name == route.champion), ("candidate", name in candidates),
            ("fallback", name in route.fallbacks),
        ) if has]  # fmt: skip
        yield f"{name} ({', '.join(roles) or 'named'}): {f'lacks {missing}' if missing else 'able'}{about}"


def _policies(snapshot: Snapshot, request: RouteRequest, decision: Decision) -> Iterator[str]:
    """What each policy was asked that could have served, and what it chose."""
    for name, chosen in (decision.choices or {}).items():
        settings = snapshot.document.policies.get(name)
        if settings is None:
            continue
        asked = "looks at the request"
        if settings.ask is not None:
            told = ", ".join(key for key in settings.ask.metadata if key in request.metadata) or "none"
            asked = f"was asked with task, needs, {len(request.text)} characters of text, metadata {told}"
        yield f"policy {name} (of {', '.join(settings.chooses)}) {asked}; {chosen.words}"


def _experiment(experiment: ExperimentRoute | None) -> Iterator[str]:
    if experiment is None:
        yield "no experiment runs on the task"
        return
    shares = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(experiment.candidates, experiment.shares, strict=True)
    )
    state = "is paused" if experiment.paused else f"assigns by {experiment.unit}: {shares}"
    part = f", to {experiment.traffic:.0%} of them" if experiment.traffic < 1 else ""
    yield f"experiment {experiment.name} {state}{part}"
