"""The application behind the front: reading and acting routes, pages, and the description of the whole API."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from api.admin import acting, pages, reading
from api.admin.access import VIEW, Services, Viewer
from api.admin.openapi import describe, scope_of
from api.serving.auth import Identity
from api.serving.hot import IDENTITY
from api.serving.metrics import Counters
from api.serving.problems import error_body, problem, problem_of, problem_of_status
from api.serving.replies import Reply, send_reply
from router.errors import Conflict, PointsmanError, StoreDown
from router.steering.control import Control
from storage.errors import StoreConflict, StoreError
from storage.store import Store

VERSION = "0.1.0"


def create_app(store: Store, control: Control, counters: Counters) -> FastAPI:
    """The application; it answers only requests that the front has given an identity."""
    app = FastAPI(
        title="Pointsman", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.services = Services(store, control, counters)
    for router in (reading.router, acting.router, pages.router):
        app.router.routes.extend(router.routes)
    app.add_api_route("/openapi.json", _document, include_in_schema=False)
    app.router.routes.append(Mount("/static", app=_static))
    for kind in (PointsmanError, StoreError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer_error)
    for route in app.routes:
        if isinstance(route, APIRoute):
            scope_of(route)  # deny by default: a route without a scope is a mistake that stops the start
    return app


def _document(_: Viewer, request: Request) -> JSONResponse:
    """The OpenAPI document, made when first asked for."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = describe(app)
    return JSONResponse(app.openapi_schema)


async def _static(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Files of the pages, for those who may see the pages."""
    identity = scope.get(IDENTITY)
    if not isinstance(identity, Identity) or not identity.may(VIEW.scope):
        await send_reply(send, problem("forbidden", f"this needs a key with the scope {VIEW.scope!r}"))
        return
    await pages.static(scope, receive, send)


async def _answer_error(_: Request, error: Exception) -> Response:
    reply = _reply(error)
    return Response(reply.body, reply.status, _plain(reply.headers))


def _reply(error: Exception) -> Reply:
    """The answer for whatever went wrong; what is not foreseen says nothing about itself."""
    match error:
        case PointsmanError():
            return problem_of(error)
        case StoreConflict():
            return problem_of(Conflict(f"{error}; read it again"))
        case StoreError():
            return problem_of(StoreDown(f"the ledger does not answer ({error}); try again later"))
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return problem_of_status(error.status_code, str(error.detail))
        case _:
            return problem("internal_error", "an error inside the server; its log says more")


def _invalid(error: RequestValidationError) -> Reply:
    """The first violation, named by its field; the value itself is not repeated."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or None
    message = f"{place}: {first['msg']}" if place else f"the body: {first['msg']}"
    return Reply(422, error_body("invalid_request", message, place))


def _plain(headers: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
