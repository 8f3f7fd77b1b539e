"""The OpenAPI document and the interactive page."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI

from api.admin.openapi import scopes_of
from api.admin.pages import STATIC
from api.admin.route_schemas import RouteBody
from api.serving.hot import HOT_ROUTES, PUBLIC
from tests.servers.front import Front, open_front


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with open_front() as opened:
        yield opened


@pytest.fixture(scope="module")
def document(front: Front) -> Any:
    return front.get("/openapi.json").json


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_the_document_is_well_formed(document: dict[str, Any]) -> None:
    """Code generators stop at the first broken reference or doubled name."""
    assert OpenAPI.model_validate(document).openapi.startswith("3.1")
    schemas = document["components"]["schemas"]
    for node in nodes(document):
        if isinstance(node.get("$ref"), str):
            assert node["$ref"].removeprefix("#/components/schemas/") in schemas
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))


def test_every_route_is_described_with_the_scope_it_needs(front: Front, document: dict[str, Any]) -> None:
    """The hot routes are no part of the framework and would be missing without anybody noticing."""
    described = {
        (method.upper(), path): operation["security"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    expected = {
        (method, path): [{"bearer": [scope]}]
        for (method, path), scope in scopes_of(front.rest).items()
        if path not in ("/docs", "/openapi.json")
    }
    assert described == expected | {("GET", path): [] for path in PUBLIC}


def test_hot_routes_have_their_schemas(document: dict[str, Any]) -> None:
    """Bodies and answers of the routes that applications use most."""
    for path, route in HOT_ROUTES.items():
        operation = document["paths"][path][route.method.lower()]
        assert ("requestBody" in operation) == (route.method == "POST")
        assert {"401", "403", "422", "default"} < operation["responses"].keys()
    body = document["paths"]["/v1/route"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/RouteBody"}
    assert (
        document["components"]["schemas"]["RouteBody"]["properties"].keys() == RouteBody.model_fields.keys()
    )
    feedback = document["paths"]["/v1/feedback"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert {"$ref": "#/components/schemas/FeedbackItem"} in feedback["anyOf"]


def test_the_page_loads_nothing_from_elsewhere(front: Front) -> None:
    """It must work offline, and tell no other server that it was opened."""
    page = front.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.findall(rb"(?:https?:)?//[a-z]", page.body)
    loaded = re.findall(rb'(?:src|href)="(/[^"]+)"', page.body)
    assert len(loaded) == 3
    for path in loaded:
        answer = front.get(path.decode())
        assert answer.status == 200
        assert len(answer.body) > 100
    assert b"validatorUrl: null" in (STATIC / "docs.js").read_bytes()


def test_the_page_runs_no_inline_script(front: Front) -> None:
    """The policy forbids them, so a script that got into a name stays text."""
    page = front.get("/docs")
    assert not re.findall(rb"<script(?![^>]*\bsrc=)", page.body)
    assert not re.findall(rb"\bon[a-z]+=", page.body)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%2e%2e/__init__.py",
        "/static/",
    ],
)
def test_static_files_end_at_their_directory(front: Front, path: str) -> None:
    """The source, the ledger and the signing key lie only a few dots away."""
    assert front.get(path).status == 404


def test_vendored_files_come_with_their_licence() -> None:
    """They are other people's work."""
    directory = STATIC / "vendor" / "swagger-ui"
    assert "Apache License" in (directory / "LICENSE").read_text("utf-8")
    assert (directory / "NOTICE").is_file()
