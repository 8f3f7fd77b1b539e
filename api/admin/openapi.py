"""The OpenAPI document of the whole server: what FastAPI knows, and the routes that the front answers itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from api.admin.access import Needs
from api.admin.batch_schemas import (
    BatchAnswer,
    BatchBody,
    BatchList,
    FileAnswer,
    FileDeleted,
    FileForm,
    FileList,
)
from api.admin.route_schemas import RouteAnswer, RouteBody
from api.admin.schemas import (
    ChatAnswer,
    ChatBody,
    EmbeddingsAnswer,
    EmbeddingsBody,
    ErrorAnswer,
    FeedbackAnswer,
    FeedbackBody,
    Health,
    ModelList,
    ResponsesAnswer,
    ResponsesBody,
)
from api.serving.hot import HOT_ROUTES
from storage.records import Scope

Json = dict[str, Any]  # reason: OpenAPI documents are JSON of many shapes
_TEMPLATE = "#/components/schemas/{model}"
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
_ERRORS: Mapping[str, str] = {
    "401": "No valid key.",
    "403": "The key lacks the scope.",
    "422": "The request breaks the contract; `param` names the field.",
    "default": "Any other error.",
}
BATCH_PARAMETERS = ("{file_id}", "{batch_id}")
BATCH_ROUTES = (
    ("POST", "/v1/files", "upload_file"),
    ("GET", "/v1/files", "list_files"),
    ("GET", "/v1/files/{file_id}", "show_file"),
    ("DELETE", "/v1/files/{file_id}", "delete_file"),
    ("GET", "/v1/files/{file_id}/content", "file_content"),
    ("POST", "/v1/batches", "create_batch"),
    ("GET", "/v1/batches", "list_batches"),
    ("GET", "/v1/batches/{batch_id}", "show_batch"),
    ("POST", "/v1/batches/{batch_id}/cancel", "cancel_batch"),
)
"""Method, path and name of each route of files and batches (api.serving.batches)."""
_TAGS = ("traffic", "batches", "feedback", "reading", "acting", "keys", "pages", "health")
_TITLE = "Pointsman"
_ABOUT = "Online A/B and bandit experiments for LLM traffic: define, send traffic, read the report, promote."


def describe(app: FastAPI) -> Json:
    """The whole document."""
    document = get_openapi(title=_TITLE, version=app.version, description=_ABOUT, routes=app.routes)
    schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    document["paths"] |= _front_paths(schemas)
    errors = _errors(schemas)
    scopes = scopes_of(app)
    for path, method, operation in _operations(document):
        operation["responses"] |= errors
        needed = scopes.get((method.upper(), path))
        operation["security"] = [{"bearer": [needed]}] if needed else []
    document["tags"] = [{"name": name} for name in _TAGS]
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return document


def scopes_of(app: FastAPI) -> dict[tuple[str, str], Scope]:
    """The scope that each route needs, by (method, path): the front's and those behind it."""
    scopes: dict[tuple[str, str], Scope] = {
        (route.method, path): route.needed for path, route in HOT_ROUTES.items()
    }
    scopes |= {(method, path): "traffic" for method, path, _ in BATCH_ROUTES}
    for route in app.routes:
        if isinstance(route, APIRoute):
            needed = scope_of(route)
            scopes |= {(method, route.path_format): needed for method in route.methods or ()}
    return scopes


def scope_of(route: APIRoute) -> Scope:
    """The scope a route behind the front needs; raises LookupError for a route that names none."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Needs):
            return dependency.call.scope
    raise LookupError(f"route {route.path} names no scope: give it a Viewer or an Admin parameter")


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _front_paths(schemas: Json) -> Json:
    """The operations that FastAPI does not know."""
    return {
        "/v1/chat/completions": {
            "post": _operation("chat", "traffic", "Chat completion", schemas, ChatAnswer, ChatBody, 200)
        },
        "/v1/embeddings": {
            "post": _operation(
                "embeddings", "traffic", "Embeddings", schemas, EmbeddingsAnswer, EmbeddingsBody, 200
            )
        },
        "/v1/responses": {
            "post": _operation(
                "responses", "traffic", "Response without state", schemas, ResponsesAnswer, ResponsesBody, 200
            )
        },
        "/v1/models": {
            "get": _operation("models", "traffic", "Names that `model` may hold", schemas, ModelList)
        },
        "/v1/route": {
            "post": _operation("route", "traffic", "Which model to call", schemas, RouteAnswer, RouteBody)
        },
        "/v1/feedback": {
            "post": _operation(
                "feedback", "feedback", "Report outcomes", schemas, FeedbackAnswer, FeedbackBody, 202
            )
        },
        **_batch_paths(schemas),
        "/healthz": {"get": _operation("healthz", "health", "The process runs", schemas, Health)},
        "/readyz": {"get": _operation("readyz", "health", "Decisions count", schemas, Health)},
    }


def _batch_paths(schemas: Json) -> Json:
    """Files and batches."""

    def told(name: str, summary: str, answer: object, body: object = None) -> Json:
        operation = _operation(name, "batches", summary, schemas, answer, body)
        names = [part for part in BATCH_PARAMETERS if part in summary_path[name]]
        operation["parameters"] = [
            {"name": each.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}
            for each in names
        ]
        return operation

    summary_path = {name: path for _, path, name in BATCH_ROUTES}
    upload = told("upload_file", "Upload an input file", FileAnswer, FileForm)
    content = upload["requestBody"]["content"]
    content["multipart/form-data"] = content.pop("application/json")
    text = told("file_content", "Lines of a file", str)
    text["responses"]["200"]["content"] = {"application/jsonl": {"schema": {"type": "string"}}}
    return {
        "/v1/files": {"post": upload, "get": told("list_files", "Files of the key", FileList)},
        "/v1/files/{file_id}": {
            "get": told("show_file", "One file", FileAnswer),
            "delete": told("delete_file", "Delete a file", FileDeleted),
        },
        "/v1/files/{file_id}/content": {"get": text},
        "/v1/batches": {
            "post": told("create_batch", "Open a batch", BatchAnswer, BatchBody),
            "get": told("list_batches", "Batches of the key", BatchList),
        },
        "/v1/batches/{batch_id}": {"get": told("show_batch", "One batch", BatchAnswer)},
        "/v1/batches/{batch_id}/cancel": {"post": told("cancel_batch", "Cancel a batch", BatchAnswer)},
    }


def _operation(
    name: str, tag: str, summary: str, schemas: Json, answer: object, body: object = None, status: int = 200
) -> Json:
    shown = {"description": "Done.", "content": _json(_schema(answer, "serialization", schemas))}
    operation: Json = {
        "operationId": name, "summary": summary, "tags": [tag], "responses": {str(status): shown},
    }  # fmt: skip
    if body is not None:
        content = _json(_schema(body, "validation", schemas))
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _errors(schemas: Json) -> Json:
    content = _json(_schema(ErrorAnswer, "serialization", schemas))
    return {status: {"description": text, "content": content} for status, text in _ERRORS.items()}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _schema(shape: Any, mode: JsonSchemaMode, schemas: Json) -> Json:  # reason: a type or a union of types
    """A reference to the shape's schema, which joins the document's schemas."""
    schema = TypeAdapter(shape).json_schema(mode=mode, ref_template=_TEMPLATE)
    for name, part in schema.pop("$defs", {}).items():
        schemas.setdefault(name, part)
    title = schema.get("title")
    if title is None:
        return schema
    schemas.setdefault(title, schema)
    return {"$ref": _TEMPLATE.format(model=title)}
