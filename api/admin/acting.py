"""Routes that change something; each is one use case with its audit entry."""

from fastapi import APIRouter

from api.admin.access import Admin, With
from api.admin.answers import one_experiment, route_entry
from api.admin.schemas import (
    ExperimentAnswer,
    MoveBody,
    NewKeyAnswer,
    NewKeyBody,
    PromoteBody,
    PromotionAnswer,
    RollbackBody,
    RouteEntry,
    SetRouteBody,
)
from experiments.definition.experiment import Experiment

router = APIRouter()
_NO_WHY = MoveBody()


@router.post("/v1/experiments", status_code=201, tags=["acting"])
def create_experiment(definition: Experiment, actor: Admin, services: With) -> ExperimentAnswer:
    """Keep a draft; `start` starts it."""
    return one_experiment(services.store, services.control.create(definition, actor))


@router.post("/v1/experiments/{name}/start", tags=["acting"])
def start_experiment(name: str, actor: Admin, services: With, body: MoveBody = _NO_WHY) -> ExperimentAnswer:
    """Start a draft, or resume a paused experiment."""
    services.control.start(name, actor, body.why)
    return _now(name, services)


@router.post("/v1/experiments/{name}/pause", tags=["acting"])
def pause_experiment(name: str, actor: Admin, services: With, body: MoveBody = _NO_WHY) -> ExperimentAnswer:
    """Send the task's traffic to its champion until the experiment is started again."""
    services.control.pause(name, actor, body.why)
    return _now(name, services)


@router.post("/v1/experiments/{name}/stop", tags=["acting"])
def stop_experiment(name: str, actor: Admin, services: With, body: MoveBody = _NO_WHY) -> ExperimentAnswer:
    """End an experiment without promotion."""
    services.control.stop(name, actor, body.why)
    return _now(name, services)


@router.post("/v1/experiments/{name}/promote", tags=["acting"])
def promote(name: str, body: PromoteBody, actor: Admin, services: With) -> PromotionAnswer:
    """Make a candidate the task's champion, if the evidence supports it; 409 `evidence_refused` otherwise."""
    done = services.control.promote(name, actor, body.why, body.candidate, body.force)
    return PromotionAnswer(
        task=done.task,
        old=done.old,
        new=done.new,
        successor=done.successor,
        digest=done.digest,
        forced=done.forced,
    )


@router.post("/v1/experiments/{name}/rollback", tags=["acting"])
def roll_back(name: str, body: RollbackBody, actor: Admin, services: With) -> RouteEntry:
    """Give the experiment's task its previous champion back."""
    task = services.control.experiment(name).definition.task
    route = services.control.rollback(task, actor, body.why)
    return route_entry(task, route.model, route)


@router.put("/v1/routes/{task:path}", tags=["acting"])
def set_route(task: str, body: SetRouteBody, actor: Admin, services: With) -> RouteEntry:
    """Name a task's champion by hand; servers follow within two seconds."""
    route = services.control.set_route(task, body.model, actor, body.why, body.expected_version)
    return route_entry(task, route.model, route)


@router.post("/v1/keys", status_code=201, tags=["keys"])
def add_key(body: NewKeyBody, actor: Admin, services: With) -> NewKeyAnswer:
    """Make a bearer key; the answer is the only place where it is ever shown."""
    secret = services.control.add_key(body.id, body.scopes, actor)
    return NewKeyAnswer(id=body.id, scopes=body.scopes, key=secret)


@router.delete("/v1/keys/{key_id}", status_code=204, tags=["keys"])
def revoke_key(key_id: str, actor: Admin, services: With) -> None:
    """End a key; servers refuse it within two seconds."""
    services.control.revoke_key(key_id, actor)


def _now(name: str, services: With) -> ExperimentAnswer:
    """The experiment as it stands after the move."""
    return one_experiment(services.store, services.control.experiment(name))
