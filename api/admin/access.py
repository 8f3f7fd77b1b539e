"""What the routes behind the front need: a scope, and the use cases to call."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.serving.auth import Identity
from api.serving.hot import IDENTITY
from api.serving.metrics import Counters
from api.serving.problems import Forbidden
from router.steering.control import Control
from storage.records import Scope
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """What the admin and reading routes work on."""

    store: Store
    control: Control
    counters: Counters


class Needs:
    """A dependency that lets only identities with a scope pass, and names the actor for the audit record."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> str:
        """The actor; raises Forbidden for an identity without the scope, and where the front gave none."""
        identity = request.scope.get(IDENTITY)
        if not isinstance(identity, Identity) or not identity.may(self.scope):
            raise Forbidden(f"this needs a key with the scope {self.scope!r}")
        return identity.actor


async def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


VIEW, ADMIN = Needs("view"), Needs("admin")
Viewer = Annotated[str, Depends(VIEW)]
Admin = Annotated[str, Depends(ADMIN)]
With = Annotated[Services, Depends(_services)]
