"""Every route of the application with every kind of key."""

from collections.abc import Iterator

import pytest
from starlette.routing import Mount

from api.admin.openapi import scopes_of
from api.serving.hot import PUBLIC
from storage.records import Scope
from tests.servers.front import Front, open_front

SCOPES: tuple[Scope, ...] = ("traffic", "feedback", "view", "admin")
STATIC = ("GET", "/static/docs.js")
REFUSED = (401, 403)


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front() as opened:
        yield opened


def routes(front: Front) -> dict[tuple[str, str], Scope]:
    """What each route needs, static files included; names filled in that nothing bears."""
    needed = {
        (
            method,
            path.replace("{name}", "absent")
            .replace("{task}", "absent")
            .replace("{key_id}", "absent")
            .replace("{file_id}", "absent")
            .replace("{batch_id}", "absent"),
        ): scope
        for (method, path), scope in scopes_of(front.rest).items()
    }
    return needed | {STATIC: "view"}


def test_the_table_of_routes_is_complete(front: Front) -> None:
    """The matrix below proves nothing about a route that it does not list."""
    listed = {path for _, path in scopes_of(front.rest)}
    for route in front.rest.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
        else:
            assert getattr(route, "path_format", None) in listed, route
    for path in (
        "/v1/chat/completions",
        "/v1/models",
        "/v1/route",
        "/v1/feedback",
        "/",
        "/metrics",
        "/openapi.json",
    ):
        assert path in listed


def test_no_route_answers_without_a_valid_key(front: Front) -> None:
    """Deny by default: a forgotten check on one route is a breach of all of them."""
    front.add_key("any", "admin")
    for method, path in [*routes(front), ("GET", "/unknown"), ("POST", "/v1/unknown"), ("GET", "/static/x")]:
        for key in (None, "pk-unknown"):
            front.key = key
            assert front.call(method, path).status == 401, (method, path, key)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_opens_exactly_the_routes_of_its_scope(front: Front, scope: Scope) -> None:
    """A feedback key must not promote, a viewer must not route traffic; admin may do everything."""
    front.key = front.add_key("one", scope)
    for (method, path), needed in routes(front).items():
        status = front.call(method, path).status
        allowed = scope in (needed, "admin")
        assert (status not in REFUSED and status < 500) if allowed else (status == 403), (
            method,
            path,
            status,
        )


def test_only_the_probes_are_public(front: Front) -> None:
    """Load balancers hold no key."""
    front.add_key("any", "admin")
    for path in PUBLIC:
        assert front.get(path).status == 200
        assert front.call("POST", path + "/").status == 401


@pytest.mark.parametrize(
    "path", ["//v1/route", "/v1/route/", "/V1/route", "/v1/route;x", "/healthz/../v1/keys"]
)
def test_a_path_that_merely_looks_like_a_route_opens_nothing(front: Front, path: str) -> None:
    """Paths are compared whole, so that no spelling reaches a route around its check."""
    front.add_key("any", "admin")
    assert front.call("POST", path).status == 401


def test_foreign_pages_reach_no_route_of_an_open_server(front: Front) -> None:
    """Without keys the Host and Origin headers are all that stands between a web page and the user's models."""
    for method, path in routes(front):
        assert front.call(method, path, host=(b"host", b"evil.example")).status == 403, path
        assert front.call(method, path, headers=[(b"origin", b"http://evil.example")]).status == 403, path
